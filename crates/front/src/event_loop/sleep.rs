//! How long the front may sleep, and what it has to say before it does. Runs on the front's thread.

use std::io;
use std::time::Duration;

use mio::Events;

use crate::event_loop::EventLoop;

/// How often the queue is tried while a link has no room for reasons of which nothing tells the end.
const STALLED_MS: u64 = 5;
/// A wait without an end.
const NEVER: u64 = u64::MAX;

impl EventLoop {
    /// Waits for events, or until something is due.
    pub(crate) fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let wait = self.may_wait_ms();
        let busy = !self.again.is_empty() || self.relays.have_work() || wait == 0;
        self.clock.waits_ms = 0;
        if self.dispatch.unannounced() > 0 {
            // One more look for requests that can share the wake-up, if there is anybody else to send one; not two in a row, or busy clients could
            // put it off for ever.
            let others = self.connections.len() > self.dispatch.unannounced();
            if others && !std::mem::replace(&mut self.looked_again, true) {
                self.poll.poll(events, Some(Duration::ZERO))?;
                if !events.is_empty() {
                    return Ok(());
                }
            }
            self.dispatch.ring_bells();
        }
        self.looked_again = false;
        // After the announcement, or a bell rung in between would be lost.
        if busy || !self.dispatch.prepare_sleep() {
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        self.clock.waits_ms = wait;
        let result = self.poll.poll(events, (wait != NEVER).then(|| Duration::from_millis(wait)));
        self.dispatch.awake();
        result
    }

    /// What goes before the poller in a simulation: announces what is to be announced. Gives how long the front would wait now, in
    /// milliseconds; None for ever.
    #[cfg(test)]
    pub(crate) fn rest(&mut self) -> Option<u64> {
        self.dispatch.ring_bells();
        let wait = self.may_wait_ms();
        let is_busy = !self.again.is_empty() || !self.dispatch.prepare_sleep();
        self.dispatch.awake();
        self.clock.waits_ms = if is_busy { 0 } else { wait };
        (self.clock.waits_ms != NEVER).then_some(self.clock.waits_ms)
    }

    /// Milliseconds until something is due without any event, or [`NEVER`].
    fn may_wait_ms(&self) -> u64 {
        let soonest = |wait: u64, other: Option<u64>| other.map_or(wait, |other| wait.min(other));
        let mut wait = soonest(NEVER, self.timers.next_in(self.clock.now_ms));
        wait = soonest(wait, self.exchange_timers.next_in(self.clock.now_ms));
        if self.may_accept_some() {
            wait = wait.min(self.admission.pause_until.saturating_sub(self.clock.now_ms));
        }
        if self.dispatch.is_stalled() {
            wait = wait.min(STALLED_MS);
        }
        if self.recording.wants_ends {
            wait = soonest(wait, self.next_note_ms());
        }
        wait = soonest(wait, self.dispatch.next_look_ms());
        wait = soonest(wait, self.next_watch_ms());
        wait = soonest(wait, self.next_load_ms());
        wait = soonest(wait, self.next_behind_ms());
        wait = soonest(wait, self.next_room_ms());
        wait = soonest(wait, self.next_trim_ms());
        wait = soonest(wait, self.next_upload_ms());
        wait = soonest(wait, self.next_file_ms());
        wait = soonest(wait, self.next_departure_ms());
        let relay_ends = self.relays.next_end_ms().map(|due_ms| due_ms.saturating_sub(self.clock.now_ms));
        wait = soonest(wait, relay_ends);
        soonest(wait, self.next_self_call_ms())
    }
}
