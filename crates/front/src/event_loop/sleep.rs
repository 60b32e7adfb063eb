//! How long the front may sleep, and what it has to say before it does. Runs on the front's thread.

use std::io;
use std::time::Duration;

use mio::Events;

use crate::clients::{gone_clients, room, slow_clients};
use crate::event_loop::{self_calls, trimming, worker_reports};
use crate::front::Front;
use crate::handlers::{agent, files};
use crate::recording::request_records;
use crate::requests::uploads;
use crate::scheduling::stuck;

/// How often the queue is tried while a link has no room for reasons of which nothing tells the end.
const STALLED_MS: u64 = 5;

/// A wait without an end.
const NEVER: u64 = u64::MAX;

/// Waits for events, or until something is due.
pub(crate) fn sleep(front: &mut Front, events: &mut Events) -> io::Result<()> {
    let wait = may_wait_ms(front);
    let busy = !front.again.is_empty() || front.relays.have_work() || wait == 0;
    front.clock.waits_ms = 0;
    if front.dispatch.unannounced() > 0 {
        // One more look for requests that can share the wake-up, if there is anybody else to send one; not two in a row, or busy clients could
        // put it off for ever.
        let others = front.connections.len() > front.dispatch.unannounced();
        if others && !std::mem::replace(&mut front.looked_again, true) {
            front.poll.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
        }
        front.dispatch.ring_bells();
    }
    front.looked_again = false;
    // After the announcement, or a bell rung in between would be lost.
    if busy || !front.dispatch.prepare_sleep() {
        return front.poll.poll(events, Some(Duration::ZERO));
    }
    front.clock.waits_ms = wait;
    let result = front.poll.poll(events, (wait != NEVER).then(|| Duration::from_millis(wait)));
    front.dispatch.awake();
    result
}

/// What goes before the poller in a simulation: announces what is to be announced. Gives how long the front would wait now, in
/// milliseconds; None for ever.
#[cfg(test)]
pub(crate) fn rest(front: &mut Front) -> Option<u64> {
    front.dispatch.ring_bells();
    let wait = may_wait_ms(front);
    let is_busy = !front.again.is_empty() || !front.dispatch.prepare_sleep();
    front.dispatch.awake();
    front.clock.waits_ms = if is_busy { 0 } else { wait };
    (front.clock.waits_ms != NEVER).then_some(front.clock.waits_ms)
}

/// Milliseconds until something is due without any event, or [`NEVER`].
fn may_wait_ms(front: &Front) -> u64 {
    let soonest = |wait: u64, other: Option<u64>| other.map_or(wait, |other| wait.min(other));
    let mut wait = soonest(NEVER, front.timers.next_in(front.clock.now_ms));
    wait = soonest(wait, front.exchange_timers.next_in(front.clock.now_ms));
    if room::may_accept_some(front) {
        wait = wait.min(front.admission.pause_until.saturating_sub(front.clock.now_ms));
    }
    if front.dispatch.is_stalled() {
        wait = wait.min(STALLED_MS);
    }
    if front.recording.wants_ends {
        wait = soonest(wait, request_records::next_note_ms(front));
    }
    wait = soonest(wait, stuck::next_look_ms(&front.dispatch));
    wait = soonest(wait, worker_reports::next_watch_ms(front));
    wait = soonest(wait, agent::next_load_ms(front));
    wait = soonest(wait, slow_clients::next_behind_ms(front));
    wait = soonest(wait, room::next_room_ms(front));
    wait = soonest(wait, trimming::next_trim_ms(front));
    wait = soonest(wait, uploads::next_upload_ms(front));
    wait = soonest(wait, files::next_file_ms(front));
    wait = soonest(wait, gone_clients::next_departure_ms(front));
    let relay_ends = front.relays.next_end_ms().map(|due_ms| due_ms.saturating_sub(front.clock.now_ms));
    wait = soonest(wait, relay_ends);
    soonest(wait, self_calls::next_self_call_ms(front))
}
