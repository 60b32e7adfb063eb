//! How a connection of HTTP/2 ends: in peace, when its time is over, or at once. Runs on the front's thread.

use std::time::Duration;

use pelton_http::h2;

use super::receive::http2_exchanges;
use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::receive::Turn;

/// Reads of what a client has sent to which the end has been announced.
const GOODBYE_READS: usize = 16;

impl EventLoop {
    /// Nobody waits for any response of a connection any more.
    pub(crate) fn drop_all_streams(&mut self, id: ConnectionId, reason: CloseReason) {
        for exchange_id in http2_exchanges(self, id) {
            if self.keep_socket(exchange_id) {
                self.abandon(exchange_id, None, reason);
            }
        }
        self.drop_stream_relays(id, reason);
        if let Some(http2) = self.http2(id) {
            http2.streams.clear();
        }
    }

    /// A GOAWAY asks the client for no more requests; those that it has sent are answered. Whatever is on its way is still taken until it has acknowledged that, or
    /// the grace is over.
    pub(crate) fn leave_http2(&mut self, id: ConnectionId) {
        if let Some(http2) = self.http2(id) {
            http2.session.announce_leaving();
            self.set_connection_deadline(id, DRAIN_GRACE);
            self.again.push(id);
        }
    }

    /// The deadline of a connection has come: of a head, of the pause between requests, or of its leaving.
    pub(crate) fn on_http2_deadline(&mut self, id: ConnectionId) {
        let is_draining = self.draining;
        let Some(http2) = self.http2(id) else { return };
        if http2.ending {
            self.close(id, CloseReason::WriteTimeout);
            return;
        }
        if http2.head_begun && !is_draining {
            http2.session.fail(h2::Fault::Late);
            self.shared.counters.heads_late.up();
            self.give_up_session(id, h2::Fault::Late);
            self.send_streams(id);
            return;
        }
        let is_idle = http2.is_idle();
        if is_idle && !is_draining && self.awaits_reader(id) {
            return;
        }
        let Some(http2) = self.http2(id) else { return };
        // After this the client knows which of its requests were not taken.
        http2.session.leave();
        let turn = self.send_streams(id);
        if is_idle && turn != Turn::Closed && !self.awaits_reader(id) {
            self.close(id, if is_draining { CloseReason::Draining } else { CloseReason::Idle });
        }
    }

    /// The streams are over, but their client has not taken all of their frames: it has as much time as any reader, window by window, and is closed
    /// when it has used that up. False where it has taken everything.
    fn awaits_reader(&mut self, id: ConnectionId) -> bool {
        let (quota, now_ms) = (self.write_quota(), self.clock.now_ms);
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let unacknowledged = connection.transport.unacknowledged();
        let has_unsent = connection.transport.has_unsent();
        let Driver::Http2(http2) = &mut connection.driver else { return false };
        if http2.unsent() == 0 && !has_unsent {
            return false;
        }
        let taken = http2.sent_in_all.saturating_sub(unacknowledged);
        match http2.write_window {
            Some((_, ends_ms)) if now_ms < ends_ms => self.timers.set(id.key, ends_ms),
            Some((before, _)) if taken.saturating_sub(before) < quota => {
                self.close(id, CloseReason::WriteTimeout);
            }
            _ => {
                let ends_ms = now_ms + self.settings.write_idle_time.as_millis() as u64;
                http2.write_window = Some((taken, ends_ms));
                self.timers.set(id.key, ends_ms);
            }
        }
        true
    }

    /// The connection is about to be closed for a reason that is not the client's: a GOAWAY says which of its requests were taken, as far as its socket
    /// has room for that.
    pub(crate) fn say_goodbye(&mut self, id: ConnectionId, reason: CloseReason) {
        if !matches!(reason, CloseReason::Draining | CloseReason::Idle | CloseReason::MadeRoom) {
            return;
        }
        let Some(http2) = self.http2(id).filter(|http2| !http2.ending) else { return };
        http2.session.leave();
        if self.send_wire(id, &mut 0).is_err() {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.transport.end_sending();
        // To close with bytes unread would be a reset, which may overtake what was said.
        for _ in 0..GOODBYE_READS {
            connection.transport.look_again();
            connection.transport.discard(&mut self.scratch);
            if !connection.transport.is_readable() {
                break;
            }
        }
    }

    /// A stream has ended: if it was the last one, and no other has begun, the clock of idle connections runs.
    pub(super) fn idle_from_now(&mut self, id: ConnectionId) {
        if self.http2(id).is_some_and(|http2| http2.is_idle() && !http2.head_begun) {
            self.set_connection_deadline(id, self.idle_time());
        }
    }

    /// How long a connection may be idle.
    pub(super) fn idle_time(&self) -> Duration {
        if self.draining { DRAIN_GRACE } else { self.settings.keep_alive_time }
    }
}
