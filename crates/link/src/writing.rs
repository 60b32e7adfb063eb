//! Writing a response into its slot's ring: the head, data, files, loans, and waiting for room.
//!
//! Runs on the request's thread, whose [`Taken`] is the right to write. Nothing here is seen by the front before
//! [`WorkerEnd::publish`]. Must not know when that should be.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::layout::RESPONSE_BYTES;
use crate::lending::Loan;
use crate::response::{
    EARLY_HINTS, FILE_BYTES, FRAME_DATA, FRAME_FILE, FRAME_HEAD, FRAME_HEADER, FRAME_LENT, HeadTooLarge,
    LENT_BYTES, MAX_HEAD_BYTES, MAX_HINTS_BYTES, ResponseHead, encode_head, padded,
};
use crate::wake;
use crate::worker_end::{Taken, WorkerEnd};

/// Whether it makes sense to go on writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// There is room.
    Ready,
    /// Nobody waits for the response any more.
    Gone,
    /// The time passed.
    TimedOut,
}

impl WorkerEnd {
    /// Bytes that may be written; none into a slot that has been given to another request.
    pub(crate) fn room(&self, taken: &Taken) -> usize {
        if !self.is_running(taken.slot(), taken.generation()) {
            return 0;
        }
        let consumed = self.slot(taken.slot()).asker.0.consumed.load(Ordering::Acquire);
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
        let ring = self.layout.response_ring(taken.slot() as usize);
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

    /// Writes early hints: any number of times, before the head. Too many do not fit.
    pub fn put_early_hints<'a>(
        &self,
        taken: &mut Taken,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), HeadTooLarge> {
        if self.room(taken) == 0 {
            return Ok(());
        }
        let start = taken.produced as usize + FRAME_HEADER;
        let left = MAX_HINTS_BYTES.checked_sub(start).ok_or(HeadTooLarge)?;
        let area = self.ring(taken, start as u32, left).0;
        let head =
            ResponseHead { status: EARLY_HINTS, reason: b"Early Hints", known_length: None, route: b"" };
        let len = encode_head(area, &head, fields)?;
        self.close_frame(taken, FRAME_HEAD, len);
        Ok(())
    }

    /// Writes the head: once, before anything else but early hints.
    pub fn put_head<'a>(
        &self,
        taken: &mut Taken,
        head: &ResponseHead<'_>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), HeadTooLarge> {
        debug_assert!(taken.produced as usize <= MAX_HINTS_BYTES + 8, "the head comes first");
        if self.room(taken) == 0 {
            return Ok(());
        }
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

    /// Whether the frame of a file fits now. Only the request's own thread fills the ring, so it will still fit at [`WorkerEnd::put_file`].
    pub fn has_room_for_file(&self, taken: &Taken) -> bool {
        self.room(taken) >= FRAME_HEADER + FILE_BYTES
    }

    /// Hands over `len` bytes from `offset` of a file given by [`WorkerEnd::give_file`]; false when there is no room yet.
    pub fn put_file(&self, taken: &mut Taken, token: u64, offset: u64, len: u64) -> bool {
        if !self.has_room_for_file(taken) {
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

    pub(crate) fn put_words(&self, taken: &mut Taken, kind: u32, words: &[u64]) {
        let len = 8 * words.len();
        let place = self.ring(taken, taken.produced.wrapping_add(FRAME_HEADER as u32), len);
        let places = place.0.chunks_exact_mut(8).chain(place.1.chunks_exact_mut(8));
        // Frames are padded to eight bytes, so a word never wraps.
        for (place, word) in places.zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        self.close_frame(taken, kind, len);
    }

    /// Sleeps until the ring has room for at least one byte, the client has gone, or the time has passed.
    ///
    /// Publish first, or the front has nothing to take. Call it without the GIL.
    pub fn wait_writable(&self, taken: &Taken, timeout: Option<Duration>) -> Writable {
        let words = &self.slot(taken.slot()).asker.0;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let ticket = words.space.load(Ordering::SeqCst);
            if let Some(verdict) = self.try_writable(taken) {
                return verdict;
            }
            // Not by whether the count has moved: a wake-up for the last count may come after this one was read.
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                words.space_wanted.store(0, Ordering::Relaxed);
                return Writable::TimedOut;
            }
            wake::wait(&words.space, ticket, left, self.sharing());
        }
    }

    /// One look of [`WorkerEnd::wait_writable`], for who sleeps elsewhere: None where there is no room yet, which was said then, so that the slot will be
    /// roused when there is.
    pub fn try_writable(&self, taken: &Taken) -> Option<Writable> {
        let wanted = &self.slot(taken.slot()).asker.0.space_wanted;
        // Pairs with `make_room_known`: either it sees this, or we see the room.
        wanted.store(1, Ordering::SeqCst);
        let verdict = if self.is_gone(taken) {
            Writable::Gone
        } else if self.has_room_for_file(taken) {
            Writable::Ready
        } else {
            return None;
        };
        wanted.store(0, Ordering::Relaxed);
        Some(verdict)
    }
}
