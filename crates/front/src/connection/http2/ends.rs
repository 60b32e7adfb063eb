//! How a connection of HTTP/2 ends: in peace, when its time is over, or at once. Runs on the front's thread.

use std::time::Duration;

use super::receive::http2_exchanges;
use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::receive::Turn;

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

    /// The client is told to ask no more; what it has asked is answered. Whatever is on its way is still taken until it has acknowledged that, or
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
        if http2.head_begun && !is_draining {
            self.shared.counters.heads_late.up();
            self.close(id, CloseReason::Idle);
            return;
        }
        // After this the client knows which of its requests were not taken.
        http2.session.leave();
        let is_idle = http2.is_idle();
        let turn = self.send_streams(id);
        if is_idle && turn != Turn::Closed {
            self.close(id, if is_draining { CloseReason::Draining } else { CloseReason::Idle });
        }
    }

    /// How long a connection may be idle.
    pub(super) fn idle_time(&self) -> Duration {
        if self.draining { DRAIN_GRACE } else { self.settings.keep_alive_time }
    }
}
