//! How each end learns that something takes too long, or that the other end has gone.
//!
//! Owns the alarm (a request is overdue: the worker's watch shall interrupt it), the heartbeat (the watch had the GIL), the time at
//! which a request began, and `sever`. Decides nothing: how long is too long, and what to do, are the front's and the watch's business.

use crate::atomics::fence;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::coarse_ms;
use crate::front_end::FrontEnd;
use crate::layout::{DEPARTED, GONE, LEFT, OVERDUE, Phase, state_word};
use crate::wake;
use crate::worker_end::WorkerEnd;

/// Why nobody waits for a response any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client has gone.
    Gone,
    /// It has gone, and the request goes on as if it had not: the worker shall interrupt it.
    Departed,
    /// It took too long, and the front has answered itself: the worker shall interrupt it.
    Overdue,
}

/// What a worker has decided about its threads last. The worker's word, for people only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sized {
    /// How many there are.
    pub threads: u32,
    /// Thousandths of the time in which they compute.
    pub computing: u32,
    /// Which of the reasons that the worker knows.
    pub reason: u32,
    /// When, by [`coarse_ms`]; 0: never, there is one number.
    pub decided_ms: u64,
}

impl FrontEnd {
    /// What the worker has decided about its threads last.
    pub fn sized(&self) -> Sized {
        let pulse = &self.control().pulse.0;
        Sized {
            threads: pulse.threads.load(Ordering::Relaxed),
            computing: pulse.computing.load(Ordering::Relaxed),
            reason: pulse.reason.load(Ordering::Relaxed),
            decided_ms: pulse.decided_ms.load(Ordering::Relaxed),
        }
    }

    /// Says that the client has closed its side, and may or may not still read. Nothing is released or woken: the response goes on.
    pub fn leave(&self, slot: u32) {
        let gone = &self.slot(slot).asker.0.gone;
        if gone.load(Ordering::Relaxed) < LEFT {
            gone.store(LEFT, Ordering::Release);
        }
    }

    /// Says that nobody waits for this response: a waiting writer is released and learns of it. `Departed` and `Overdue` also wake the worker's
    /// watch; `Overdue` stands even if the client goes afterwards.
    pub fn abandon(&self, slot: u32, why: Why) {
        let gone = &self.slot(slot).asker.0.gone;
        let word = match why {
            Why::Gone => GONE,
            Why::Departed => DEPARTED,
            Why::Overdue => OVERDUE,
        };
        // The front is the only writer.
        if gone.load(Ordering::Relaxed) < word {
            gone.store(word, Ordering::Release);
        }
        self.make_room_known(slot);
        if why != Why::Gone {
            let alarm = &self.control().pulse.0.alarm;
            alarm.fetch_add(1, Ordering::SeqCst);
            wake::wake(alarm, u32::MAX, self.sharing());
        }
    }

    /// The phase of a slot; None where the worker has written nonsense.
    pub fn phase(&self, slot: u32) -> Option<Phase> {
        let state = self.slot(slot).responder.0.state.load(Ordering::Acquire);
        Phase::of(state).filter(|_| (state >> 32) as u32 == self.owner(slot).generation)
    }

    /// When the worker began with a submitted slot's request, by [`coarse_ms`]; None while that is unknown, also for a moment after it began.
    /// The worker's word: it may lie in the future.
    pub fn started_ms(&self, slot: u32) -> Option<u64> {
        let started = self.slot(slot).responder.0.started_ms.load(Ordering::Relaxed);
        (started != 0).then_some(started)
    }

    /// When the worker's watch last proved that its interpreter runs, by [`coarse_ms`]; 0 before the first time.
    pub fn heartbeat_ms(&self) -> u64 {
        self.control().pulse.0.heartbeat_ms.load(Ordering::Relaxed)
    }
}

impl WorkerEnd {
    /// Tells the front what was decided about threads.
    pub fn tell_sized(&self, threads: u32, computing: u32, reason: u32) {
        let pulse = &self.control().pulse.0;
        pulse.threads.store(threads, Ordering::Relaxed);
        pulse.computing.store(computing, Ordering::Relaxed);
        pulse.reason.store(reason, Ordering::Relaxed);
        pulse.decided_ms.store(coarse_ms(), Ordering::Relaxed);
    }

    /// The alarm's present count, to be given to [`WorkerEnd::wait_alarm`].
    pub fn alarm(&self) -> u32 {
        self.control().pulse.0.alarm.load(Ordering::SeqCst)
    }

    /// Ends the wait of this end's own watch.
    pub fn raise_alarm(&self) {
        let alarm = &self.control().pulse.0.alarm;
        alarm.fetch_add(1, Ordering::SeqCst);
        wake::wake(alarm, 1, self.sharing());
    }

    /// Sleeps until the alarm is no longer at `ticket`, or the time has passed; gives the present count. Call it without the GIL. It may return
    /// early, so look at [`WorkerEnd::to_interrupt`] after the count was read and before waiting: then nothing is missed.
    pub fn wait_alarm(&self, ticket: u32, timeout: Duration) -> u32 {
        if self.alarm() == ticket {
            wake::wait(&self.control().pulse.0.alarm, ticket, Some(timeout), self.sharing());
        }
        self.alarm()
    }

    /// Tells the front that this worker's interpreter runs. Call it with the GIL held: that it could be had is what the beat says.
    pub fn beat(&self) {
        self.control().pulse.0.heartbeat_ms.store(coarse_ms(), Ordering::Relaxed);
    }

    /// Slots and generations of the requests that run and that the front wants interrupted, with the reason ([`Why::Overdue`] or
    /// [`Why::Departed`]); also those named before.
    pub fn to_interrupt(&self) -> Vec<(u32, u32, Why)> {
        (0..self.slots() as u32)
            .filter_map(|slot| {
                let words = self.slot(slot);
                let state = words.responder.0.state.load(Ordering::Acquire);
                let why = match words.asker.0.gone.load(Ordering::Acquire) {
                    OVERDUE => Why::Overdue,
                    DEPARTED => Why::Departed,
                    _ => return None,
                };
                // Read again, so that the verdict on one request is not taken for that on the next in its slot.
                let same = words.responder.0.state.load(Ordering::Acquire) == state;
                (same && Phase::of(state) == Some(Phase::Running)).then_some((
                    slot,
                    (state >> 32) as u32,
                    why,
                ))
            })
            .collect()
    }

    /// A copy of the record of a running request, and when it began, by [`coarse_ms`]; None when it is over. For the watch, which looks at
    /// requests that other threads have taken. A request that ends during the copy gives None, too.
    pub fn look_at(&self, slot: u32, generation: u32) -> Option<(Vec<u8>, u64)> {
        if slot as usize >= self.slots() {
            return None;
        }
        let words = self.slot(slot);
        let running = state_word(generation, Phase::Running);
        let is_running = || words.responder.0.state.load(Ordering::Acquire) == running;
        if !is_running() {
            return None;
        }
        let record = self.record(slot)?.to_vec();
        let started = words.responder.0.started_ms.load(Ordering::Relaxed);
        // What was copied before this is from before it; it is the request's own if that still runs.
        fence(Ordering::Acquire);
        is_running().then_some((record, started))
    }

    /// The front has died: nobody waits for any response of this link, who waits for room or for a body is released and learns of it, and what was not
    /// started is not taken any more. Everything else stays harmless.
    pub fn sever(&self) {
        self.severed.store(true, Ordering::SeqCst);
        for slot in 0..self.slots() as u32 {
            // Pairs with `wait_writable`, which reads the count before it looks whether its client has gone.
            let space = &self.slot(slot).asker.0.space;
            space.fetch_add(1, Ordering::SeqCst);
            wake::wake(space, u32::MAX, self.sharing());
            self.release_body_waiters(slot);
        }
        self.rouse_all();
    }
}
