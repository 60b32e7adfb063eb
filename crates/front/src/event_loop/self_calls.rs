//! Looks at requests that wait for a permit, asks whether the application itself made them, and lends them one (see `scheduling::self_call`,
//! which has the reasons and the bounds). Runs on the front's thread.

use pelton_link::SelfCall;

use crate::event_loop::EventLoop;
use crate::exchange::State;
use crate::notices::Level;
use crate::scheduling::self_call::{FIRST_MS, LocalCall, LocalCalls, SelfCallPolicy};

/// Requests in one question; the others come in the next.
const MOST_ASKED: usize = 1024;
/// Recognised requests that wait until a lent permit is given back; further ones wait like any other request.
const MOST_WANTING: usize = 1024;
/// Permits that may be lent however few threads there are: with one thread, a view that calls one that calls a third is no recursion yet.
const LEAST_LENT: usize = 4;
/// Between two lines about permits that are not lent.
const COMPLAIN_EVERY_MS: u64 = 60_000;

impl EventLoop {
    /// Asks about requests that have waited for a moment, if it is time to.
    #[inline]
    pub(crate) fn look_for_self_calls(&mut self) {
        if self.settings.self_call == SelfCallPolicy::Off {
            return;
        }
        if self.dispatch.is_short() {
            self.help_self_calls();
        }
    }

    #[cold]
    fn help_self_calls(&mut self) {
        if !self.self_calls.wanting.is_empty() && self.dispatch.lent() < self.most_lent() {
            self.lend_to_the_wanting();
        }
        if self.self_calls.due_in(self.clock.now_ms) == 0 {
            self.ask_about_the_waiting();
        }
    }

    /// Milliseconds until [`EventLoop::look_for_self_calls`] has something to do although nothing happens.
    #[inline]
    pub(crate) fn next_self_call_ms(&self) -> Option<u64> {
        let must = self.settings.self_call != SelfCallPolicy::Off && self.dispatch.is_short();
        must.then(|| self.self_calls.due_in(self.clock.now_ms))
    }

    fn ask_about_the_waiting(&mut self) {
        let now = self.clock.now_ms;
        let after = self.self_calls.begin_look(now);
        let waiting = self.dispatch.waiting(after, now.saturating_sub(FIRST_MS));
        let mut question = LocalCalls::default();
        for (number, id) in waiting {
            if question.calls.len() == MOST_ASKED {
                break;
            }
            self.self_calls.asked = number;
            let origin = self.connection_of(id).and_then(|connection| connection.transport.origin());
            question.calls.extend(origin.map(|origin| LocalCall { number, origin }));
        }
        if question.calls.is_empty() {
            return;
        }
        question.workers =
            self.dispatch.all().filter(|worker| !worker.is_dead).map(|worker| worker.pid).collect();
        self.self_calls.note_question(now);
        self.shared.notices.ask(question);
    }

    /// The answer to a question: a request was made by the worker process `pid`.
    pub(crate) fn on_self_call(&mut self, number: u64, pid: u32) {
        self.self_calls.note_answer(self.clock.now_ms);
        match self.settings.self_call {
            SelfCallPolicy::Off => {}
            SelfCallPolicy::Warn => self.have_reported(number, pid),
            SelfCallPolicy::Lend => {
                if self.self_calls.wanting.len() < MOST_WANTING {
                    self.self_calls.wanting.push_back((number, pid));
                }
                self.lend_to_the_wanting();
            }
        }
    }

    fn most_lent(&self) -> usize {
        self.dispatch.permits().max(LEAST_LENT)
    }

    fn lend_to_the_wanting(&mut self) {
        while self.dispatch.lent() < self.most_lent() {
            let Some((number, pid)) = self.self_calls.wanting.pop_front() else { return };
            self.lend(number, pid);
        }
        if !self.self_calls.wanting.is_empty() && self.clock.now_ms >= self.self_calls.complain_at {
            self.self_calls.complain_at = self.clock.now_ms + COMPLAIN_EVERY_MS;
            let message = format!(
                "the application calls its own server, and all of the {} permits that are lent for that are taken: further \
                 calls wait until one comes back, at most {:.1} s. Does a request call itself without end?",
                self.dispatch.lent(),
                self.settings.queue_time.as_secs_f64(),
            );
            self.shared.notices.post(Level::Warning, message);
        }
    }

    fn lend(&mut self, number: u64, pid: u32) {
        let Some(seat) = self.dispatch.seat_for(pid) else { return };
        self.make_room(seat);
        let Some(waiting) = self.dispatch.extract(number) else { return };
        let (id, since_ms) = (waiting.id, waiting.since_ms);
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.state() == State::Running {
            exchange.slot = None;
            exchange.become_state(State::Queued);
        }
        let Some(connection) = self.connection_of(id) else { return };
        let self_call = SelfCall { is_report: false, caller_port: connection.transport.peer_port() };
        match self.dispatch.place_spare(seat, waiting, self_call, self.clock.now_ms) {
            Ok((id, place)) => {
                self.shared.counters.permits_lent.up();
                self.placed(id, place);
            }
            Err(waiting) => {
                self.dispatch.put_back(waiting);
                self.exchange_timers.set(id.key, since_ms + self.settings.queue_time.as_millis() as u64);
            }
        }
    }

    /// Sends a copy of the request to the worker that waits for it, for the log; the request itself stays where it is.
    fn have_reported(&mut self, number: u64, pid: u32) {
        // Reports that are not read are no permits, but a worker that reads none needs no more of them either.
        if self.dispatch.lent() >= self.most_lent() {
            return;
        }
        let Some(seat) = self.dispatch.seat_for(pid) else { return };
        self.make_room(seat);
        let Some(copy) = self.dispatch.copy_of(number) else { return };
        let Some(connection) = self.connection_of(copy.id) else { return };
        let self_call = SelfCall { is_report: true, caller_port: connection.transport.peer_port() };
        // Where there is no slot there is no report.
        let _ = self.dispatch.place_spare(seat, copy, self_call, self.clock.now_ms);
    }

    /// A worker that is alone may have all of its slots full of requests that wait.
    fn make_room(&mut self, seat: u16) {
        if self.dispatch.worker(seat).is_some_and(|worker| worker.end.free_slots() == 0) {
            self.move_back(seat);
        }
    }
}
