//! What happens when a connection's time is over; what it was for follows from its state. Runs on the front's thread.

use pelton_link::{Phase, Why, coarse_ms};

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::exchange::{ExchangeId, State};
use crate::notices::Level;
use crate::obituary::{describe, name};
use crate::response::own::OwnResponse;
use crate::scheduling::dispatch::Place;

impl EventLoop {
    /// The deadline of the connection at `key` has come: of its head, of the pause between requests, or of the end.
    pub(crate) fn on_connection_deadline(&mut self, key: usize) {
        let Some(id) = self.connections.id_at(key) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.lingering {
            self.close(id, CloseReason::AfterResponse);
            return;
        }
        if connection.transport.is_shaking() {
            self.shared.counters.handshakes_late.up();
            self.close(id, CloseReason::HandshakeLate);
            return;
        }
        let Some(http1) = connection.driver.http1() else {
            self.on_http2_deadline(id);
            return;
        };
        let exchange_id = http1.exchange;
        let is_awaited = self
            .exchanges
            .get(exchange_id)
            .is_some_and(|exchange| exchange.state() == State::Receiving && exchange.pending.is_none());
        if !is_awaited {
            // Of a request that has come meanwhile; from then on the exchange has deadlines of its own.
            return;
        }
        if http1.head_begun {
            self.respond_itself(exchange_id, OwnResponse::HeadLate);
            self.shared.counters.heads_late.up();
            self.drive(id);
        } else {
            self.close(id, if self.draining { CloseReason::Draining } else { CloseReason::Idle });
        }
    }

    /// The deadline of the exchange at `key` has come; what it was for follows from its state.
    pub(crate) fn on_exchange_deadline(&mut self, key: usize) {
        let Some(id) = self.exchanges.id_at(key) else { return };
        let Some(exchange) = self.exchanges.get(id) else { return };
        let connection_id = exchange.connection;
        match exchange.state() {
            State::Queued => {
                self.dispatch.leave_queue(id);
                self.expire(id);
            }
            State::Responding => {
                if !self.reader_goes_on(id) {
                    self.close_exchange(id, CloseReason::WriteTimeout);
                }
            }
            State::Receiving if exchange.pending.is_some() => {
                self.respond_itself(id, OwnResponse::BodyLate);
                self.shared.counters.bodies_late.up();
                self.drive(connection_id);
            }
            State::Running => {
                if let Some(place) = exchange.slot {
                    self.on_running_deadline(id, place);
                }
            }
            // No deadline is set in these states.
            State::Receiving | State::Finished => {}
        }
    }

    /// A request in a slot: one that no thread has started has waited too long, one that runs may have run too long. The clock was set when it
    /// was handed over; when it started is known only now.
    fn on_running_deadline(&mut self, id: ExchangeId, place: Place) {
        let Some(worker) = self.dispatch.worker(place.seat) else { return };
        let slot = u32::from(place.slot);
        match worker.end.phase(slot) {
            Some(Phase::Ready) => {
                let since = worker.slot_use(place.slot).map_or(0, |slot_use| slot_use.since_ms);
                let end = since + self.settings.queue_time.as_millis() as u64;
                if self.clock.now_ms < end {
                    self.exchange_timers.set(id.key, end);
                } else if self.dispatch.discard(place) {
                    if let Some(exchange) = self.exchanges.get_mut(id) {
                        exchange.slot = None;
                    }
                    self.expire(id);
                } else {
                    // It has started in this very moment.
                    self.exchange_timers.set(id.key, self.clock.now_ms + 1);
                }
            }
            Some(Phase::Running) => {
                let Some(limit) = self.settings.request_time.map(|time| time.as_millis() as u64) else {
                    return;
                };
                let now = coarse_ms();
                let started = worker.end.started_ms(slot).unwrap_or(now);
                // A worker stands still where the front does.
                let age = now.saturating_sub(started).saturating_sub(self.clock.absences.since(started));
                if age < limit {
                    self.exchange_timers.set(id.key, self.clock.now_ms + (limit - age));
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
                if let Some(exchange) = self.exchanges.get_mut(id) {
                    exchange.slot = None;
                }
                self.dispatch.abandon(place, Why::Overdue, self.clock.now_ms);
                self.respond_itself(id, OwnResponse::TimedOut);
                self.drive_exchange(id);
            }
            // Its response is there and will be seen in this turn.
            Some(Phase::Done | Phase::Free) | None => {}
        }
    }

    fn expire(&mut self, id: ExchangeId) {
        self.shared.counters.requests_expired.up();
        self.respond_itself(id, OwnResponse::Expired);
        self.drive_exchange(id);
    }
}
