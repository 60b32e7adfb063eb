//! What the embedding process wants done: workers come, retire and die; accepting begins; logs change.
//!
//! Also the other direction: what the supervisor has to know of workers. Runs on the front's thread.

use std::time::Duration;

use pelton_link::{Progress, coarse_ms};

use crate::control::Order;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::{ExchangeId, State};
use crate::notices::{Level, News};
use crate::obituary::{describe, name};
use crate::scheduling::dispatch::Place;
use crate::scheduling::worker_link::Worker;

/// How often workers are looked at for threads that do not let go and for interpreters that do not run.
const WATCH_MS: u64 = 250;

/// A request's time was over so long ago, and the worker still has it.
fn stuck_text(worker: &Worker, slot: u16, grace: Duration) -> String {
    let (name, request, seconds) = (name(worker), describe(worker, slot), grace.as_secs_f64());
    format!("{name} does not let go of {request}, {seconds:.1} s after its time was over")
}

/// Nothing runs in the worker any more.
fn frozen_text(worker: &Worker, silent_ms: u64) -> String {
    let requests: Vec<_> = worker.used_slots().map(|(slot, _)| describe(worker, slot)).collect();
    format!(
        "{} has given no sign of life for {:.1} s: its interpreter is stuck, probably in native code that keeps the GIL, or a greenlet keeps \
         the hub. It has {}",
        name(worker),
        silent_ms as f64 / 1000.0,
        requests.join(", "),
    )
}

impl EventLoop {
    /// Does what has been ordered since the last turn.
    #[inline]
    pub(crate) fn follow_orders(&mut self) {
        if self.shared.has_orders() {
            self.follow_all_orders();
        }
    }

    #[cold]
    fn follow_all_orders(&mut self) {
        for order in self.shared.take_orders() {
            match order {
                Order::Accept => {
                    self.admission.may_accept = true;
                    self.take_over_connections();
                }
                Order::SetReady(is_ready) => self.is_ready = is_ready,
                Order::SetAccessLog(mut log) => {
                    if let (Some(new), Some(old)) = (&mut *log, &self.recording.access_log) {
                        new.follow(old);
                    }
                    if let Some(mut old) = std::mem::replace(&mut self.recording.access_log, *log) {
                        old.flush(&self.shared.counters.access_lines_dropped);
                    }
                    self.decide_recording();
                }
                Order::Add(link) => {
                    let number = link.number;
                    self.dispatch.add(*link);
                    self.shared.notices.tell(News::Added, number, String::new());
                }
                Order::Retire(number) => self.retire(number),
                Order::Died(number, how) => self.on_death(number, &how),
                Order::CalledItself(number, pid) => self.on_self_call(number, pid),
                Order::Mount(prefix, folder) => self.mount(&prefix, &folder),
                Order::Answer(pulse) => pulse.ring(),
                Order::Encrypt(encryption) => self.encryption = Some(encryption),
                Order::SetChallenges(challenges) => self.challenges = challenges,
                Order::Respond(number, response) => self.respond_to_admin(number, response),
                Order::ChangeRules(rules) => self.change_rules(*rules),
            }
        }
    }

    fn retire(&mut self, number: u64) {
        if let Some(seat) = self.dispatch.seat_of(number) {
            self.dispatch.retire(seat);
        }
    }

    /// A worker's process has ended. What it had not started goes to others, what it has answered is delivered, and whoever waits for more gets
    /// 502, or a cut where the response has begun.
    fn on_death(&mut self, number: u64, how: &str) {
        let Some(seat) = self.dispatch.seat_of(number) else { return };
        self.dispatch.revoke_spare(seat);
        self.move_back(seat);
        self.dispatch.declare_dead(seat);
        let Some(worker) = self.dispatch.worker(seat) else { return };
        let now = coarse_ms();
        let name = name(worker);
        let mut slots = Vec::new();
        let mut lines = Vec::new();
        for (slot, place) in worker.used_slots() {
            slots.push(slot);
            let is_report = place.is_spare && place.owner.is_none();
            if is_report || place.is_done || worker.end.response(u32::from(slot)).1 != Progress::Open {
                continue;
            }
            let age = worker.end.started_ms(u32::from(slot)).map_or(0, |started| now.saturating_sub(started));
            let outcome = match place.owner {
                _ if place.overdue_since.is_some() => "answered 504 before",
                None => "its client had gone",
                Some(id) => match self.exchanges.get(id).map(|exchange| exchange.state()) {
                    Some(State::Running) => "answered 502",
                    _ => "its response is cut off",
                },
            };
            let seconds = age as f64 / 1000.0;
            lines.push(format!(
                "{name} {how} while it ran {} for {seconds:.1} s: {outcome}",
                describe(worker, slot)
            ));
        }
        for line in lines {
            self.shared.counters.requests_lost.up();
            self.shared.notices.post(Level::Error, line);
        }
        for slot in slots {
            self.on_news(Place { seat, slot });
        }
    }

    /// Puts all that a worker has not started back into the queue.
    pub(crate) fn move_back(&mut self, seat: u16) {
        let moved = self.dispatch.take_back_all(seat);
        self.queue_again(moved);
    }

    /// A request comes that goes before others: what no thread has begun waits behind it in the queue.
    #[cold]
    pub(crate) fn make_way(&mut self) {
        let workers = self.dispatch.workers();
        let with_untaken = workers.filter(|(_, worker)| !worker.is_dead && worker.end.waiting() > 0);
        for seat in with_untaken.map(|(seat, _)| seat).collect::<Vec<_>>() {
            self.move_back(seat);
        }
    }

    fn queue_again(&mut self, moved: Vec<(ExchangeId, u64)>) {
        for (id, since_ms) in moved {
            self.shared.counters.requests_moved.up();
            if let Some(exchange) = self.exchanges.get_mut(id) {
                exchange.slot = None;
                exchange.become_state(State::Queued);
                self.exchange_timers.set(id.key, since_ms + self.settings.queue_time.as_millis() as u64);
            }
        }
    }

    /// Moves waiting requests to workers that have room, after those have been taken back that wait behind a long one or for
    /// a silent worker.
    pub(crate) fn serve_queue(&mut self) {
        if self.dispatch.is_to_look() {
            for seat in self.dispatch.stuck_seats(self.clock.now_ms) {
                let moved = self.dispatch.take_back_stuck(seat);
                self.queue_again(moved);
            }
        }
        while let Some((id, place)) = self.dispatch.place_next(self.clock.now_ms) {
            self.placed(id, place);
        }
    }

    /// Tells the supervisor what it has to know of workers, if it is time to look or there may be something.
    #[inline]
    pub(crate) fn report_workers(&mut self) {
        let must_watch = self.clock.now_ms >= self.watch.workers_at;
        if must_watch || self.dispatch.has_news_to_tell {
            self.look_at_workers(must_watch);
        }
    }

    fn look_at_workers(&mut self, must_watch: bool) {
        // Once in a while, not in every turn.
        let coarse_now = if must_watch { coarse_ms() } else { 0 };
        let grace = self.settings.interrupt_grace.as_millis() as u64;
        let limit = self.settings.worker_time.map(|time| time.as_millis() as u64);
        let notices = &self.shared.notices;
        let mut may_follow = false;
        for worker in self.dispatch.all().filter(|worker| !worker.is_dead) {
            if worker.is_retiring && !worker.reported.quiet && worker.is_quiet() {
                worker.reported.quiet = true;
                notices.tell(News::Quiet, worker.number, String::new());
            }
            if worker.left == Some(0) && !worker.reported.spent {
                worker.reported.spent = true;
                notices.tell(News::Spent, worker.number, String::new());
            }
            may_follow |= worker.is_retiring && !worker.reported.quiet;
            may_follow |= worker.left.is_some() && !worker.reported.spent;
            if !must_watch {
                continue;
            }
            worker.end.drop_stale_files();
            let now_ms = self.clock.now_ms;
            let is_late = |since: u64| now_ms.saturating_sub(since) >= grace;
            if !worker.reported.stuck
                && let Some(slot) = worker.overdue_slot(is_late)
            {
                worker.reported.stuck = true;
                notices.tell(
                    News::Stuck,
                    worker.number,
                    stuck_text(worker, slot, self.settings.interrupt_grace),
                );
            }
            let beat = worker.end.heartbeat_ms();
            if !worker.reported.frozen
                && beat > 0
                && worker.in_use() > 0
                && let Some(limit) = limit
                // Nor does it let go of any request: one that has just got its first may have been asleep before.
                && worker.silence_ms(now_ms) >= limit
                && coarse_now.saturating_sub(beat).saturating_sub(self.clock.absences.since(beat)) >= limit
            {
                worker.reported.frozen = true;
                notices.tell(
                    News::Frozen,
                    worker.number,
                    frozen_text(worker, coarse_now.saturating_sub(beat)),
                );
            }
        }
        self.dispatch.has_news_to_tell = may_follow;
        if must_watch {
            self.watch.workers_at = self.clock.now_ms + WATCH_MS;
        }
    }

    /// Milliseconds until workers have to be looked at although nothing happens.
    pub(crate) fn next_watch_ms(&self) -> Option<u64> {
        let must = self.settings.worker_time.is_some() || self.settings.request_time.is_some();
        (must && self.dispatch.slots_in_use() > 0)
            .then(|| self.watch.workers_at.saturating_sub(self.clock.now_ms))
    }

    /// A worker has reported news in a slot.
    #[inline]
    pub(crate) fn on_news(&mut self, place: Place) {
        self.dispatch.look(place, self.clock.now_ms);
        match self.dispatch.owner(place) {
            Some(id) if self.dispatch.has_taken_socket(place) => self.hand_over(id, place),
            Some(id) if self.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) => {
                self.on_http2_news(id, place);
            }
            Some(id) => match self.pump(id, place) {
                Turn::Again => self.drive_exchange(id),
                // The news may be that there is room for more of its body.
                Turn::Wait => {
                    if self.receive_more(id) == Turn::Again {
                        self.drive_exchange(id);
                    }
                }
                Turn::Closed => {}
            },
            None => self.dispatch.reap(place, self.clock.now_ms),
        }
    }
}
