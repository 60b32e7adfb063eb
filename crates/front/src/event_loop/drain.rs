//! The end in good order: no new connections, requests already received are still answered. Runs on the front's thread.

use std::time::Duration;

use mio::unix::SourceFd;

use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;

/// How long a connection stays open during a drain for a request that may be on its way. A request that meets a connection which is just being
/// closed is lost; one that is answered says that the connection ends.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// Connections that have been idle for longer than this are closed at once: a request in this very moment is unlikely, and the end should not
/// wait for every browser that keeps a connection in stock.
const RECENT_MS: u64 = 5000;

impl EventLoop {
    /// Closes listeners and idle connections.
    pub(crate) fn begin_drain(&mut self) {
        // Who is in the backlog has connected successfully: to close the listener on them would be a reset. Unless somebody else has it too: then
        // they are served by whoever comes next.
        self.admission.pause_until = 0;
        self.listeners.look_again();
        self.admission.may_accept = true;
        while !self.has_waiting_room() && self.may_accept_some() {
            self.accept_all();
            if self.admission.pause_until > 0 {
                break;
            }
        }
        self.draining = true;
        let registry = self.poll.registry();
        self.listeners.close(|raw| {
            let _ = registry.deregister(&mut SourceFd(&raw));
        });
        for id in self.connections.ids() {
            let is_http2 = self.connections.get(id).is_some_and(|one| matches!(one.driver, Driver::Http2(_)));
            if is_http2 {
                self.leave_http2(id);
                continue;
            }
            if !self.is_idle(id) || self.leave_open(id) {
                continue;
            }
            if self.connections.get(id).is_some_and(|connection| connection.transport.is_shaking()) {
                self.set_connection_deadline(id, DRAIN_GRACE);
                continue;
            }
            // A request may have arrived that no event has announced yet: look before closing.
            if let Some(connection) = self.connections.get_mut(id) {
                connection.transport.look_again();
            }
            self.drive(id);
            if !self.is_idle(id) {
                continue;
            }
            let is_fresh = self.connections.get(id).is_some_and(|connection| connection.fresh);
            let ends_ms = self.timers.get(id.key).unwrap_or_default();
            let since_ms = ends_ms.saturating_sub(self.settings.keep_alive_time.as_millis() as u64);
            if is_fresh || self.clock.now_ms.saturating_sub(since_ms) < RECENT_MS {
                self.set_connection_deadline(id, DRAIN_GRACE);
            } else {
                self.close(id, CloseReason::Draining);
            }
        }
    }

    /// Whether what is left of all connections is WebSockets: nobody waits for a response any more.
    pub(crate) fn has_only_websockets(&self) -> bool {
        self.connections.ids().into_iter().all(|id| match self.connections.get(id).map(|one| &one.driver) {
            Some(Driver::Http2(http2)) => http2.has_only_websockets(),
            Some(Driver::Http1(_)) => false,
            None => true,
        })
    }

    fn is_idle(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.is_between_requests(&self.exchanges))
    }
}
