//! What happens when a connection's time is over; what it was for follows from its state. Runs on the front's thread.

use pelton_link::{Phase, Why, coarse_ms};

use crate::connection::close::CloseReason;
use crate::connection::exchange::State;
use crate::connection::table::ConnectionId;
use crate::event_loop::EventLoop;
use crate::event_loop::own_answer::OwnAnswer;
use crate::notices::Level;
use crate::obituary::{describe, name};
use crate::scheduling::dispatch::Place;

impl EventLoop {
    /// The deadline of the connection at `key` has come.
    pub(crate) fn on_deadline(&mut self, key: usize) {
        let Some(id) = self.table.id_at(key) else { return };
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.lingering {
            self.close(id, CloseReason::AfterAnswer);
            return;
        }
        match connection.exchange.state() {
            State::Queued => {
                self.dispatch.leave_queue(id);
                self.expire(id);
            }
            State::Responding => {
                if !self.reader_goes_on(id) {
                    self.close(id, CloseReason::WriteTimeout);
                }
            }
            State::Receiving if connection.exchange.pending.is_some() => {
                self.answer(id, OwnAnswer::BodyLate);
                self.shared.counters.bodies_late.up();
                self.drive(id);
            }
            State::Receiving if connection.head_begun => {
                self.answer(id, OwnAnswer::HeadLate);
                self.shared.counters.heads_late.up();
                self.drive(id);
            }
            State::Receiving if self.draining => self.close(id, CloseReason::Draining),
            State::Receiving => self.close(id, CloseReason::Idle),
            State::Running => {
                if let Some(place) = connection.exchange.slot {
                    self.on_running_deadline(id, place);
                }
            }
            // No deadline is set in this state.
            State::Finished => {}
        }
    }

    /// A request in a slot: one that no thread has started has waited too long, one that runs may have run too long. The clock was set when it
    /// was handed over; when it started is known only now.
    fn on_running_deadline(&mut self, id: ConnectionId, place: Place) {
        let Some(worker) = self.dispatch.worker(place.seat) else { return };
        let slot = u32::from(place.slot);
        match worker.end.phase(slot) {
            Some(Phase::Ready) => {
                let since = worker.slot_use(place.slot).map_or(0, |slot_use| slot_use.since_ms);
                let end = since + self.settings.queue_time.as_millis() as u64;
                if self.now_ms < end {
                    self.timers.set(id.key, end);
                } else if self.dispatch.discard(place) {
                    if let Some(connection) = self.table.get_mut(id) {
                        connection.exchange.slot = None;
                    }
                    self.expire(id);
                } else {
                    // It has started in this very moment.
                    self.timers.set(id.key, self.now_ms + 1);
                }
            }
            Some(Phase::Running) => {
                let Some(limit) = self.settings.request_time.map(|time| time.as_millis() as u64) else {
                    return;
                };
                let now = coarse_ms();
                let started = worker.end.started_ms(slot).unwrap_or(now);
                // A worker stands still where the front does.
                let age = now.saturating_sub(started).saturating_sub(self.absences.since(started));
                if age < limit {
                    self.timers.set(id.key, self.now_ms + (limit - age));
                    return;
                }
                if !worker.withdraw(place.slot) {
                    self.hand_over(id, place);
                    return;
                }
                let message = format!(
                    "{} has run for {:.1} s in {}: answered 504",
                    describe(worker, place.slot),
                    age as f64 / 1000.0,
                    name(worker)
                );
                self.shared.notices.post(Level::Info, message);
                self.shared.counters.requests_timed_out.up();
                if let Some(connection) = self.table.get_mut(id) {
                    connection.exchange.slot = None;
                }
                self.dispatch.abandon(place, Why::Overdue, self.now_ms);
                self.answer(id, OwnAnswer::TimedOut);
                self.drive(id);
            }
            // Its answer is there and will be seen in this turn.
            Some(Phase::Done | Phase::Free) | None => {}
        }
    }

    fn expire(&mut self, id: ConnectionId) {
        self.shared.counters.requests_expired.up();
        self.answer(id, OwnAnswer::Expired);
        self.drive(id);
    }
}
