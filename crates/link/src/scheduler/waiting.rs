//! What a thread without a request does: it sleeps on the bell as the puller, watches the pullers as the sentinel, or sleeps in the crowd.
//!
//! Owns the sentinel's watch and the take-over of a role. Runs on the threads that take requests, without the interpreter's lock unless said.

use crate::atomics::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::judgement::{Finding, judge};
use super::{Interpreter, RUNNING, Scheduler, Seat, TICK, Wake, puller_of, with_puller};
use crate::layout::{BELL_ASLEEP, BELL_AWAKE};
use crate::thread_clock::ThreadClock;
use crate::wake;

/// While every look finds the puller at another request, looks become rarer, up to this: each one costs as much as several quick
/// requests. The first request that blocks then waits a little longer to be found out, the next ones do not.
const LONG_TICK: u64 = 1000;
/// Ticks without any request after which the sentinel sleeps for good.
const CALM_TICKS: u32 = 10;
/// What the sentinel saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Which of the roles.
    place: usize,
    role: u64,
    at: Instant,
    /// The puller's processor time then, if it can be had.
    consumed: Option<Duration>,
    /// Without the interpreter's lock: what its request does. With the lock, [`Scheduler::take_over`] finds it out.
    finding: Option<Finding>,
}

/// What the sentinel saw of one role when it looked last.
#[derive(Clone, Copy, Debug)]
struct Look {
    role: u64,
    /// Since when it has watched the request that runs there; only without the interpreter's lock.
    suspicion: Option<Suspicion>,
    /// The puller's processor time when the watch on this request began.
    consumed: Duration,
}

impl Look {
    fn new(role: u64) -> Self {
        Look { role, suspicion: None, consumed: Duration::ZERO }
    }
}

impl Scheduler {
    pub(super) fn end_nap(&self) {
        if self.nap.load(Ordering::SeqCst) != 0 && self.nap.swap(0, Ordering::SeqCst) != 0 {
            wake::wake(&self.nap, 1, wake::Sharing::Private);
        }
    }

    /// Sleeps until there may be something to take. Call it without the GIL.
    pub fn wait(&self, seat: &mut Seat) -> Wake {
        self.end.settle();
        self.begin_idling(seat);
        loop {
            if self.is_stopping() {
                return Wake::Stop;
            }
            if self.population.has_surplus() && self.may_leave(seat) && self.population.is_surplus() {
                return Wake::Leave;
            }
            if self.own_role(seat).is_some() {
                if seat.role == 0 {
                    self.sleep_on_bell();
                } else if self.end.ready() > 0 {
                    // It may have been the sentinel: another one has to be.
                    self.wake_crowd(1);
                } else {
                    // It had the role before the scheduler became eager.
                    self.give_up_role(seat);
                    continue;
                }
                return if self.is_stopping() { Wake::Stop } else { Wake::Retry };
            }
            if self.is_vacant(0) {
                // Its holder has let go of it just now: it is never left vacant while a thread waits.
                continue;
            }
            if self.is_eager() {
                if self.end.ready() > 0 {
                    return Wake::Retry;
                }
            } else if self
                .end
                .sentinel
                .compare_exchange(0, seat.number, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                let suspicion = self.watch();
                self.end.sentinel.store(0, Ordering::SeqCst);
                self.end.settle();
                match suspicion {
                    Some(suspicion) => return Wake::Suspect(suspicion),
                    None => continue,
                }
            }
            self.sleep_in_crowd();
        }
    }

    /// Whether nobody relies on this thread, which comes to wait: others pull and watch, and nothing is there to be taken.
    fn may_leave(&self, seat: &Seat) -> bool {
        let has_role = |word: &AtomicU64| puller_of(word.load(Ordering::SeqCst)) == seat.number;
        !self.is_vacant(0) && !self.roles.iter().any(has_role) && self.end.ready() == 0
    }

    fn is_vacant(&self, place: usize) -> bool {
        self.roles.get(place).is_some_and(|word| puller_of(word.load(Ordering::SeqCst)) == 0)
    }

    fn sleep_on_bell(&self) {
        let bell = &self.end.sleepers().bell;
        bell.store(BELL_ASLEEP, Ordering::SeqCst);
        // The front sets the tail, then looks at the bell; we set the bell, then look at the tail.
        while self.end.ready() == 0 && !self.is_stopping() && bell.load(Ordering::SeqCst) == BELL_ASLEEP {
            wake::wait(bell, BELL_ASLEEP, None, self.end.sharing());
        }
        bell.store(BELL_AWAKE, Ordering::SeqCst);
    }

    fn sleep_in_crowd(&self) {
        let sleepers = self.end.sleepers();
        let ticket = sleepers.crowd.load(Ordering::SeqCst);
        sleepers.crowd_waiting.fetch_add(1, Ordering::SeqCst);
        let needed = self.is_stopping()
            || (self.population.has_surplus() && self.end.ready() == 0)
            || self.is_vacant(0)
            || if self.is_eager() {
                self.end.ready() > 0
            } else {
                self.end.sentinel.load(Ordering::SeqCst) == 0
                    || (self.roles.len() > 1 && self.has_work_for_another())
            };
        if !needed {
            wake::wait(&sleepers.crowd, ticket, None, self.end.sharing());
        }
        sleepers.crowd_waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// The sentinel's watch: until a puller has been at one request for a tick, a request waits for which there is a role, or the mode changes.
    fn watch(&self) -> Option<Suspicion> {
        let mut looks: Vec<Look> =
            self.roles.iter().map(|word| Look::new(word.load(Ordering::SeqCst))).collect();
        let mut calm = 0;
        loop {
            let tick = self.tick.load(Ordering::Relaxed);
            // `nap` is 0 here: a plain timed sleep that `stop` can end.
            wake::wait(&self.nap, 0, Some(Duration::from_micros(tick)), wake::Sharing::Private);
            self.end.settle();
            if self.is_stopping() || self.is_eager() || self.is_vacant(0) {
                return None;
            }
            if self.roles.len() > 1 && self.has_work_for_another() {
                return None;
            }
            let (mut runs, mut gets_on) = (false, true);
            for (place, look) in looks.iter_mut().enumerate() {
                let Some(role) = self.roles.get(place).map(|word| word.load(Ordering::SeqCst)) else { break };
                if role & RUNNING != 0 {
                    runs = true;
                    if role == look.role {
                        gets_on = false;
                        if let Some(suspicion) = self.suspect(place, look) {
                            return Some(suspicion);
                        }
                        continue;
                    }
                }
                *look = Look::new(role);
            }
            if runs {
                calm = 0;
                let next = if gets_on { (tick * 2).min(LONG_TICK) } else { TICK.as_micros() as u64 };
                self.tick.store(next, Ordering::Relaxed);
            } else {
                calm += 1;
                if calm > CALM_TICKS {
                    self.nap();
                    calm = 0;
                }
            }
        }
    }

    /// The puller of this role has been at the same request since the last look.
    fn suspect(&self, place: usize, look: &mut Look) -> Option<Suspicion> {
        let puller = self.clock_of(puller_of(look.role));
        let consumed = puller.and_then(ThreadClock::processor_time);
        let now = Suspicion { place, role: look.role, at: Instant::now(), consumed, finding: None };
        if self.interpreter == Interpreter::Locked {
            // The lock tells the rest: see `take_over`.
            return Some(now);
        }
        let consumed = consumed.unwrap_or_default();
        if look.suspicion.is_none() {
            look.consumed = consumed;
        }
        let first = *look.suspicion.get_or_insert(now);
        let computed = consumed.saturating_sub(first.consumed.unwrap_or_default());
        let in_all = consumed.saturating_sub(look.consumed);
        let mut lacks_processor = false;
        let finding = judge(now.at.duration_since(first.at), computed, in_all, || {
            lacks_processor = puller.is_some_and(ThreadClock::is_runnable);
            lacks_processor
        });
        if lacks_processor {
            // What it did not get says nothing about what it would have done.
            look.suspicion = Some(now);
        }
        finding.map(|finding| Suspicion { finding: Some(finding), ..first })
    }

    /// Sleeps until somebody runs a request. Whoever begins one changes its role first, and looks at `nap` then.
    fn nap(&self) {
        let is_running = |word: &AtomicU64| word.load(Ordering::SeqCst) & RUNNING != 0;
        self.nap.store(1, Ordering::SeqCst);
        while self.nap.load(Ordering::SeqCst) != 0
            && !self.is_vacant(0)
            && !self.roles.iter().any(is_running)
            && !self.is_stopping()
            && !self.is_eager()
        {
            wake::wait(&self.nap, 1, None, wake::Sharing::Private);
        }
        self.nap.store(0, Ordering::SeqCst);
    }

    /// Makes this thread the puller if the suspected one is still at the same request. Where the interpreter has a lock, call it with that held:
    /// that it could be had is the proof that the request does not just compute or wait for a processor.
    pub fn take_over(&self, seat: &mut Seat, suspicion: Suspicion) -> bool {
        let Some(word) = self.roles.get(suspicion.place) else { return false };
        // Read before the exchange: after it the old puller may be anywhere.
        let finding = suspicion.finding.unwrap_or_else(|| self.finding_since(&suspicion));
        let mine = with_puller(suspicion.role, seat.number);
        if word.compare_exchange(suspicion.role, mine, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        seat.role = suspicion.place;
        self.tick.store(TICK.as_micros() as u64, Ordering::Relaxed);
        // More threads do not help requests that compute; only blocking ones make the scheduler eager.
        if finding == Finding::Blocks && self.finds_too_many_slow() {
            self.enter_eager();
        } else {
            // This thread was the sentinel; another one has to be.
            self.wake_crowd(1);
        }
        true
    }

    fn finds_too_many_slow(&self) -> bool {
        self.slowness.note(true);
        self.slowness.asks_for_eagerness()
    }

    /// With the interpreter's lock held: what the suspected request has done since.
    fn finding_since(&self, suspicion: &Suspicion) -> Finding {
        let now = self.clock_of(puller_of(suspicion.role)).and_then(ThreadClock::processor_time);
        let computed = match (suspicion.consumed, now) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => Duration::ZERO,
        };
        if computed * 2 < suspicion.at.elapsed().max(TICK) { Finding::Blocks } else { Finding::Computes }
    }

    fn clock_of(&self, number: u32) -> Option<&ThreadClock> {
        self.clocks.get((number as usize).checked_sub(1)?)
    }
}
