//! The front's end of one link: fills slots, pushes them, reads the responses.
//!
//! Runs on the front's thread only. Knows which slots are free (its own list; the worker never frees one) and which generation each
//! has. Must not know HTTP, sockets or connections.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::descriptor_packets::Owner;
use crate::descriptors::Post;
use crate::frames::{Cursor, Frames, Progress};
use crate::layout::{
    AWAITED, BELL_AWAKE, BELL_LISTENING, Control, Layout, Phase, REQUEST_BYTES, RESPONSE_BROKEN,
    RESPONSE_COMPLETE, RESPONSE_OPEN, Slot, state_word,
};
use crate::lending::{Lending, Loan};
use crate::region::Region;
use crate::slot_bits::take_bits;
use crate::spending::NOWHERE;
use crate::trim::Ages;
use crate::wake::{self, Sharing};
use crate::{check_permits, slots_for};

/// Bytes that a slot's own copy of a record may keep when the next one needs no more.
pub(crate) const KEPT_RECORD: usize = 4096;

/// The front's end of one link.
#[derive(Debug)]
pub struct FrontEnd {
    pub(crate) region: Arc<Region>,
    pub(crate) layout: Layout,
    /// Last freed, first used: its lines are still in the cache.
    pub(crate) free: Vec<u32>,
    generations: Vec<u32>,
    /// Each record's length as submitted: what lies in the region is the worker's to damage.
    lengths: Vec<u32>,
    /// The records as submitted, where another process could change those in the region: what goes to another worker
    /// comes from here. Empty within one process.
    records: Vec<Vec<u8>>,
    /// Where such a record is written before it is copied into the region.
    draft: Vec<u8>,
    pub(crate) ages: Ages,
    tail: u32,
    pushed: usize,
    /// Words of the dirty map that slots in use ever had bits in: slots are many, and mostly few of them are used.
    dirty_words: usize,
    lending: Option<Arc<Lending>>,
    pub(crate) post: Post,
}

impl FrontEnd {
    pub(crate) fn new(
        region: Arc<Region>,
        layout: Layout,
        lending: Option<Arc<Lending>>,
        post: Post,
    ) -> Self {
        let is_shared = region.sharing() == Sharing::Shared;
        FrontEnd {
            records: vec![Vec::new(); if is_shared { layout.slots } else { 0 }],
            draft: vec![0; if is_shared { REQUEST_BYTES } else { 0 }],
            ages: Ages::new(layout.slots),
            region,
            layout,
            free: (0..layout.slots as u32).rev().collect(),
            generations: vec![0; layout.slots],
            lengths: vec![0; layout.slots],
            tail: 0,
            pushed: 0,
            dirty_words: 0,
            lending,
            post,
        }
    }

    /// The front's end of a link to a worker process of `threads` threads, over fresh memory of [`link_memory`](crate::link_memory) and one end
    /// of a SOCK_SEQPACKET pair. Fails where the memory is too small for that many threads.
    pub fn join(memory: &File, socket: OwnedFd, threads: usize) -> io::Result<FrontEnd> {
        check_permits(threads)?;
        let layout = Layout::new(slots_for(threads));
        let region = Arc::new(Region::shared(memory, layout.total, true)?);
        Ok(FrontEnd::new(region, layout, None, Post::over(socket)))
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// How many slots are neither filled nor running.
    pub fn free_slots(&self) -> usize {
        self.free.len()
    }

    #[cfg(test)]
    pub(crate) fn kept_for_tests(&self, slot: u32) -> usize {
        self.records.get(slot as usize).map_or(0, Vec::capacity)
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.region.sharing()
    }

    /// The present request of a slot, as a travelling file names it.
    pub(crate) fn owner(&self, slot: u32) -> Owner {
        Owner { slot, generation: self.generations.get(slot as usize).copied().unwrap_or_default() }
    }

    pub(crate) fn is_current(&self, owner: Owner) -> bool {
        self.generations.get(owner.slot as usize) == Some(&owner.generation)
    }

    pub(crate) fn control(&self) -> &Control {
        // SAFETY: `Control` consists of atomics and lies at offset 0.
        unsafe { self.region.atomics(0) }
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        // SAFETY: `Slot` consists of atomics; the layout gives its place.
        unsafe { self.region.atomics(self.layout.slot(slot as usize)) }
    }

    /// Requests pushed and not yet taken by a worker thread.
    pub fn waiting(&self) -> usize {
        // A worker that writes nonsense into its head only makes itself look full.
        (self.tail.wrapping_sub(self.taken()) as usize).min(self.layout.ring_capacity)
    }

    /// How many entries of the ready ring the worker has taken, those of requests taken back included. Wraps around; a worker may write nonsense.
    #[inline]
    pub fn taken(&self) -> u32 {
        self.control().ready_head.0.load(Ordering::Acquire)
    }

    /// How many entries were pushed; wraps around.
    #[inline]
    pub fn given(&self) -> u32 {
        self.tail
    }

    /// A free slot to fill, or None while all are in use.
    pub fn claim(&mut self) -> Option<u32> {
        if self.waiting() >= self.layout.ring_capacity {
            return None;
        }
        self.take_free()
    }

    /// A free slot; from now on its bits are looked at.
    #[inline]
    pub(crate) fn take_free(&mut self) -> Option<u32> {
        let slot = self.free.pop()?;
        self.dirty_words = self.dirty_words.max(slot as usize / 64 + 1);
        Some(slot)
    }

    /// Where the record of a claimed slot is to be written; to be submitted before the next one is written.
    pub fn request_area(&mut self, slot: u32) -> &mut [u8] {
        if !self.draft.is_empty() {
            return &mut self.draft;
        }
        // SAFETY: the slot is Free and claimed: only this end may touch it, and `self` is borrowed mutably.
        unsafe { self.region.bytes_mut(self.layout.request_area(slot as usize), REQUEST_BYTES) }
    }

    /// The record of a submitted slot, as it was submitted, whatever a worker process has made of it.
    pub fn record(&self, slot: u32) -> &[u8] {
        if let Some(record) = self.records.get(slot as usize) {
            return record;
        }
        let len = self.lengths.get(slot as usize).copied().unwrap_or_default() as usize;
        // SAFETY: within the area, as `submit` has checked the length. Between claim and release only this end writes there, through
        // `request_area`, which borrows `self` mutably; and no other process has this memory.
        unsafe { self.region.bytes(self.layout.request_area(slot as usize), len) }
    }

    /// Gives a claimed slot back unused.
    pub fn unclaim(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Makes a claimed and filled slot ready. Nobody is woken until [`FrontEnd::ring_bell`].
    pub fn submit(&mut self, slot: u32, record_len: usize) {
        let generation = self.make_ready(slot, record_len, 0);
        // SAFETY: an AtomicU64 in the ready ring.
        let entry: &AtomicU64 = unsafe { self.region.atomics(self.layout.ring_entry(self.tail)) };
        entry.store(u64::from(generation) << 32 | u64::from(slot), Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
        self.control().ready_tail.0.store(self.tail, Ordering::Release);
        self.pushed += 1;
    }

    /// Makes a claimed and filled slot ready; gives its generation. Whoever is to take it has to be woken then.
    #[inline]
    pub(crate) fn make_ready(&mut self, slot: u32, record_len: usize, spare: u32) -> u32 {
        let record_len = record_len.min(REQUEST_BYTES);
        self.copy_draft(slot, record_len);
        self.ages.use_one(slot);
        if let Some(len) = self.lengths.get_mut(slot as usize) {
            *len = record_len as u32;
        }
        let words = self.slot(slot);
        words.responder.0.produced.store(0, Ordering::Relaxed);
        words.responder.0.progress.store(RESPONSE_OPEN, Ordering::Relaxed);
        words.responder.0.started_ms.store(0, Ordering::Relaxed);
        words.asker.0.request_len.store(record_len as u32, Ordering::Relaxed);
        words.asker.0.spare.store(spare, Ordering::Relaxed);
        words.asker.0.consumed.store(0, Ordering::Relaxed);
        words.asker.0.gone.store(AWAITED, Ordering::Relaxed);
        words.asker.0.spent_at.store(NOWHERE, Ordering::Relaxed);
        let generation = self.generations.get(slot as usize).copied().unwrap_or_default();
        words.responder.0.state.store(state_word(generation, Phase::Ready), Ordering::Release);
        generation
    }

    /// Copies what was written into `request_area` to where the worker reads it, and keeps it.
    fn copy_draft(&mut self, slot: u32, len: usize) {
        let Some(record) = self.records.get_mut(slot as usize) else { return };
        if record.capacity() > KEPT_RECORD && len <= KEPT_RECORD {
            *record = Vec::new();
        }
        record.clear();
        record.extend_from_slice(self.draft.get(..len).unwrap_or_default());
        // SAFETY: the slot is Free and claimed, so only this end may touch its area; there is no other slice of it.
        let area = unsafe { self.region.bytes_mut(self.layout.request_area(slot as usize), record.len()) };
        area.copy_from_slice(record);
    }

    /// Requests pushed since the last [`FrontEnd::ring_bell`].
    pub fn unannounced(&self) -> usize {
        self.pushed
    }

    /// Wakes as many worker threads as the pushes since the last call need: none while a puller is awake.
    pub fn ring_bell(&mut self) {
        let mut wanted = std::mem::take(&mut self.pushed);
        if wanted == 0 {
            return;
        }
        // Pairs with the sleeper's: either it sees our tail, or we see it asleep.
        fence(Ordering::SeqCst);
        let sharing = self.region.sharing();
        let sleepers = &self.control().sleepers.0;
        if sleepers.bell.load(Ordering::Relaxed) != BELL_AWAKE {
            match sleepers.bell.swap(BELL_AWAKE, Ordering::SeqCst) {
                BELL_AWAKE => {}
                BELL_LISTENING => return self.post.ring(),
                _ => {
                    wake::wake(&sleepers.bell, 1, sharing);
                    wanted -= 1;
                }
            }
        }
        if wanted > 0 && sleepers.eager.load(Ordering::Relaxed) != 0 {
            let count = wanted.min(sleepers.crowd_waiting.load(Ordering::Relaxed) as usize);
            if count > 0 {
                sleepers.crowd.fetch_add(1, Ordering::SeqCst);
                wake::wake(&sleepers.crowd, count as u32, sharing);
            }
        }
    }

    /// Takes back a request that no thread has started; false when one has.
    pub fn reclaim(&mut self, slot: u32) -> bool {
        let generation = self.generations.get(slot as usize).copied().unwrap_or_default();
        let state = &self.slot(slot).responder.0.state;
        let (ready, free) = (state_word(generation, Phase::Ready), state_word(generation, Phase::Free));
        if state.compare_exchange(ready, free, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.recycle(slot);
        true
    }

    /// Frees a slot that is Done and read; true if it was.
    pub fn release(&mut self, slot: u32) -> bool {
        if !self.is_done(slot) {
            return false;
        }
        self.recycle(slot);
        true
    }

    fn recycle(&mut self, slot: u32) {
        if let Some(generation) = self.generations.get_mut(slot as usize) {
            *generation = generation.wrapping_add(1);
            let word = state_word(*generation, Phase::Free);
            self.slot(slot).responder.0.state.store(word, Ordering::Relaxed);
            self.forget_socket(slot);
            self.free.push(slot);
            self.post.forget(slot);
        }
    }

    /// Whether the worker has let go of the slot.
    pub fn is_done(&self, slot: u32) -> bool {
        let state = self.slot(slot).responder.0.state.load(Ordering::Acquire);
        Phase::of(state) == Some(Phase::Done)
            && (state >> 32) as u32 == self.generations.get(slot as usize).copied().unwrap_or_default()
    }

    /// Appends each slot in which the worker has reported news since the last call.
    pub fn take_dirty(&mut self, news: &mut Vec<u32>) {
        self.each_dirty(|slot| news.push(slot));
    }

    /// As [`FrontEnd::take_dirty`], one by one.
    #[inline]
    pub fn each_dirty(&mut self, found: impl FnMut(u32)) {
        take_bits(self.dirty(), found);
    }

    /// The words of the dirty map that may have bits.
    #[inline]
    fn dirty(&self) -> &[AtomicU64] {
        self.control().dirty.0.get(..self.dirty_words).unwrap_or_default()
    }

    /// Announces that the front is about to sleep; false (and nothing announced) when there is news already.
    pub fn prepare_sleep(&self) -> bool {
        let control = self.control();
        control.front_asleep.0.store(1, Ordering::SeqCst);
        let news = self.dirty().iter().any(|bits| bits.load(Ordering::SeqCst) != 0);
        if news {
            self.awake();
        }
        !news
    }

    /// The front is awake again: workers need not ring.
    pub fn awake(&self) {
        self.control().front_asleep.0.store(0, Ordering::Relaxed);
    }

    /// What the worker has written for a slot's response.
    #[inline]
    pub fn frames(&self, slot: u32) -> Frames<'_> {
        Frames { region: &self.region, ring: self.layout.response_ring(slot as usize) }
    }

    /// Where the unread part of the response begins and ends, and whether more will come.
    pub fn response(&self, slot: u32) -> (Cursor, Progress) {
        let words = self.slot(slot);
        // First the verdict, then the length: a complete response's length is final.
        let progress = match words.responder.0.progress.load(Ordering::Acquire) {
            RESPONSE_COMPLETE => Progress::Complete,
            RESPONSE_BROKEN => Progress::Broken,
            _ => Progress::Open,
        };
        let end = words.responder.0.produced.load(Ordering::Acquire);
        let at = words.asker.0.consumed.load(Ordering::Relaxed);
        (Cursor { at, end }, progress)
    }

    /// Whether something of the response is published and unread.
    #[inline]
    pub fn has_unread(&self, slot: u32) -> bool {
        let words = self.slot(slot);
        words.responder.0.produced.load(Ordering::Acquire) != words.asker.0.consumed.load(Ordering::Relaxed)
    }

    /// Takes over the loan that a frame names.
    pub fn take_loan(&self, token: u64) -> Option<Loan> {
        self.lending.as_ref()?.take(token)
    }

    /// Marks everything before the cursor as read. Slices from [`Frames::next`] must not be used any more. With `progress` as it came with the
    /// cursor: a worker whose response has a verdict waits for no room.
    pub fn consume(&mut self, slot: u32, cursor: Cursor, progress: Progress) {
        self.slot(slot).asker.0.consumed.store(cursor.at, Ordering::Release);
        if progress == Progress::Open {
            self.make_room_known(slot);
        }
    }

    /// Marks everything published as read, unseen.
    pub fn discard(&mut self, slot: u32) {
        let (mut cursor, progress) = self.response(slot);
        cursor.at = cursor.end;
        self.consume(slot, cursor, progress);
    }

    pub(crate) fn make_room_known(&self, slot: u32) {
        let words = &self.slot(slot).asker.0;
        // Pairs with the writer's in `wait_writable`: either it sees the room, or we see it waiting.
        fence(Ordering::SeqCst);
        if words.space_wanted.load(Ordering::Relaxed) != 0 {
            words.space.fetch_add(1, Ordering::SeqCst);
            wake::wake(&words.space, 1, self.region.sharing());
            self.rouse(slot);
        }
    }
}
