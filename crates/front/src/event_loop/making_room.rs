//! Room for newcomers where as many connections are open as may be: whoever has been idle for longest goes.
//!
//! Only at the limit, and only while somebody waits to be accepted. All connections are looked through at most forty
//! times a second, however many newcomers there are. Runs on the front's thread.

use std::collections::VecDeque;

use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::transport::listener::Role;

/// For so long an idle connection is left alone: the client's next request may be on its way. No longer, since
/// whoever waits for the room waits as long: where 16 connections fit and 300 idle ones come, with a second
/// here the next client would wait for 18.
const LEAST_IDLE_MS: u64 = 50;
/// How often all connections are looked through.
const LOOK_EVERY_MS: u64 = 25;
/// How many idle ones are remembered of one look.
const FOUND_AT_ONCE: usize = 1024;

/// Idle connections as of the last look, the one idle for longest first; and since when each is.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    found: VecDeque<(ConnectionId, u64)>,
    look_at_ms: u64,
    /// Somebody waits, and nobody can go yet.
    is_wanted: bool,
}

impl EventLoop {
    /// Closes one idle connection; false where there is none, or it is not time to look again.
    pub(crate) fn close_idle(&mut self) -> bool {
        loop {
            while let Some((id, since)) = self.admission.idle_connections.found.pop_front() {
                if self.idle_since(id) != Some(since) {
                    continue;
                }
                // A request may have arrived that no event has announced yet: look before closing.
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.transport.look_again();
                }
                self.drive(id);
                if self.idle_since(id) == Some(since) {
                    self.close(id, CloseReason::MadeRoom);
                }
                if self.connections.get(id).is_none() {
                    self.admission.idle_connections.is_wanted = false;
                    return true;
                }
            }
            if self.clock.now_ms < self.admission.idle_connections.look_at_ms || !self.look_for_idle() {
                self.want_room();
                return false;
            }
        }
    }

    /// Milliseconds until [`EventLoop::make_room`] may succeed; None while nobody waits for it.
    pub(crate) fn next_room_ms(&self) -> Option<u64> {
        let idle = &self.admission.idle_connections;
        idle.is_wanted.then(|| idle.look_at_ms.saturating_sub(self.clock.now_ms))
    }

    /// Whether it makes sense to ask for room now.
    pub(crate) fn may_make_room(&self) -> bool {
        !self.admission.idle_connections.found.is_empty()
            || self.clock.now_ms >= self.admission.idle_connections.look_at_ms
    }

    /// Somebody waits for room, and may have to wait a little longer.
    pub(crate) fn want_room(&mut self) {
        self.admission.idle_connections.is_wanted = true;
    }

    /// Nobody waits for room.
    pub(crate) fn want_no_room(&mut self) {
        self.admission.idle_connections.is_wanted = false;
    }

    /// Looks through all connections; whether any of them may go.
    fn look_for_idle(&mut self) -> bool {
        self.admission.idle_connections.look_at_ms = self.clock.now_ms + LOOK_EVERY_MS;
        let latest = self.clock.now_ms.checked_sub(LEAST_IDLE_MS);
        let mut found: Vec<_> = self
            .connections
            .ids()
            .into_iter()
            .filter_map(|id| self.idle_since(id).map(|since| (id, since)))
            .filter(|(_, since)| latest.is_some_and(|latest| *since <= latest))
            .collect();
        found.sort_unstable_by_key(|(_, since)| *since);
        found.truncate(FOUND_AT_ONCE);
        self.admission.idle_connections.found = found.into();
        !self.admission.idle_connections.found.is_empty()
    }

    /// Since when nothing has come on a connection that waits for a request; None where it does not.
    fn idle_since(&self, id: ConnectionId) -> Option<u64> {
        let connection = self.connections.get(id)?;
        let is_idle = connection.is_between_requests(&self.exchanges)
            && connection.has_no_input()
            && !connection.lingering
            && connection.role == Role::Application;
        let given = if connection.fresh { self.settings.head_time } else { self.settings.keep_alive_time };
        let ends = self.timers.get(id.key).filter(|_| is_idle)?;
        Some(ends.saturating_sub(given.as_millis() as u64))
    }
}
