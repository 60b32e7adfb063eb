//! What an application spends of its client's rate, beyond the request itself: asked for in a frame, said in the slot's words.
//!
//! The table of rates is the front's. A worker writes a frame that names a cost and waits, as for room, until the front has taken it: then
//! `spent` says what became of it. `spent_at` says of which frame that is; positions in a ring only grow in a request, and each request
//! begins with a number that is none. So what was said of an earlier frame, or never said because nobody waits for the response any
//! more, is not mistaken. A worker can only spend what its own client has.

use std::sync::atomic::Ordering;

use crate::frames::Cursor;
use crate::front_end::FrontEnd;
use crate::response::{FRAME_HEADER, FRAME_SPEND, SPEND_BYTES};
use crate::worker_end::{Taken, WorkerEnd};

/// How a client stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// It was counted; otherwise it was too much, and nothing was.
    pub allowed: bool,
    /// So much is left at once.
    pub remaining: u32,
    /// Seconds until all is there again, at most 2^31 - 1.
    pub reset: u32,
}

const ALLOWED: u64 = 1 << 63;
/// No position of a ring, which are all multiples of eight.
pub(crate) const NOWHERE: u32 = 1;
const LONGEST: u32 = u32::MAX >> 1;

impl Spent {
    fn word(self) -> u64 {
        let allowed = if self.allowed { ALLOWED } else { 0 };
        allowed | u64::from(self.reset.min(LONGEST)) << 32 | u64::from(self.remaining)
    }

    fn of(word: u64) -> Spent {
        let reset = (word >> 32) as u32 & LONGEST;
        Spent { allowed: word & ALLOWED != 0, remaining: word as u32, reset }
    }
}

impl FrontEnd {
    /// Tells what became of the frame before the cursor, which asked for it. Before the cursor is consumed.
    pub fn tell_spent(&self, slot: u32, cursor: &Cursor, spent: Spent) {
        let words = &self.slot(slot).asker.0;
        words.spent.store(spent.word(), Ordering::Relaxed);
        words.spent_at.store(cursor.at, Ordering::Release);
    }
}

impl WorkerEnd {
    /// Asks the front to count so much; false when there is no room yet. Then publish, wait as for room, and see [`WorkerEnd::spent`].
    pub fn put_spending(&self, taken: &mut Taken, cost: u32) -> bool {
        if self.room(taken) < FRAME_HEADER + SPEND_BYTES {
            return false;
        }
        self.put_words(taken, FRAME_SPEND, &[u64::from(cost)]);
        // There is no room before the front has taken it.
        taken.lent_until = Some(taken.produced);
        true
    }

    /// What became of it, once there is room again; None where nobody will tell.
    pub fn spent(&self, taken: &Taken) -> Option<Spent> {
        let words = &self.slot(taken.slot()).asker.0;
        if words.spent_at.load(Ordering::Acquire) != taken.produced {
            return None;
        }
        Some(Spent::of(words.spent.load(Ordering::Relaxed)))
    }
}
