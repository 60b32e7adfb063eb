//! The worker's end of one link: takes ready requests, reads their records, reports and ends their responses.
//!
//! Shared by all threads of the worker process. A taken request belongs to the thread that took it (its [`Taken`] is not `Clone`),
//! so the per-slot methods need no lock. Which thread may take when is the scheduler's business, what goes
//! into a response's ring is `writing`'s.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::bodies::BodyArena;
use crate::clock::coarse_ms;
use crate::descriptor_packets::Owner;
use crate::descriptors::Post;
use crate::fork::Origin;
use crate::layout::{
    Control, GONE, LEFT, Layout, Phase, REQUEST_BYTES, RESPONSE_BROKEN, RESPONSE_COMPLETE, Sleepers, Slot,
    state_word,
};
use crate::lending::Lending;
use crate::region::Region;
use crate::request::RequestView;
use crate::response::{FRAME_HEADER, MAX_HINTS_BYTES, SPEND_BYTES};
use crate::wake::{Doorbell, Sharing};
use crate::{check_permits, slots_for};

/// How long a finished response may wait for the next ones, in microseconds.
const DEFERRAL: u64 = 200;

/// A request that this process runs; the right to use its slot until it is completed or broken off.
#[derive(Debug)]
pub struct Taken {
    slot: u32,
    generation: u32,
    /// Bytes written to the ring, published or not.
    pub(crate) produced: u32,
    /// Whether the front knows of all of it.
    pub(crate) published: bool,
    verdict_given: bool,
    /// Where the last loan's frame ends. Until the front has taken it the ring counts as full: a loan can be of any size.
    pub(crate) lent_until: Option<u32>,
}

impl Taken {
    /// The slot's number, for logs and tables.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Which of the slot's requests it is.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether so little is written that a small frame more leaves the head the room that it is promised.
    pub fn is_near_beginning(&self) -> bool {
        (self.produced as usize) < MAX_HINTS_BYTES - FRAME_HEADER - SPEND_BYTES
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { slot: self.slot, generation: self.generation }
    }

    /// What a forked child has of it.
    #[cfg(test)]
    pub(crate) fn twin(&self) -> Taken {
        Taken { lent_until: None, ..*self }
    }
}

/// The worker's end of one link, shared by its threads.
#[derive(Debug)]
pub struct WorkerEnd {
    pub(crate) region: Arc<Region>,
    pub(crate) layout: Layout,
    arena: Arc<BodyArena>,
    doorbell: Arc<Doorbell>,
    pub(crate) lending: Option<Arc<Lending>>,
    pub(crate) post: Post,
    /// The front has died.
    pub(crate) severed: AtomicBool,
    /// In a child that was forked from this process there is no front, either.
    origin: Origin,
    /// The scheduler's sentinel: a thread that looks after deferred reports every tick; 0 while nobody does.
    pub(crate) sentinel: AtomicU32,
    /// 1: a finished response lies in its ring and the front may be asleep.
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
        post: Post,
    ) -> Self {
        WorkerEnd {
            region,
            layout,
            arena,
            doorbell,
            lending,
            post,
            severed: AtomicBool::new(false),
            origin: Origin::here(),
            sentinel: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            settled_at: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// A worker process's end, over the same memory and the other end of the same socket pair as [`FrontEnd::join`](crate::FrontEnd::join), and
    /// with the bodies and the doorbell of that front. Fails where the memory is too small for that many threads.
    pub fn join(
        memory: &File,
        bodies: &File,
        doorbell: OwnedFd,
        socket: OwnedFd,
        threads: usize,
    ) -> io::Result<WorkerEnd> {
        check_permits(threads)?;
        let layout = Layout::new(slots_for(threads));
        let region = Arc::new(Region::shared(memory, layout.total, true)?);
        let arena = Arc::new(BodyArena::shared_for_worker(bodies)?);
        let doorbell = Arc::new(Doorbell::from_descriptor(doorbell));
        Ok(WorkerEnd::new(region, layout, arena, doorbell, None, Post::over(socket)))
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// The memory in which bodies of some size lie.
    pub fn arena(&self) -> &Arc<BodyArena> {
        &self.arena
    }

    /// Whether this is a copy in a process that was forked from the one that made it. Such a copy takes no request and reaches nobody.
    #[inline]
    pub fn is_foreign(&self) -> bool {
        !self.origin.is_here()
    }

    /// Whether there is no front any more, or none for this process.
    #[inline]
    pub(crate) fn is_severed(&self) -> bool {
        self.severed.load(Ordering::SeqCst) || self.is_foreign()
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.region.sharing()
    }

    pub(crate) fn control(&self) -> &Control {
        // SAFETY: `Control` consists of atomics and lies at offset 0.
        unsafe { self.region.atomics(0) }
    }

    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.control().sleepers.0
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        // SAFETY: `Slot` consists of atomics; the layout checks the number.
        unsafe { self.region.atomics(self.layout.slot(slot as usize)) }
    }

    /// Requests that could be taken now; a hint, as other threads take too.
    pub fn ready(&self) -> usize {
        let control = self.control();
        let head = control.ready_head.0.load(Ordering::SeqCst);
        control.ready_tail.0.load(Ordering::SeqCst).wrapping_sub(head) as usize
    }

    /// How many requests were ever handed over, and how many of these were taken (both wrap).
    pub(crate) fn given_and_taken(&self) -> (u32, u32) {
        let control = self.control();
        let taken = control.ready_head.0.load(Ordering::SeqCst);
        (control.ready_tail.0.load(Ordering::SeqCst), taken)
    }

    /// Takes the oldest ready request.
    pub fn take(&self) -> Option<Taken> {
        let control = self.control();
        loop {
            let head = control.ready_head.0.load(Ordering::Acquire);
            if head == control.ready_tail.0.load(Ordering::Acquire) || self.is_severed() {
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
            if let Some(taken) = self.begin(slot, generation) {
                return Some(taken);
            }
        }
    }

    /// Makes a Ready request this thread's; None where it is that no more.
    #[inline]
    pub(crate) fn begin(&self, slot: u32, generation: u32) -> Option<Taken> {
        let (from, to) = (state_word(generation, Phase::Ready), state_word(generation, Phase::Running));
        let words = &self.slot(slot).responder.0;
        words.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        words.started_ms.store(coarse_ms(), Ordering::Relaxed);
        Some(Taken { slot, generation, produced: 0, published: true, verdict_given: false, lent_until: None })
    }

    /// The request's record; None when it is damaged.
    pub fn request(&self, taken: &Taken) -> Option<RequestView<'_>> {
        RequestView::new(self.record(taken.slot)?)
    }

    /// The bytes of a running slot's record.
    #[inline]
    pub(crate) fn record(&self, slot: u32) -> Option<&[u8]> {
        let len = self.slot(slot).asker.0.request_len.load(Ordering::Relaxed) as usize;
        if len > REQUEST_BYTES {
            return None;
        }
        // SAFETY: while the slot runs its request area is this end's to read.
        Some(unsafe { self.region.bytes(self.layout.request_area(slot as usize), len) })
    }

    /// Whether nobody waits any more (the client has gone, it took too long, the front has died, somebody else has ended the
    /// request): further work on this response is for nobody.
    pub fn is_gone(&self, taken: &Taken) -> bool {
        self.slot(taken.slot).asker.0.gone.load(Ordering::Acquire) >= GONE
            || self.is_severed()
            || !self.is_running(taken.slot, taken.generation)
    }

    /// Whether a slot still runs that request. A [`Taken`] is unique in its process; a child that the application has
    /// forked has a copy, and must not write into what has become somebody else's slot.
    #[inline]
    pub(crate) fn is_running(&self, slot: u32, generation: u32) -> bool {
        let state = self.slot(slot).responder.0.state.load(Ordering::Acquire);
        state == state_word(generation, Phase::Running)
    }

    /// Whether the client of a request has gone or at least closed its side, or the request is over. May be asked by any thread at any time,
    /// with the slot and generation of a [`Taken`].
    pub fn is_left(&self, slot: u32, generation: u32) -> bool {
        if slot as usize >= self.layout.slots || self.is_severed() {
            return true;
        }
        let words = self.slot(slot);
        let left = words.asker.0.gone.load(Ordering::Acquire) >= LEFT;
        // Looked at last, so that a word of the slot's next request is not taken for this one's.
        left || !self.is_running(slot, generation)
    }

    /// Lets the front see all that was written.
    pub fn publish(&self, taken: &mut Taken) {
        if !taken.published {
            taken.published = true;
            if !self.is_running(taken.slot, taken.generation) {
                return;
            }
            self.slot(taken.slot).responder.0.produced.store(taken.produced, Ordering::Release);
            self.mark_dirty(taken.slot);
            self.ring_if_asleep();
        }
    }

    /// Says that the response is whole (or, with `broken`, never will be) while the application is still at work, for example in
    /// `close()`: the client gets its response now, the slot stays this thread's until [`WorkerEnd::finish`].
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
        if !self.is_running(taken.slot, taken.generation) {
            return;
        }
        let words = &self.slot(taken.slot).responder.0;
        words.produced.store(taken.produced, Ordering::Release);
        words.progress.store(if broken { RESPONSE_BROKEN } else { RESPONSE_COMPLETE }, Ordering::Release);
    }

    /// Ends the request and lets go of the slot. Without a verdict before, the response is whole (or `broken`). Nothing happens
    /// where somebody else has ended it already.
    pub fn finish(&self, mut taken: Taken, broken: bool) {
        if !taken.verdict_given {
            self.give_verdict(&mut taken, broken);
        }
        let [running, done] = [Phase::Running, Phase::Done].map(|phase| state_word(taken.generation, phase));
        let state = &self.slot(taken.slot).responder.0.state;
        if state.compare_exchange(running, done, Ordering::Release, Ordering::Relaxed).is_err() {
            return;
        }
        self.mark_dirty(taken.slot);
        self.owe();
    }

    /// Rings for a finished response, or leaves it for later while there is other work.
    ///
    /// To wake the front for each response costs more than to make one, when responses come one behind the other. So while the next request
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
    pub fn settle(&self) {
        if self.owed.load(Ordering::SeqCst) != 0 && self.owed.swap(0, Ordering::SeqCst) != 0 {
            self.settled_at.fetch_max(self.now(), Ordering::Relaxed);
            self.ring_if_asleep();
        }
    }

    pub(crate) fn mark_dirty(&self, slot: u32) {
        if let Some(bits) = self.control().dirty.0.get(slot as usize / 64) {
            bits.fetch_or(1 << (slot % 64), Ordering::SeqCst);
        }
    }

    /// Pairs with `prepare_sleep`: either the front sees the bit, or we see it asleep. Only one of many writers rings.
    pub(crate) fn ring_if_asleep(&self) {
        let asleep = &self.control().front_asleep.0;
        if asleep.load(Ordering::SeqCst) != 0 && asleep.swap(0, Ordering::SeqCst) != 0 {
            self.doorbell.ring();
        }
    }
}
