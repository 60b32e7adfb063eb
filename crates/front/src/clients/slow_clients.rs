//! Clients that are slow: how little they may move.
//!
//! One rule for both directions: within each window (`body_idle_time`, `write_idle_time`) a client has to move as many bytes as the least
//! rate makes in that time. A window that brings enough is followed by the next; one that does not is the end. Runs on the front's thread.

use std::time::Duration;

use crate::connection::turn::Turn;
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ExchangeId;

/// How long a reader may stay behind before it counts as slow: a quick one has caught up long before, and needs no file.
const SLOW_AFTER_MS: u64 = 200;

/// The client may begin to send a body.
pub(crate) fn body_begins(front: &mut Front, id: ExchangeId) {
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.moved = 0;
        if let Some(pending) = &mut exchange.pending {
            pending.since_ms = front.clock.now_ms;
        }
    }
    begin_body_window(front, id);
}

/// `count` more bytes of a body have come.
pub(crate) fn body_progress(front: &mut Front, id: ExchangeId, count: usize) {
    let quota = body_quota(front);
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    exchange.moved += count as u64;
    if exchange.moved >= quota {
        exchange.moved = 0;
        begin_body_window(front, id);
    }
}

/// Bytes of a body that a window has to bring.
pub(crate) fn body_quota(front: &Front) -> u64 {
    quota(front.settings.body_rate, front.settings.body_idle_time)
}

/// Bytes of a response that a window has to bring.
pub(crate) fn write_quota(front: &Front) -> u64 {
    quota(front.settings.write_rate, front.settings.write_idle_time)
}

fn begin_body_window(front: &mut Front, id: ExchangeId) {
    let mut end = front.clock.now_ms + front.settings.body_idle_time.as_millis() as u64;
    if let Some(whole) = front.settings.body_time
        && let Some(exchange) = front.exchanges.get(id)
        && let Some(pending) = &exchange.pending
    {
        end = end.min(pending.since_ms + whole.as_millis() as u64);
    }
    front.exchange_timers.set(id.key, end);
}

/// The client has taken `count` bytes of what is kept for it.
pub(crate) fn write_progress(front: &mut Front, id: ExchangeId, count: usize) {
    let quota = write_quota(front);
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    exchange.moved += count as u64;
    if exchange.moved >= quota {
        // The next wait begins another window.
        front.exchange_timers.clear(id.key);
    }
}

/// Waits for the client to take what is kept for it, on the clock; or, with nothing kept, for the application, off it.
pub(crate) fn wait_for_reader(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get(id) else { return Turn::Closed };
    let has_unsent = || {
        front.connections.get(exchange.connection).is_some_and(|connection| connection.transport.has_unsent())
    };
    if exchange.state() != State::Responding {
        // What was reported was not the response: news of the slot's previous request, or room for more of a body. Its clock is not the reader's.
        return Turn::Wait;
    }
    if exchange.output.is_empty() && !has_unsent() {
        front.exchange_timers.clear(id.key);
    } else if !front.exchange_timers.is_set(id.key) {
        begin_write_window(front, id);
    }
    Turn::Wait
}

/// The client has so much time to take something.
pub(crate) fn begin_write_window(front: &mut Front, id: ExchangeId) {
    if let Some(exchange) = front.exchanges.get_mut(id)
        && let Some(connection) = front.connections.get(exchange.connection)
    {
        exchange.moved = 0;
        exchange.taken_before = exchange.taken(&connection.transport);
    }
    front.set_deadline(id, front.settings.write_idle_time);
}

/// The window is over, and the system has not taken enough in it. It takes more only when a large part of what it
/// holds is gone, which a steady reader may need many windows for; what the reader has taken of that counts
/// instead. Whether there is another window.
pub(crate) fn reader_goes_on(front: &mut Front, id: ExchangeId) -> bool {
    let quota = write_quota(front);
    let Some(exchange) = front.exchanges.get(id) else { return false };
    let Some(connection) = front.connections.get(exchange.connection) else { return false };
    if exchange.taken(&connection.transport).saturating_sub(exchange.taken_before) < quota {
        return false;
    }
    begin_write_window(front, id);
    true
}

/// Whether as much is kept for the client as may be in memory, and no file takes the rest. The response is looked at again after a while: a
/// client that is still behind then gets a file.
pub(crate) fn is_full(front: &mut Front, id: ExchangeId) -> bool {
    let settings = &front.settings;
    let allowance = front.backlog.allowance(settings.response_buffer_bytes, settings.response_memory_bytes);
    let Some(exchange) = front.exchanges.get_mut(id) else { return false };
    if exchange.output.held() <= allowance || exchange.output.can_spill() {
        return false;
    }
    if !exchange.is_behind && (settings.response_file_bytes > 0 || exchange.stream != 0) {
        exchange.is_behind = true;
        front.behind.push_back((id, front.clock.now_ms + SLOW_AFTER_MS));
    }
    true
}

/// Milliseconds until a reader that stays behind is to be looked at.
pub(crate) fn next_behind_ms(front: &Front) -> Option<u64> {
    front.behind.front().map(|(_, due)| due.saturating_sub(front.clock.now_ms))
}

/// Bytes that a window has to bring; any byte at all where there is no rate.
fn quota(rate: u64, window: Duration) -> u64 {
    (rate * window.as_millis() as u64 / 1000).max(1)
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
