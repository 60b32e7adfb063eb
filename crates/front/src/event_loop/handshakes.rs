//! Handshakes of TLS: admitted, carried on, counted, and given up. Runs on the front's thread; what needs the private key is done by helpers.
//!
//! A connection whose handshake is not complete is in the table like any other, but nothing drives it except this file. Where client and
//! server have no common language, no message can reach the client: only the close and a counter say what happened.

use std::collections::HashMap;

use pelton_http::proxy_protocol::LONGEST_HEADER;

use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::files::Helped;
use crate::notices::Level;
use crate::transport::listener::Role;
use crate::transport::tls::{Shaken, Step, Tls};

/// The time over which the rate of one address is averaged.
const WINDOW_MS: u64 = 10_000;
/// Addresses whose rates are remembered.
const REMEMBERED: usize = 16 * 1024;
/// One failure in so many milliseconds is logged: who provokes them chooses how many there are.
const TELL_EVERY_MS: u64 = 1000;

/// All that are under way.
#[derive(Debug, Default)]
pub struct Handshakes {
    under_way: usize,
    /// How many each address has begun in the present window.
    begun: HashMap<Box<[u8]>, u64>,
    window_ends_ms: u64,
    tell_at_ms: u64,
    /// Of its own, so that failures, which are logged at another level, hide no mistake of a user.
    tell_of_tls_at_ms: u64,
}

impl EventLoop {
    /// A connection that is to be encrypted has been accepted. False: there are too many, and it is closed.
    pub(crate) fn admit_handshake(&mut self, id: ConnectionId) -> bool {
        let most = self.settings.handshakes.at_once;
        if (most > 0 && self.handshakes.under_way >= most) || !self.may_begin_handshake(id) {
            self.shared.counters.handshakes_refused.up();
            // Of the close alone there is nothing to say goodbye with.
            self.handshakes.under_way += 1;
            self.close(id, CloseReason::HandshakeRefused);
            return false;
        }
        self.handshakes.under_way += 1;
        self.set_connection_deadline(id, self.settings.handshakes.time);
        true
    }

    /// Whether its address has not begun too many lately.
    fn may_begin_handshake(&mut self, id: ConnectionId) -> bool {
        let rate = self.settings.handshakes.rate;
        if rate == 0 {
            return true;
        }
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let address = connection.transport.tls().and(connection.peer.address);
        let is_proxy = self.settings.proxies.trusted.trusts(address.map(|(ip, _)| ip));
        if address.is_none() || is_proxy {
            return true;
        }
        if self.clock.now_ms >= self.handshakes.window_ends_ms || self.handshakes.begun.len() >= REMEMBERED {
            self.handshakes.begun.clear();
            self.handshakes.window_ends_ms = self.clock.now_ms + WINDOW_MS;
        }
        let begun = self.handshakes.begun.entry(connection.peer.text().into()).or_default();
        *begun += 1;
        *begun <= rate.saturating_mul(WINDOW_MS / 1000)
    }

    /// A handshake has ended, one way or the other.
    pub(crate) fn end_handshake(&mut self) {
        self.handshakes.under_way = self.handshakes.under_way.saturating_sub(1);
    }

    /// Goes on with a handshake; whether the connection can be driven from now on.
    pub(crate) fn shake_hands(&mut self, id: ConnectionId) -> bool {
        match self.take_proxy_header(id) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(reason) => {
                self.close(id, reason);
                return false;
            }
        }
        let Some(connection) = self.connections.get_mut(id) else { return false };
        match connection.transport.shake() {
            Ok(Shaken::Waits) => false,
            Ok(Shaken::Costly(mut step)) => {
                self.shared.counters.handshakes_beside.up();
                self.helpers.run(move || {
                    step.take();
                    Helped::Shaken(id, step)
                });
                false
            }
            Ok(Shaken::Done) => self.handshake_is_done(id),
            Ok(Shaken::PlainHttp(bytes)) => {
                if let Some(http1) = connection.driver.http1() {
                    http1.input = bytes;
                    http1.unseen = true;
                }
                connection.role = Role::PlainOnTls;
                connection.peer.is_tls = false;
                self.end_handshake();
                self.shared.counters.plain_on_tls.up();
                self.set_connection_deadline(id, self.settings.head_time);
                true
            }
            Ok(Shaken::Failed(why)) => {
                self.shared.counters.handshakes_failed.up();
                if self.clock.now_ms >= self.handshakes.tell_at_ms {
                    self.handshakes.tell_at_ms = self.clock.now_ms + TELL_EVERY_MS;
                    let client = String::from_utf8_lossy(connection.peer.text()).into_owned();
                    self.shared
                        .notices
                        .post(Level::Debug, format!("a TLS handshake with {client} has failed: {why}"));
                }
                self.close(id, CloseReason::HandshakeFailed);
                false
            }
            Ok(Shaken::Gone) => {
                self.close(id, CloseReason::ByClient);
                false
            }
            Err(_) => {
                self.close(id, CloseReason::TransportError);
                false
            }
        }
    }

    /// A helper has taken a step of a handshake; what came meanwhile is looked at, too.
    pub(crate) fn go_on_shaking(&mut self, id: ConnectionId, step: Box<Step>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(tls) = connection.transport.tls_mut() {
            tls.put_back(step);
            if self.shake_hands(id) {
                self.drive(id);
            }
        }
    }

    /// A client speaks TLS to a listener that does not.
    #[cold]
    pub(crate) fn tell_of_tls(&mut self, id: ConnectionId) {
        self.shared.counters.tls_on_plain.up();
        let Some(connection) = self.connections.get_mut(id) else { return };
        if self.clock.now_ms >= self.handshakes.tell_of_tls_at_ms {
            self.handshakes.tell_of_tls_at_ms = self.clock.now_ms + TELL_EVERY_MS;
            let client = String::from_utf8_lossy(connection.peer.text()).into_owned();
            self.shared.notices.post(
                Level::Info,
                format!("{client} speaks TLS (https) where only HTTP is spoken; it was answered 400"),
            );
        }
    }

    fn handshake_is_done(&mut self, id: ConnectionId) -> bool {
        self.end_handshake();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let Some(session) = connection.transport.tls().and_then(Tls::session) else { return false };
        let (is_resumed, is_challenge) = (session.is_resumed(), session.is_challenge());
        self.shared.counters.handshakes_done.up();
        if is_resumed {
            self.shared.counters.handshakes_resumed.up();
        }
        if is_challenge {
            // An ACME server has seen the certificate, which is all that it wants (RFC 8737 section 3).
            self.close(id, CloseReason::AfterResponse);
            return false;
        }
        self.set_connection_deadline(id, if self.draining { DRAIN_GRACE } else { self.settings.head_time });
        self.follow_agreement(id);
        true
    }

    /// Takes the PROXY header that comes before the handshake, where one is expected. False: it is not complete.
    fn take_proxy_header(&mut self, id: ConnectionId) -> Result<bool, CloseReason> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(false) };
        if !connection.awaits_proxy_header {
            return Ok(true);
        }
        let Some(tls) = connection.transport.tls_mut() else { return Ok(true) };
        // Looked at and not taken: what follows is the session's.
        let mut room = [0; LONGEST_HEADER];
        let count = match tls.peek(&mut room) {
            Ok(0) => return Err(CloseReason::ByClient),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(CloseReason::TransportError),
        };
        let bytes = room.get(..count).unwrap_or_default();
        let consumed = match self.look_for_proxy_header(id, bytes) {
            Some(0) => return Ok(false),
            Some(consumed) => consumed,
            // It is closed already.
            None => return Ok(false),
        };
        let Some(connection) = self.connections.get_mut(id) else { return Ok(false) };
        connection.peer.is_tls = true;
        let Some(tls) = connection.transport.tls_mut() else { return Ok(false) };
        tls.skip(consumed).map(|()| true).map_err(|_| CloseReason::TransportError)
    }
}
