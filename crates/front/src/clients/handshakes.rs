//! Handshakes of TLS: admitted, carried on, counted, and given up. Runs on the front's thread; what needs the private key is done by helpers.
//!
//! A connection whose handshake is not complete is in the table like any other, but nothing drives it except this file. Where client and
//! server have no common language, no message can reach the client: only the close and a counter say what happened.

use pelton_http::proxy_protocol::LONGEST_HEADER;

use crate::clients::registry;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::preface;
use crate::front::{Front, Helped};
use crate::ids::ConnectionId;
use crate::notices::Level;
use crate::requests::proxy_header;
use crate::settings::DRAIN_GRACE;
use crate::transport::listener::Role;
use crate::transport::tls::{Shaken, Tls};

/// The time over which the rate of one address is averaged.
const WINDOW_MS: u64 = 10_000;

/// Addresses whose rates are remembered.
const REMEMBERED: usize = 16 * 1024;

/// One failure in so many milliseconds is logged: who provokes them chooses how many there are.
const TELL_EVERY_MS: u64 = 1000;

/// A connection that is to be encrypted has been accepted. False: there are too many, and it is closed.
pub(crate) fn admit_handshake(front: &mut Front, id: ConnectionId) -> bool {
    let most = front.settings.handshakes.at_once;
    if (most > 0 && front.handshakes.under_way >= most) || !may_begin_handshake(front, id) {
        front.shared.counters.handshakes_refused.up();
        // Of the close alone there is nothing to say goodbye with.
        front.handshakes.under_way += 1;
        closing::close(front, id, CloseReason::HandshakeRefused);
        return false;
    }
    front.handshakes.under_way += 1;
    front.set_connection_deadline(id, front.settings.handshakes.time);
    true
}

/// Whether its address has not begun too many lately.
fn may_begin_handshake(front: &mut Front, id: ConnectionId) -> bool {
    let rate = front.settings.handshakes.rate;
    if rate == 0 {
        return true;
    }
    let Some(connection) = front.connections.get_mut(id) else { return true };
    let address = connection.transport.tls().and(connection.peer.address);
    let is_proxy = front.settings.proxies.trusted.trusts(address.map(|(ip, _)| ip));
    if address.is_none() || is_proxy {
        return true;
    }
    if front.clock.now_ms >= front.handshakes.window_ends_ms || front.handshakes.begun.len() >= REMEMBERED {
        front.handshakes.begun.clear();
        front.handshakes.window_ends_ms = front.clock.now_ms + WINDOW_MS;
    }
    let begun = front.handshakes.begun.entry(connection.peer.text().into()).or_default();
    *begun += 1;
    *begun <= rate.saturating_mul(WINDOW_MS / 1000)
}

/// Goes on with a handshake; whether the connection can be driven from now on.
pub(crate) fn shake_hands(front: &mut Front, id: ConnectionId) -> bool {
    match take_proxy_header(front, id) {
        Ok(true) => {}
        Ok(false) => return false,
        Err(reason) => {
            closing::close(front, id, reason);
            return false;
        }
    }
    let Some(connection) = front.connections.get_mut(id) else { return false };
    match connection.transport.shake() {
        Ok(Shaken::Waits) => false,
        Ok(Shaken::Costly(mut step)) => {
            front.shared.counters.handshakes_beside.up();
            front.helpers.run(move || {
                step.take();
                Helped::Shaken(id, step)
            });
            false
        }
        Ok(Shaken::Done) => handshake_is_done(front, id),
        Ok(Shaken::PlainHttp(bytes)) => {
            if let Some(http1) = connection.driver.http1() {
                http1.input = bytes;
                http1.unseen = true;
            }
            connection.role = Role::PlainOnTls;
            connection.peer.is_tls = false;
            registry::end_handshake(front);
            front.shared.counters.plain_on_tls.up();
            front.set_connection_deadline(id, front.settings.head_time);
            true
        }
        Ok(Shaken::Failed(why)) => {
            front.shared.counters.handshakes_failed.up();
            if front.clock.now_ms >= front.handshakes.tell_at_ms {
                front.handshakes.tell_at_ms = front.clock.now_ms + TELL_EVERY_MS;
                let client = String::from_utf8_lossy(connection.peer.text()).into_owned();
                front
                    .shared
                    .notices
                    .post(Level::Debug, format!("a TLS handshake with {client} has failed: {why}"));
            }
            closing::close(front, id, CloseReason::HandshakeFailed);
            false
        }
        Ok(Shaken::Gone) => {
            closing::close(front, id, CloseReason::ByClient);
            false
        }
        Err(_) => {
            closing::close(front, id, CloseReason::TransportError);
            false
        }
    }
}

/// A client speaks TLS to a listener that does not.
#[cold]
pub(crate) fn tell_of_tls(front: &mut Front, id: ConnectionId) {
    front.shared.counters.tls_on_plain.up();
    let Some(connection) = front.connections.get_mut(id) else { return };
    if front.clock.now_ms >= front.handshakes.tell_of_tls_at_ms {
        front.handshakes.tell_of_tls_at_ms = front.clock.now_ms + TELL_EVERY_MS;
        let client = String::from_utf8_lossy(connection.peer.text()).into_owned();
        front.shared.notices.post(
            Level::Info,
            format!("{client} speaks TLS (https) where only HTTP is spoken; it was answered 400"),
        );
    }
}

fn handshake_is_done(front: &mut Front, id: ConnectionId) -> bool {
    registry::end_handshake(front);
    let Some(connection) = front.connections.get_mut(id) else { return false };
    let Some(session) = connection.transport.tls().and_then(Tls::session) else { return false };
    let (is_resumed, is_challenge) = (session.is_resumed(), session.is_challenge());
    front.shared.counters.handshakes_done.up();
    if is_resumed {
        front.shared.counters.handshakes_resumed.up();
    }
    if is_challenge {
        // An ACME server has seen the certificate, which is all that it wants (RFC 8737 section 3).
        closing::close(front, id, CloseReason::AfterResponse);
        return false;
    }
    front.set_connection_deadline(id, if front.draining { DRAIN_GRACE } else { front.settings.head_time });
    preface::follow_agreement(front, id);
    true
}

/// Takes the PROXY header that comes before the handshake, where one is expected. False: it is not complete.
fn take_proxy_header(front: &mut Front, id: ConnectionId) -> Result<bool, CloseReason> {
    let Some(connection) = front.connections.get_mut(id) else { return Ok(false) };
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
    let consumed = match proxy_header::look_for_proxy_header(front, id, bytes) {
        Some(0) => return Ok(false),
        Some(consumed) => consumed,
        // It is closed already.
        None => return Ok(false),
    };
    let Some(connection) = front.connections.get_mut(id) else { return Ok(false) };
    connection.peer.is_tls = true;
    let Some(tls) = connection.transport.tls_mut() else { return Ok(false) };
    tls.skip(consumed).map(|()| true).map_err(|_| CloseReason::TransportError)
}
