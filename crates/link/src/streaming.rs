//! A body that the application reads while it comes: a window of arena chunks, filled by the front and emptied by the worker.
//!
//! Owns both accounts of a window, the front's ([`BodyWindow`]) and the worker's ([`BodyReader`]), and how each end waits for the other.
//! `layout` has the table of the words and of the hand-overs. Decides nothing: how large a window is, how long a client may take and what is
//! answered are the front's business. The front's half runs on its thread, without ever blocking; the worker's on any thread.
//!
//! Positions count all bytes of the body and wrap at 2^32; a window's capacity is a power of two, so that its places follow from them.

use crate::atomics::{AtomicU32, fence};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::bodies::{BodyPool, CHUNK_BYTES};
use crate::front_end::FrontEnd;
use crate::layout::{BODY_COMPLETE, BODY_OPEN, Phase, state_word};
use crate::wake;
use crate::worker_end::{Taken, WorkerEnd};

/// How a body that was streamed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it came.
    Complete,
    /// The client closed before the end.
    Gone,
    /// The client was silent for too long.
    Late,
    /// Its framing broke the rules.
    Malformed,
    /// It is larger than it may be.
    TooLarge,
    /// Nobody waits for the request's response any more.
    Abandoned,
}

impl BodyEnd {
    const ALL: [BodyEnd; 6] = [
        BodyEnd::Complete,
        BodyEnd::Gone,
        BodyEnd::Late,
        BodyEnd::Malformed,
        BodyEnd::TooLarge,
        BodyEnd::Abandoned,
    ];

    fn word(self) -> u32 {
        BODY_COMPLETE + self as u32
    }

    fn of(word: u32) -> Option<BodyEnd> {
        if word == BODY_OPEN {
            return None;
        }
        // What is no ending at all is surely no complete body.
        Some(BodyEnd::ALL.into_iter().find(|end| end.word() == word).unwrap_or(BodyEnd::Abandoned))
    }
}

/// The worker has counted bytes as read that it cannot have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miscounted;

/// The front's account of a window, and the right to its chunks. Give it back with [`BodyWindow::give_back`]; dropping it would leak them.
#[derive(Debug)]
pub struct BodyWindow {
    /// As many as a power of two.
    chunks: Vec<u32>,
    pub(crate) produced: u32,
    /// What the worker is known to have read.
    pub(crate) consumed: u32,
    end: Option<BodyEnd>,
}

impl BodyWindow {
    /// A window of up to `chunks` chunks, as many as there are of the powers of two; None when there is not even one.
    pub fn new(pool: &mut BodyPool, chunks: usize) -> Option<BodyWindow> {
        let count = 1_usize << chunks.clamp(1, 1024).min(pool.free()).checked_ilog2()?;
        let chunks = std::iter::from_fn(|| pool.take()).take(count).collect();
        Some(BodyWindow { chunks, produced: 0, consumed: 0, end: None })
    }

    /// The numbers of its chunks, for the record.
    pub fn chunks(&self) -> &[u32] {
        &self.chunks
    }

    /// Bytes that it holds at most.
    pub fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
    }

    /// Bytes that may be put in now; none once it has ended.
    pub fn free(&self) -> usize {
        match self.end {
            Some(_) => 0,
            None => self.capacity() - self.produced.wrapping_sub(self.consumed) as usize,
        }
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// The next free bytes that lie together, for receiving straight into them.
    pub fn room<'p>(&self, pool: &'p mut BodyPool) -> &'p mut [u8] {
        let (chunk, offset) = place(&self.chunks, self.produced);
        let len = self.free().min(CHUNK_BYTES - offset);
        chunk.map_or(&mut [], |chunk| pool.part_mut(chunk, offset, len))
    }

    /// Accounts for `count` bytes received into [`BodyWindow::room`].
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.free(), "more than there was room for");
        self.produced = self.produced.wrapping_add(count.min(self.free()) as u32);
    }

    /// Puts in what fits of `bytes`; gives how much that was.
    pub fn push(&mut self, pool: &mut BodyPool, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let room = self.room(pool);
            let count = room.len().min(rest.len());
            let (Some(room), Some(now)) = (room.get_mut(..count), rest.get(..count)) else { break };
            if count == 0 {
                break;
            }
            room.copy_from_slice(now);
            self.advance(count);
            done += count;
        }
        done
    }

    /// Nothing more will come. Only the first ending counts.
    pub fn end(&mut self, how: BodyEnd) {
        self.end.get_or_insert(how);
    }

    /// Gives the chunks back. No worker may be able to read them any more.
    pub fn give_back(&mut self, pool: &mut BodyPool) {
        // Without chunks there is no room, so nothing can be written from here on.
        self.consumed = self.produced;
        pool.put_back(self.chunks.drain(..));
    }
}

/// Where a position lies: a chunk and the offset in it.
fn place(chunks: &[u32], at: u32) -> (Option<u32>, usize) {
    let index = at as usize / CHUNK_BYTES;
    // A power of two, so that the wrap of the position is one of the ring, too.
    let chunk = chunks.get(index & chunks.len().wrapping_sub(1)).copied();
    (chunk, at as usize % CHUNK_BYTES)
}

impl FrontEnd {
    /// Prepares a claimed slot for a request with this window: a new one, or one that comes from another slot, unread. Before `submit`.
    pub fn open_body(&self, slot: u32, window: &mut BodyWindow) {
        if window.consumed != 0 {
            // Whoever had it before claims to have read of it, though it was never started: its bytes are not to be trusted to be all there.
            window.end = Some(BodyEnd::Abandoned);
            window.consumed = 0;
            window.produced = 0;
        }
        let words = self.slot(slot);
        words.responder.0.body_consumed.store(0, Ordering::Relaxed);
        words.responder.0.body_asked.store(0, Ordering::Relaxed);
        words.asker.0.room_wanted.store(0, Ordering::Relaxed);
        words.asker.0.body_wanted.store(0, Ordering::Relaxed);
        words.asker.0.body_produced.store(window.produced, Ordering::Relaxed);
        words.asker.0.body_state.store(window.end.map_or(BODY_OPEN, BodyEnd::word), Ordering::Release);
    }

    /// Lets the worker see what was put into the window, and its end if it has one.
    pub fn publish_body(&self, slot: u32, window: &BodyWindow) {
        let words = &self.slot(slot).asker.0;
        // First the bytes, then the verdict: a complete body's length is final.
        words.body_produced.store(window.produced, Ordering::SeqCst);
        if let Some(end) = window.end {
            words.body_state.store(end.word(), Ordering::SeqCst);
        }
        // Pairs with `BodyTicket`: either it sees what is new, or we see it waiting.
        fence(Ordering::SeqCst);
        if words.body_wanted.load(Ordering::SeqCst) != 0 && words.body_wanted.swap(0, Ordering::SeqCst) != 0 {
            wake_readers(&words.body, self.sharing());
            self.rouse(slot);
        }
    }

    /// Takes over what the worker has read since the last look.
    pub fn see_body(&self, slot: u32, window: &mut BodyWindow) -> Result<(), Miscounted> {
        let consumed = self.slot(slot).responder.0.body_consumed.load(Ordering::SeqCst);
        if consumed.wrapping_sub(window.consumed) > window.produced.wrapping_sub(window.consumed) {
            return Err(Miscounted);
        }
        window.consumed = consumed;
        Ok(())
    }

    /// Says that the window is too full to go on: there will be news in the slot when half of it is free. False, and nothing said, where that is
    /// so already.
    pub fn await_body_room(&self, slot: u32, window: &mut BodyWindow) -> Result<bool, Miscounted> {
        let wanted = &self.slot(slot).asker.0.room_wanted;
        wanted.store(1, Ordering::SeqCst);
        self.see_body(slot, window)?;
        let must_wait = window.free() < window.capacity() / 2;
        if !must_wait {
            wanted.store(0, Ordering::Relaxed);
        }
        Ok(must_wait)
    }

    /// Whether the application wants a body that was said to wait for leave.
    pub fn is_body_asked_for(&self, slot: u32) -> bool {
        self.slot(slot).responder.0.body_asked.load(Ordering::Acquire) != 0
    }
}

/// The worker's account of a streamed body. The right to read it ends with the request's: it must be detached before that.
#[derive(Debug)]
pub struct BodyReader {
    slot: u32,
    generation: u32,
    chunks: Vec<u32>,
    pub(crate) at: u32,
    /// The client waits for leave to send, and nobody has asked for it.
    unasked: bool,
}

/// What can be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion<'a> {
    /// These bytes are next; at least one.
    Bytes(&'a [u8]),
    /// More may come.
    NotYet,
    /// There is no more, for this reason.
    End(BodyEnd),
}

/// What a thread needs in order to wait for a body that it does not hold.
#[derive(Clone, Copy, Debug)]
pub struct BodyTicket {
    slot: u32,
    /// Up to where the body had come.
    seen: u32,
    /// The futex's count then.
    count: u32,
}

impl BodyReader {
    /// The slot of its request.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl BodyTicket {
    /// The slot that will be roused.
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl WorkerEnd {
    /// The streamed body of a taken request, whose record names these chunks (four bytes each). With `waits_for_leave` its client sends nothing
    /// before it is asked to. None where the numbers are no window.
    pub fn body_reader(&self, taken: &Taken, chunks: &[u8], waits_for_leave: bool) -> Option<BodyReader> {
        let chunks: Vec<u32> = chunks
            .chunks_exact(4)
            .filter_map(|bytes| bytes.try_into().ok().map(u32::from_ne_bytes))
            .collect();
        if !chunks.len().is_power_of_two() {
            return None;
        }
        Some(BodyReader {
            slot: taken.slot(),
            generation: taken.generation(),
            chunks,
            at: 0,
            unasked: waits_for_leave,
        })
    }

    /// The next bytes that lie together, or why there are none. What has come of a broken body is given before its end.
    pub fn peek_body<'a>(&'a self, reader: &BodyReader) -> Portion<'a> {
        let words = &self.slot(reader.slot).asker.0;
        let end = BodyEnd::of(words.body_state.load(Ordering::Acquire));
        let ready = words.body_produced.load(Ordering::Acquire).wrapping_sub(reader.at) as usize;
        if ready == 0 {
            return match end {
                Some(end) => Portion::End(end),
                None if self.is_severed() => Portion::End(BodyEnd::Abandoned),
                None => Portion::NotYet,
            };
        }
        let (chunk, offset) = place(&reader.chunks, reader.at);
        let len = ready.min(CHUNK_BYTES - offset);
        // A front that has gone mad gives more than the window holds, or chunks that do not exist.
        let sound = ready <= reader.chunks.len() * CHUNK_BYTES;
        match chunk.filter(|_| sound).and_then(|chunk| self.arena().read(chunk, offset, len)) {
            Some(bytes) => Portion::Bytes(bytes),
            None => Portion::End(BodyEnd::Malformed),
        }
    }

    /// Marks the next `count` bytes as read: slices of them must not be used any more. Rings when the front waits for that.
    pub fn consume_body(&self, reader: &mut BodyReader, count: usize) {
        reader.at = reader.at.wrapping_add(count as u32);
        if !self.is_running(reader.slot, reader.generation) {
            return;
        }
        let words = self.slot(reader.slot);
        words.responder.0.body_consumed.store(reader.at, Ordering::SeqCst);
        // Pairs with `await_body_room`: either the front sees the room, or we see it waiting.
        if words.asker.0.room_wanted.load(Ordering::SeqCst) != 0 {
            let used = words.asker.0.body_produced.load(Ordering::Acquire).wrapping_sub(reader.at) as usize;
            // Not for every byte: a wake-up each would cost more than the bytes.
            if 2 * used <= reader.chunks.len() * CHUNK_BYTES {
                self.mark_dirty(reader.slot);
                self.ring_if_asleep();
            }
        }
    }

    /// What a thread that has found [`Portion::NotYet`] waits with. Also asks the client for its body, if it waits for that.
    pub fn await_body(&self, reader: &mut BodyReader) -> BodyTicket {
        if std::mem::take(&mut reader.unasked) && self.is_running(reader.slot, reader.generation) {
            self.slot(reader.slot).responder.0.body_asked.store(1, Ordering::SeqCst);
            self.mark_dirty(reader.slot);
            self.ring_if_asleep();
        }
        let count = self.slot(reader.slot).asker.0.body.load(Ordering::SeqCst);
        BodyTicket { slot: reader.slot, seen: reader.at, count }
    }

    /// Sleeps until bytes have come behind those that were seen, or the end, or the body was detached; or for no reason: look again. Call it
    /// without the GIL, and without any lock that [`WorkerEnd::detach_body`]'s caller needs.
    pub fn wait_body(&self, ticket: BodyTicket, timeout: Option<Duration>) {
        if self.is_body_quiet(&ticket) {
            wake::wait(&self.slot(ticket.slot).asker.0.body, ticket.count, timeout, self.sharing());
        }
    }

    /// The beginning of [`WorkerEnd::wait_body`], for who sleeps elsewhere: says that news is waited for, and whether there is none yet. The slot will be
    /// roused by what comes later, except by the body's being detached.
    pub fn is_body_quiet(&self, ticket: &BodyTicket) -> bool {
        let words = &self.slot(ticket.slot).asker.0;
        words.body_wanted.store(1, Ordering::SeqCst);
        // The table in `layout` says why it does not matter whose request these words belong to by now.
        words.body_produced.load(Ordering::SeqCst) == ticket.seen
            && words.body_state.load(Ordering::SeqCst) == BODY_OPEN
            && !self.is_severed()
    }

    /// Ends all reading; to be called before the request is finished, when no thread can reach the reader any more. Wakes those that wait.
    pub fn detach_body(&self, reader: BodyReader) {
        debug_assert_eq!(
            self.slot(reader.slot).responder.0.state.load(Ordering::Relaxed),
            state_word(reader.generation, Phase::Running),
            "a body was detached after its request"
        );
        self.release_body_waiters(reader.slot);
    }

    pub(crate) fn release_body_waiters(&self, slot: u32) {
        wake_readers(&self.slot(slot).asker.0.body, self.sharing());
    }
}

fn wake_readers(futex: &AtomicU32, sharing: wake::Sharing) {
    futex.fetch_add(1, Ordering::SeqCst);
    // All of them: an application may read from several threads.
    wake::wake(futex, u32::MAX, sharing);
}
