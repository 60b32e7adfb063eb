//! How a connection of HTTP/2 ends: in peace, when its time is over, or at once. Runs on the front's thread.

use std::time::Duration;

use pelton_http::h2;

use super::receive::http2_exchanges;
use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::receive::Turn;

/// Reads of what a client has sent that is told goodbye.
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
            http2.session.fail(h2::Fault::Late);
            self.shared.counters.heads_late.up();
            self.give_up_session(id, h2::Fault::Late);
            self.send_streams(id);
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

    /// The connection is about to be closed for a reason that is not the client's: it is told which of its requests were taken, as far as its socket
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

    /// How long a connection may be idle.
    pub(super) fn idle_time(&self) -> Duration {
        if self.draining { DRAIN_GRACE } else { self.settings.keep_alive_time }
    }
}
