//! The worker's end of one link: takes ready requests, reads their records, writes their answers.
//!
//! Shared by all threads of the worker process. A taken request belongs to the thread that took it (its [`Taken`] is not `Clone`),
//! so the per-slot methods need no lock. Which thread may take when is the scheduler's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::answer::{
    AnswerHead, FILE_BYTES, FRAME_DATA, FRAME_FILE, FRAME_HEAD, FRAME_HEADER, FRAME_LENT, HeadTooLarge,
    LENT_BYTES, MAX_HEAD_BYTES, encode_head, padded,
};
use crate::bodies::BodyArena;
use crate::layout::{
    ANSWER_BROKEN, ANSWER_COMPLETE, Control, Layout, Phase, REQUEST_BYTES, RESPONSE_BYTES, Sleepers, Slot,
    state_word,
};
use crate::lending::{Lending, Loan};
use crate::region::Region;
use crate::request::RequestView;
use crate::wake::{self, Doorbell, Sharing};

/// How long a finished answer may wait for the next ones, in microseconds.
const DEFERRAL: u64 = 200;

/// A request that this process runs; the right to use its slot until it is completed or broken off.
#[derive(Debug)]
pub struct Taken {
    slot: u32,
    generation: u32,
    /// Bytes written to the ring, published or not.
    produced: u32,
    /// Whether the front has been told of all of it.
    published: bool,
    verdict_given: bool,
    /// Where the last loan's frame ends. Until the front has taken it the ring counts as full: a loan can be of any size.
    lent_until: Option<u32>,
}

impl Taken {
    /// The slot's number, for logs and tables.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

/// Whether it makes sense to go on writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// There is room.
    Ready,
    /// Nobody waits for the answer any more.
    Gone,
    /// The time passed.
    TimedOut,
}

/// See the module's head.
#[derive(Debug)]
pub struct WorkerEnd {
    region: Arc<Region>,
    layout: Layout,
    arena: Arc<BodyArena>,
    doorbell: Arc<Doorbell>,
    lending: Option<Arc<Lending>>,
    /// The scheduler's sentinel: a thread that looks after deferred reports every tick; 0 while nobody does.
    pub(crate) sentinel: AtomicU32,
    /// 1: a finished answer lies in its ring and the front may be asleep.
    owed: AtomicU32,
    /// When the front was last woken for what it was owed, in microseconds since `started`.
    settled_at: AtomicU64,
    started: Instant,
}

impl WorkerEnd {
    pub(crate) fn new(
        region: Arc<Region>,
        layout: Layout,
        arena: Arc<BodyArena>,
        doorbell: Arc<Doorbell>,
        lending: Option<Arc<Lending>>,
    ) -> Self {
        WorkerEnd {
            region,
            layout,
            arena,
            doorbell,
            lending,
            sentinel: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            settled_at: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// The memory in which bodies of some size lie.
    pub fn arena(&self) -> &Arc<BodyArena> {
        &self.arena
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.region.sharing()
    }

    fn control(&self) -> &Control {
        // SAFETY: `Control` consists of atomics and lies at offset 0.
        unsafe { self.region.atomics(0) }
    }

    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.control().sleepers.0
    }

    fn slot(&self, slot: u32) -> &Slot {
        // SAFETY: `Slot` consists of atomics; the layout checks the number.
        unsafe { self.region.atomics(self.layout.slot(slot as usize)) }
    }

    #[cfg(test)]
    pub(crate) fn slot_for_tests(&self, slot: u32) -> &crate::layout::SlotAnswer {
        &self.slot(slot).answerer.0
    }

    /// Requests that could be taken now; a hint, as other threads take too.
    pub fn ready(&self) -> usize {
        let control = self.control();
        let head = control.ready_head.0.load(Ordering::SeqCst);
        control.ready_tail.0.load(Ordering::SeqCst).wrapping_sub(head) as usize
    }

    /// Takes the oldest ready request.
    pub fn take(&self) -> Option<Taken> {
        let control = self.control();
        loop {
            let head = control.ready_head.0.load(Ordering::Acquire);
            if head == control.ready_tail.0.load(Ordering::Acquire) {
                return None;
            }
            // SAFETY: an AtomicU64 in the ready ring.
            let entry: &AtomicU64 = unsafe { self.region.atomics(self.layout.ring_entry(head)) };
            // Read before the exchange: once `head` has moved the front may write the entry anew.
            let entry = entry.load(Ordering::Relaxed);
            let next = head.wrapping_add(1);
            if control
                .ready_head
                .0
                .compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            let (slot, generation) = ((entry & 0xFFFF_FFFF) as u32, (entry >> 32) as u32);
            if slot as usize >= self.layout.slots {
                continue;
            }
            // Fails where the front has taken the request back: the entry was stale.
            let (from, to) = (state_word(generation, Phase::Ready), state_word(generation, Phase::Running));
            let state = &self.slot(slot).answerer.0.state;
            if state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(Taken {
                    slot,
                    generation,
                    produced: 0,
                    published: true,
                    verdict_given: false,
                    lent_until: None,
                });
            }
        }
    }

    /// The request's record; None when it is damaged.
    pub fn request(&self, taken: &Taken) -> Option<RequestView<'_>> {
        let len = self.slot(taken.slot).asker.0.request_len.load(Ordering::Relaxed) as usize;
        if len > REQUEST_BYTES {
            return None;
        }
        // SAFETY: while the slot runs its request area is this end's to read.
        RequestView::new(unsafe { self.region.bytes(self.layout.request_area(taken.slot as usize), len) })
    }

    /// Whether the client has gone, so that further work on this answer is for nobody.
    pub fn is_gone(&self, taken: &Taken) -> bool {
        self.slot(taken.slot).asker.0.gone.load(Ordering::Acquire) != 0
    }

    fn room(&self, taken: &Taken) -> usize {
        let consumed = self.slot(taken.slot).asker.0.consumed.load(Ordering::Acquire);
        if let Some(end) = taken.lent_until
            && end.wrapping_sub(consumed) as i32 > 0
        {
            return 0;
        }
        let used = taken.produced.wrapping_sub(consumed) as usize;
        RESPONSE_BYTES.saturating_sub(used)
    }

    /// The ring's bytes at a position of the stream; the caller has checked that there is room.
    #[allow(clippy::mut_from_ref)] // the ring beyond `consumed` is the taker's, and `Taken` is unique
    fn ring(&self, taken: &Taken, at: u32, len: usize) -> (&mut [u8], &mut [u8]) {
        let ring = self.layout.response_ring(taken.slot as usize);
        let start = at as usize & (RESPONSE_BYTES - 1);
        let first = len.min(RESPONSE_BYTES - start);
        // SAFETY: room was checked, so the front reads none of these bytes; the two pieces do not overlap.
        unsafe { (self.region.bytes_mut(ring + start, first), self.region.bytes_mut(ring, len - first)) }
    }

    fn close_frame(&self, taken: &mut Taken, kind: u32, len: usize) {
        let header = u64::from(kind) << 32 | len as u64;
        self.ring(taken, taken.produced, FRAME_HEADER).0.copy_from_slice(&header.to_ne_bytes());
        taken.produced = taken.produced.wrapping_add((FRAME_HEADER + padded(len)) as u32);
        taken.published = false;
    }

    /// Writes the head: once, before anything else.
    pub fn put_head<'a>(
        &self,
        taken: &mut Taken,
        head: &AnswerHead<'_>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), HeadTooLarge> {
        debug_assert_eq!(taken.produced, 0, "the head comes first");
        let area = self.ring(taken, taken.produced.wrapping_add(FRAME_HEADER as u32), MAX_HEAD_BYTES).0;
        let len = encode_head(area, head, fields)?;
        self.close_frame(taken, FRAME_HEAD, len);
        Ok(())
    }

    /// Writes as much of `data` as there is room for; gives how much. 0 means: publish, then wait.
    pub fn put_data(&self, taken: &mut Taken, data: &[u8]) -> usize {
        let room = self.room(taken).saturating_sub(FRAME_HEADER);
        let len = data.len().min(room & !7);
        if len == 0 {
            return 0;
        }
        let place = self.ring(taken, taken.produced.wrapping_add(FRAME_HEADER as u32), len);
        let (first, second) = data.split_at(place.0.len());
        place.0.copy_from_slice(first);
        if let Some(second) = second.get(..place.1.len()) {
            place.1.copy_from_slice(second);
        }
        self.close_frame(taken, FRAME_DATA, len);
        len
    }

    /// Hands over `len` bytes of a file from `offset` by a token of `descriptors`; false when there is no room yet.
    pub fn put_file(&self, taken: &mut Taken, token: u64, offset: u64, len: u64) -> bool {
        if self.room(taken) < FRAME_HEADER + FILE_BYTES {
            return false;
        }
        self.put_words(taken, FRAME_FILE, &[token, offset, len]);
        true
    }

    /// Whether pieces can be lent to the front of this link.
    pub fn can_lend(&self) -> bool {
        self.lending.is_some()
    }

    /// Lends the first `len` bytes to the front instead of copying them; gives the loan back when there is no room yet, or
    /// nobody to lend to (see [`WorkerEnd::can_lend`]).
    pub fn put_lent(&self, taken: &mut Taken, loan: Loan, len: usize) -> Result<(), Loan> {
        let Some(lending) = &self.lending else { return Err(loan) };
        if self.room(taken) < FRAME_HEADER + LENT_BYTES {
            return Err(loan);
        }
        let token = lending.give(loan);
        self.put_words(taken, FRAME_LENT, &[token, len as u64]);
        taken.lent_until = Some(taken.produced);
        Ok(())
    }

    fn put_words(&self, taken: &mut Taken, kind: u32, words: &[u64]) {
        let len = 8 * words.len();
        let place = self.ring(taken, taken.produced.wrapping_add(FRAME_HEADER as u32), len);
        let places = place.0.chunks_exact_mut(8).chain(place.1.chunks_exact_mut(8));
        // Frames are padded to eight bytes, so a word never wraps.
        for (place, word) in places.zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        self.close_frame(taken, kind, len);
    }

    /// Lets the front see all that was written.
    pub fn publish(&self, taken: &mut Taken) {
        if !taken.published {
            taken.published = true;
            self.slot(taken.slot).answerer.0.produced.store(taken.produced, Ordering::Release);
            self.mark_dirty(taken.slot);
            self.ring_if_asleep();
        }
    }

    /// Says that the answer is whole (or, with `broken`, never will be) while the application is still at work, for example in
    /// `close()`: the client gets its answer now, the slot stays this thread's until [`WorkerEnd::finish`].
    pub fn conclude(&self, taken: &mut Taken, broken: bool) {
        if !taken.verdict_given {
            self.give_verdict(taken, broken);
            self.mark_dirty(taken.slot);
            self.owe();
        }
    }

    fn give_verdict(&self, taken: &mut Taken, broken: bool) {
        taken.verdict_given = true;
        taken.published = true;
        let words = &self.slot(taken.slot).answerer.0;
        words.produced.store(taken.produced, Ordering::Release);
        words.answer.store(if broken { ANSWER_BROKEN } else { ANSWER_COMPLETE }, Ordering::Release);
    }

    /// Ends the request and lets go of the slot. Without a verdict before, the answer is whole (or `broken`).
    pub fn finish(&self, mut taken: Taken, broken: bool) {
        if !taken.verdict_given {
            self.give_verdict(&mut taken, broken);
        }
        let done = state_word(taken.generation, Phase::Done);
        self.slot(taken.slot).answerer.0.state.store(done, Ordering::Release);
        self.mark_dirty(taken.slot);
        self.owe();
    }

    /// Rings for a finished answer, or leaves it for later while there is other work.
    ///
    /// To wake the front for each answer costs more than to make one, when answers come one behind the other. So while the next request
    /// is there already, the front, if it sleeps, is woken at the end of the batch or after [`DEFERRAL`]; and by the sentinel
    /// should the next request block. A race is not possible: the sentinel leaves first and settles then, we owe first and look for
    /// the sentinel then.
    fn owe(&self) {
        self.owed.store(1, Ordering::SeqCst);
        if self.ready() == 0
            || self.sentinel.load(Ordering::SeqCst) == 0
            || self.sleepers().eager.load(Ordering::Relaxed) != 0
            || self.now().saturating_sub(self.settled_at.load(Ordering::Relaxed)) > DEFERRAL
        {
            self.settle();
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Wakes the front for what it is owed.
    pub(crate) fn settle(&self) {
        if self.owed.load(Ordering::SeqCst) != 0 && self.owed.swap(0, Ordering::SeqCst) != 0 {
            self.settled_at.fetch_max(self.now(), Ordering::Relaxed);
            self.ring_if_asleep();
        }
    }

    fn mark_dirty(&self, slot: u32) {
        if let Some(bits) = self.control().dirty.0.get(slot as usize / 64) {
            bits.fetch_or(1 << (slot % 64), Ordering::SeqCst);
        }
    }

    /// Pairs with `prepare_sleep`: either the front sees the bit, or we see it asleep. Only one of many writers rings.
    fn ring_if_asleep(&self) {
        let asleep = &self.control().front_asleep.0;
        if asleep.load(Ordering::SeqCst) != 0 && asleep.swap(0, Ordering::SeqCst) != 0 {
            self.doorbell.ring();
        }
    }

    /// Sleeps until the ring has room for at least one byte, the client has gone, or the time has passed.
    ///
    /// Publish first, or the front has nothing to take. Call it without the GIL.
    pub fn wait_writable(&self, taken: &Taken, timeout: Option<Duration>) -> Writable {
        let words = &self.slot(taken.slot).asker.0;
        loop {
            let ticket = words.space.load(Ordering::SeqCst);
            words.space_wanted.store(1, Ordering::SeqCst);
            let verdict = if self.is_gone(taken) {
                Some(Writable::Gone)
            } else if self.room(taken) >= FRAME_HEADER + FILE_BYTES {
                Some(Writable::Ready)
            } else {
                None
            };
            if let Some(verdict) = verdict {
                words.space_wanted.store(0, Ordering::Relaxed);
                return verdict;
            }
            wake::wait(&words.space, ticket, timeout, self.sharing());
            if timeout.is_some() && words.space.load(Ordering::SeqCst) == ticket {
                words.space_wanted.store(0, Ordering::Relaxed);
                return Writable::TimedOut;
            }
        }
    }
}
