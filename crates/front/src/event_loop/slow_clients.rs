//! Clients that are slow: how little they may move, and what is done for those that take their responses slowly.
//!
//! One rule for both directions: within each window (`body_idle_time`, `write_idle_time`) a client has to move as many bytes as the least
//! rate makes in that time. A window that brings enough is followed by the next; one that does not is the end. Runs on the front's thread.

use std::time::Duration;

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::{ExchangeId, State};
use crate::notices::Level;
use crate::scheduling::dispatch::Place;

/// How long a reader may stay behind before it counts as slow: a quick one has caught up long before, and needs no file.
const SLOW_AFTER_MS: u64 = 200;

/// Bytes that a window has to bring; any byte at all where there is no rate.
fn quota(rate: u64, window: Duration) -> u64 {
    (rate * window.as_millis() as u64 / 1000).max(1)
}

impl EventLoop {
    /// The client may begin to send a body.
    pub(crate) fn body_begins(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.moved = 0;
            if let Some(pending) = &mut exchange.pending {
                pending.since_ms = self.clock.now_ms;
            }
        }
        self.begin_body_window(id);
    }

    /// `count` more bytes of a body have come.
    pub(crate) fn body_progress(&mut self, id: ExchangeId, count: usize) {
        let quota = self.body_quota();
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.moved += count as u64;
        if exchange.moved >= quota {
            exchange.moved = 0;
            self.begin_body_window(id);
        }
    }

    /// Bytes of a body that a window has to bring.
    pub(crate) fn body_quota(&self) -> u64 {
        quota(self.settings.body_rate, self.settings.body_idle_time)
    }

    /// Bytes of a response that a window has to bring.
    pub(crate) fn write_quota(&self) -> u64 {
        quota(self.settings.write_rate, self.settings.write_idle_time)
    }

    fn begin_body_window(&mut self, id: ExchangeId) {
        let mut end = self.clock.now_ms + self.settings.body_idle_time.as_millis() as u64;
        if let Some(whole) = self.settings.body_time
            && let Some(exchange) = self.exchanges.get(id)
            && let Some(pending) = &exchange.pending
        {
            end = end.min(pending.since_ms + whole.as_millis() as u64);
        }
        self.exchange_timers.set(id.key, end);
    }

    /// The client has taken `count` bytes of what is kept for it.
    pub(crate) fn write_progress(&mut self, id: ExchangeId, count: usize) {
        let quota = self.write_quota();
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.moved += count as u64;
        if exchange.moved >= quota {
            // The next wait begins another window.
            self.exchange_timers.clear(id.key);
        }
    }

    /// Waits for the client to take what is kept for it, on the clock; or, with nothing kept, for the application, off it.
    pub(crate) fn wait_for_reader(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get(id) else { return Turn::Closed };
        let has_unsent = || {
            self.connections
                .get(exchange.connection)
                .is_some_and(|connection| connection.transport.has_unsent())
        };
        if exchange.state() != State::Responding {
            // What was reported was not the response: news of the slot's previous request, or room for more of a body. Its clock is not the reader's.
            return Turn::Wait;
        }
        if exchange.output.is_empty() && !has_unsent() {
            self.exchange_timers.clear(id.key);
        } else if !self.exchange_timers.is_set(id.key) {
            self.begin_write_window(id);
        }
        Turn::Wait
    }

    /// The client has so much time to take something.
    pub(crate) fn begin_write_window(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(id)
            && let Some(connection) = self.connections.get(exchange.connection)
        {
            exchange.moved = 0;
            exchange.taken_before = exchange.taken(&connection.transport);
        }
        self.set_deadline(id, self.settings.write_idle_time);
    }

    /// The window is over, and the system has not taken enough in it. It takes more only when a large part of what it
    /// holds is gone, which a steady reader may need many windows for; what the reader has taken of that counts
    /// instead. Whether there is another window.
    pub(crate) fn reader_goes_on(&mut self, id: ExchangeId) -> bool {
        let quota = self.write_quota();
        let Some(exchange) = self.exchanges.get(id) else { return false };
        let Some(connection) = self.connections.get(exchange.connection) else { return false };
        if exchange.taken(&connection.transport).saturating_sub(exchange.taken_before) < quota {
            return false;
        }
        self.begin_write_window(id);
        true
    }

    /// Whether as much is kept for the client as may be in memory, and no file takes the rest. The response is looked at again after a while: a
    /// client that is still behind then gets a file.
    pub(crate) fn is_full(&mut self, id: ExchangeId) -> bool {
        let settings = &self.settings;
        let allowance =
            self.backlog.allowance(settings.response_buffer_bytes, settings.response_memory_bytes);
        let Some(exchange) = self.exchanges.get_mut(id) else { return false };
        if exchange.output.held() <= allowance || exchange.output.can_spill() {
            return false;
        }
        if !exchange.is_behind && (settings.response_file_bytes > 0 || exchange.stream != 0) {
            exchange.is_behind = true;
            self.behind.push_back((id, self.clock.now_ms + SLOW_AFTER_MS));
        }
        true
    }

    /// Milliseconds until a reader that stays behind is to be looked at.
    pub(crate) fn next_behind_ms(&self) -> Option<u64> {
        self.behind.front().map(|(_, due)| due.saturating_sub(self.clock.now_ms))
    }

    fn pump_on(&mut self, id: ExchangeId, place: Place) {
        if self.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) {
            self.on_http2_news(id, place);
            return;
        }
        if self.pump(id, place) == Turn::Again {
            self.drive_exchange(id);
        }
    }

    /// Gives files to the readers that have not caught up.
    pub(crate) fn help_slow_readers(&mut self) {
        while let Some(&(id, due)) = self.behind.front()
            && due <= self.clock.now_ms
        {
            self.behind.pop_front();
            let Some(exchange) = self.exchanges.get_mut(id) else { continue };
            exchange.is_behind = false;
            let Some(place) = exchange.slot else { continue };
            if !self.is_full(id) {
                // It has caught up, or may keep more because others keep less: nothing else tells of the latter.
                self.pump_on(id, place);
                continue;
            }
            if self.stalls_too_many(id) {
                self.close_exchange(id, CloseReason::Stalled);
                continue;
            }
            let file_bytes = self.settings.response_file_bytes;
            let Some(spool) = self.spool_of(id).filter(|_| file_bytes > 0) else { continue };
            let Some(exchange) = self.exchanges.get_mut(id) else { continue };
            match exchange.output.begin_spilling(&spool, file_bytes) {
                Ok(true) => {
                    self.shared.counters.responses_spooled.up();
                    self.pump_on(id, place);
                }
                Ok(false) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.spool_complained, true) {
                        let place = self.spool.directory();
                        self.shared.notices.post(
                            Level::Error,
                            format!("a response for a slow reader could not be put into a file in {place}: {error}; its thread waits"),
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_at_least_one_byte() {
        assert_eq!(quota(0, Duration::from_secs(60)), 1);
        assert_eq!(quota(500, Duration::from_secs(30)), 15_000);
        assert_eq!(quota(500, Duration::from_millis(100)), 50);
    }
}
