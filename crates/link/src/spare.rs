//! Requests for a spare thread: a way past the ready ring.
//!
//! Where a request waits for another one that holds the thread it would need, the front lends it a permit. It must not stand in the ready
//! ring then: behind others it would wait as before, and a thread made for it would take one of those instead. So it is made Ready in its
//! slot and nowhere else. The worker's watch is woken, has a thread made for each such request, and that thread takes it here.
//!
//! # Who touches what
//! `spare` of a slot is written by the front before the slot becomes Ready and stays until the next request in it. A worker thread reads the
//! state, then the word, then exchanges the state from the value that it read: so the word belongs to the request it takes, or the exchange
//! fails. `pulse.spares` counts up after the slot is Ready; how many of these have got a thread the worker keeps for itself. A thread that
//! comes too late (the client has gone, and the front has taken the request back) finds nothing and ends.

use std::sync::atomic::Ordering;

use crate::front_end::FrontEnd;
use crate::layout::Phase;
use crate::wake;
use crate::worker_end::{Taken, WorkerEnd};

/// What a spare thread is to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfCall {
    /// Only to report that it waits, and who for: its record is a copy, nobody wants a response.
    pub is_report: bool,
    /// The port at the client's end of its connection, which is a socket of this worker; 0 where there is none (a unix socket).
    pub caller_port: u16,
}

const SERVE: u32 = 1 << 16;
const REPORT: u32 = 1 << 17;

impl SelfCall {
    fn word(self) -> u32 {
        (if self.is_report { REPORT } else { SERVE }) | u32::from(self.caller_port)
    }

    fn of(word: u32) -> Option<SelfCall> {
        match word & !0xFFFF {
            SERVE | REPORT => {
                Some(SelfCall { is_report: word & REPORT != 0, caller_port: (word & 0xFFFF) as u16 })
            }
            _ => None,
        }
    }
}

impl FrontEnd {
    /// A free slot for [`FrontEnd::submit_spare`]; as it takes no place in the ready ring, a full one does not matter.
    pub fn claim_spare(&mut self) -> Option<u32> {
        self.take_free()
    }

    /// Hands a claimed and filled slot to a thread that the worker is to make for it, and wakes its watch.
    pub fn submit_spare(&mut self, slot: u32, record_len: usize, self_call: SelfCall) {
        self.make_ready(slot, record_len, self_call.word());
        let pulse = &self.control().pulse.0;
        pulse.spares.fetch_add(1, Ordering::SeqCst);
        pulse.alarm.fetch_add(1, Ordering::SeqCst);
        wake::wake(&pulse.alarm, u32::MAX, self.sharing());
    }
}

impl WorkerEnd {
    /// Requests that were ever handed to spare threads (wraps).
    pub fn spares(&self) -> u32 {
        self.control().pulse.0.spares.load(Ordering::SeqCst)
    }

    /// Takes a request that was handed to a spare thread, if one has not been taken or taken back.
    pub fn take_spare(&self) -> Option<(Taken, SelfCall)> {
        if self.is_severed() {
            return None;
        }
        (0..self.slots() as u32).find_map(|slot| {
            let words = self.slot(slot);
            let state = words.responder.0.state.load(Ordering::Acquire);
            if Phase::of(state) != Some(Phase::Ready) {
                return None;
            }
            let self_call = SelfCall::of(words.asker.0.spare.load(Ordering::Relaxed))?;
            Some((self.begin(slot, (state >> 32) as u32)?, self_call))
        })
    }
}
