//! What lies where in the region, and who may touch it when.
//!
//! ```text
//! Control │ ready ring (u64 × capacity) │ Slot × n │ request area × n │ response ring × n
//! ```
//!
//! Rules of the region:
//! - Offsets only. Each end computes the same [`Layout`] from the number of slots.
//! - A slot is in one phase at a time; `state` holds generation and phase in one word, so that a stale ready-ring entry or a
//!   stale handle can never be mistaken for the present request.
//! - Both ends take what they read for untrusted: lengths are copied out, then checked, then used.
//!
//! | field                         | Free         | Ready            | Running          | Done        |
//! |-------------------------------|--------------|------------------|------------------|-------------|
//! | `state`                       | front writes | worker CAS → Running, front CAS → Free | worker → Done | front → Free |
//! | request area, `request_len`   | front writes | nobody           | worker reads     | nobody      |
//! | response ring, `produced`     | front resets | nobody           | worker writes    | front reads |
//! | `progress`                      | front resets | nobody           | worker writes    | front reads |
//! | `started_ms`                  | front resets | nobody           | worker writes once, front reads | nobody |
//! | `spare`                       | front writes | worker reads     | nobody           | nobody      |
//! | `consumed`, `gone`            | front writes | front writes     | front writes, worker reads | front writes |
//! | `space`, `space_wanted`       | front resets | nobody           | both (eventcount)| nobody      |
//! | `spent_at`, `spent`           | front resets | nobody           | front writes, worker reads | nobody |
//! | `socket`                      | front writes | front CAS        | both CAS, once (see `socket`) | front reads |
//!
//! Of a request whose body is streamed (`BodyPlace::Stream`); for all others these words are never looked at:
//!
//! | field                          | Free         | Ready            | Running          | Done        |
//! |--------------------------------|--------------|------------------|------------------|-------------|
//! | window `consumed..produced`    | front writes | nobody           | worker reads     | nobody      |
//! | window beyond that             | front writes | front writes     | front writes     | front writes|
//! | `body_produced`, `body_state`  | front resets | front writes     | front writes, worker reads | front writes |
//! | `body_consumed`, `body_asked`  | front resets | nobody           | worker writes, front reads | nobody |
//! | `room_wanted`                  | front resets | front writes     | front writes, worker reads | front writes |
//! | `body`, `body_wanted`          | front resets `body_wanted` | front    | both (eventcount)| worker may count `body` up |
//!
//! The window is a ring made of a request's chunks of the body arena. It is handed over four times, each in its own way:
//! 1. *Bytes, to the worker.* The front writes beyond `body_produced`, then stores it (release); the worker loads it (acquire) and reads no further.
//! 2. *Room, to the front.* The worker copies bytes out, then stores `body_consumed` (release); the front loads it (acquire) and writes no
//!    further than the capacity beyond it. It takes over no count that goes back or passes `body_produced`: a worker can only spoil its own body.
//! 3. *The whole request, to another worker.* Only from Ready, by the compare-exchange Ready → Free that forbids every start. Nothing has
//!    been read then, so nothing in the window has been overwritten, and it goes along as it is, with the front's own account of it.
//! 4. *Chunks, back to the pool.* Where an unread body that lies in chunks goes, too: after `Done` (the worker detaches the body before it
//!    lets go), after a successful take-back, or when the worker's process is no more. Never because the client has gone or the time is
//!    over: then the slot stays Running and the worker may be in the middle of a copy. The account of a window lies with its chunks, so
//!    that who has no right to them any more cannot write either.
//!
//! Who waits says so before the last look, and who changes something looks for waiters afterwards, both sequentially consistent, so that one
//! of them sees the other: `body_wanted` and `body_produced`/`body_state` (the worker waits for bytes), `room_wanted` and `body_consumed` (the front waits
//! for room; the worker rings when half of the window is free, and a worker that waits has emptied it, so both can never wait at once).
//! A thread that waits for bytes does not own the slot: it sleeps on `body` with a ticket drawn while the body was still attached, and
//! whoever detaches the body counts `body` up afterwards, so that it wakes, or never falls asleep; in the next request it touches nothing
//! but `body_wanted`, which costs that one a wake-up too many.
//!
//! Words of the whole link, in any phase: `ready_tail` is the front's, `ready_head` the worker's; `pulse.alarm` is counted up by either end and
//! slept on by the worker's watch; `pulse.spares` is the front's; `pulse.heartbeat_ms` is written by the worker's watch and read by the front,
//! `pulse.sockets` by the worker's threads. `sleepers.listens` is the worker's, the bits of `dirty` are set by the worker and taken by the front, those
//! of `roused` the other way round (see `bell`). Beside the region, on
//! the link's socket, travel descriptors: each names its slot and generation, so a late one is not mistaken either (`descriptors`).
//!
//! During Running the front reads the response ring from `consumed` to `produced` (acquire), the worker writes beyond it: a
//! single-producer single-consumer ring of bytes. `Done` means that the worker will never touch the slot again.

use crate::atomics::{AtomicU32, AtomicU64};

/// Bytes of one slot's request area: a head of 64 KiB, its decoded path, the field table and a small body fit.
pub const REQUEST_BYTES: usize = 192 * 1024;
/// Bytes of one slot's response ring. Large enough that a big response needs few hand-overs, small enough to stay in the cache.
pub const RESPONSE_BYTES: usize = 256 * 1024;
/// The most slots a region can have: the dirty map has this many bits.
pub const MAX_SLOTS: usize = 8192;

const PAGE: usize = 4096;
/// Added to each area's stride: were the strides a multiple of the page, the first lines of all slots (the only ones that
/// small requests touch) would fall into the same few sets of the caches and push each other out.
const COLOUR: usize = 320;
const REQUEST_STRIDE: usize = REQUEST_BYTES + COLOUR;
const RESPONSE_STRIDE: usize = RESPONSE_BYTES + COLOUR;

/// Keeps what one side writes off the cache lines (and their prefetched neighbours) of what the other side writes.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Line<T>(pub T);

/// Where worker threads sleep. On one line: the front reads all of it after each push, and it rarely changes.
#[repr(C)]
pub(crate) struct Sleepers {
    /// Futex: [`BELL_ASLEEP`] while the puller sleeps on it. [`BELL_LISTENING`] while the worker sleeps on a descriptor (see `bell`).
    pub bell: AtomicU32,
    /// Not 0: each ready request shall wake a thread of its own (see `scheduler`).
    pub eager: AtomicU32,
    /// Futex: counts up with every wake-up of the crowd.
    pub crowd: AtomicU32,
    /// How many threads sleep on `crowd`, or are about to.
    pub crowd_waiting: AtomicU32,
    /// 1: this worker never sleeps on a futex for its requests, but on a descriptor.
    pub listens: AtomicU32,
}

pub(crate) const BELL_AWAKE: u32 = 0;
pub(crate) const BELL_ASLEEP: u32 = 1;
pub(crate) const BELL_LISTENING: u32 = 2;

/// The words that are not part of a slot.
#[repr(C)]
pub(crate) struct Control {
    /// Written by the front: entries ever pushed.
    pub ready_tail: Line<AtomicU32>,
    /// Written by the worker: entries ever popped.
    pub ready_head: Line<AtomicU32>,
    pub sleepers: Line<Sleepers>,
    /// 1 while the front sleeps in its poll; whoever turns it to 0 rings the doorbell.
    pub front_asleep: Line<AtomicU32>,
    /// A bit per slot: the worker has news there.
    pub dirty: Line<[AtomicU64; MAX_SLOTS / 64]>,
    /// A bit per slot, for a worker that listens: the front has news there.
    pub roused: Line<[AtomicU64; MAX_SLOTS / 64]>,
    pub pulse: Line<Pulse>,
}

/// What the worker's watch and the front tell each other; touched about once a second.
#[repr(C)]
pub(crate) struct Pulse {
    /// Futex: counts up whenever a request has become overdue, or is handed to a spare thread.
    pub alarm: AtomicU32,
    /// Requests ever handed to spare threads (wraps); see `spare`.
    pub spares: AtomicU32,
    /// When the worker's watch was last seen holding the GIL, by [`coarse_ms`](crate::coarse_ms); 0 before the first time.
    pub heartbeat_ms: AtomicU64,
    /// Clients' sockets that the worker has taken and still has: written by the worker, a hint for the front.
    pub sockets: AtomicU32,
    /// What the worker has decided about its threads last: see [`Sized`](crate::Sized). Written by the worker.
    pub threads: AtomicU32,
    pub computing: AtomicU32,
    pub reason: AtomicU32,
    pub decided_ms: AtomicU64,
}

/// A slot's words; its bytes lie in the areas.
#[repr(C)]
pub(crate) struct Slot {
    pub responder: Line<SlotResponse>,
    pub asker: Line<SlotAsk>,
}

/// Written by the worker while the slot runs.
#[repr(C)]
pub(crate) struct SlotResponse {
    /// generation << 32 | phase.
    pub state: AtomicU64,
    /// Bytes ever written to the response ring for this request (wraps).
    pub produced: AtomicU32,
    /// [`RESPONSE_OPEN`], [`RESPONSE_COMPLETE`] or [`RESPONSE_BROKEN`].
    pub progress: AtomicU32,
    /// When the worker began, by [`coarse_ms`](crate::coarse_ms); 0 while that is unknown.
    pub started_ms: AtomicU64,
    /// Bytes ever read of a streamed body (wraps).
    pub body_consumed: AtomicU32,
    /// 1: the application wants a body whose client waits for leave to send it.
    pub body_asked: AtomicU32,
}

/// Written by the front while the slot runs.
#[repr(C)]
pub(crate) struct SlotAsk {
    pub request_len: AtomicU32,
    /// 0 for a request in the ready ring; otherwise what a spare thread is to do with it (see `spare`).
    pub spare: AtomicU32,
    /// Bytes ever taken from the response ring for this request (wraps).
    pub consumed: AtomicU32,
    /// [`AWAITED`], [`LEFT`], [`GONE`], [`DEPARTED`] or [`OVERDUE`]; only grows while the slot runs.
    pub gone: AtomicU32,
    /// Futex: counts up when room was made or the client went, while `space_wanted`.
    pub space: AtomicU32,
    /// 1 while the worker waits for room.
    pub space_wanted: AtomicU32,
    /// Bytes ever put into the window of a streamed body (wraps).
    pub body_produced: AtomicU32,
    /// [`BODY_OPEN`], [`BODY_COMPLETE`], or why it will never be complete (see `streaming`).
    pub body_state: AtomicU32,
    /// 1 while the front waits for room in the window.
    pub room_wanted: AtomicU32,
    /// Futex: counts up when bytes of the body have come, or its end, while `body_wanted`; and when the body is detached.
    pub body: AtomicU32,
    /// 1 while the worker waits for bytes: set by the worker, taken back by the front.
    pub body_wanted: AtomicU32,
    /// Whose the client's socket is, where it is offered: [`SOCKET_NONE`], [`SOCKET_OFFERED`], [`SOCKET_TAKEN`] or [`SOCKET_REFUSED`].
    pub socket: AtomicU32,
    /// Behind which frame of the response ring the last one that spends ends; 1 before the first (see `spending`).
    pub spent_at: AtomicU32,
    /// What became of that one.
    pub spent: AtomicU64,
}

pub(crate) const AWAITED: u32 = 0;
/// The client sends nothing more. Perhaps it is gone, perhaps it still reads: the response is sent as if nothing were.
pub(crate) const LEFT: u32 = 1;
/// Nobody waits for the response any more.
pub(crate) const GONE: u32 = 2;
/// The same for a while already, and the request has not noticed: the worker shall interrupt it.
pub(crate) const DEPARTED: u32 = 3;
/// Nobody waits because it took too long: the worker shall interrupt the request.
pub(crate) const OVERDUE: u32 = 4;

pub(crate) const BODY_OPEN: u32 = 0;
/// All of a streamed body is in its window.
pub(crate) const BODY_COMPLETE: u32 = 1;

/// The request has no use for its client's socket.
pub(crate) const SOCKET_NONE: u32 = 0;
/// The worker may take it.
pub(crate) const SOCKET_OFFERED: u32 = 1;
/// It is the worker's for good.
pub(crate) const SOCKET_TAKEN: u32 = 2;
/// It is the front's for good.
pub(crate) const SOCKET_REFUSED: u32 = 3;

pub(crate) const RESPONSE_OPEN: u32 = 0;
/// All of the response is in the ring.
pub(crate) const RESPONSE_COMPLETE: u32 = 1;
/// The application failed after the head had left: the connection must be cut, so that the client can tell.
pub(crate) const RESPONSE_BROKEN: u32 = 2;

/// A slot's phase, the low half of `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// The front's: empty, or being filled.
    Free = 0,
    /// Complete, pushed, not started.
    Ready = 1,
    /// A worker thread answers it.
    Running = 2,
    /// The worker has let go of it.
    Done = 3,
}

impl Phase {
    pub(crate) fn of(state: u64) -> Option<Phase> {
        match state as u32 {
            0 => Some(Phase::Free),
            1 => Some(Phase::Ready),
            2 => Some(Phase::Running),
            3 => Some(Phase::Done),
            _ => None,
        }
    }
}

pub(crate) fn state_word(generation: u32, phase: Phase) -> u64 {
    u64::from(generation) << 32 | phase as u64
}

/// Offsets of everything, computed alike by both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many slots; a multiple of 64.
    pub slots: usize,
    /// Entries of the ready ring, a power of two. Twice the slots, so that entries made stale by a reclaim never fill it.
    pub ring_capacity: usize,
    ring: usize,
    slot: usize,
    request: usize,
    response: usize,
    /// Bytes of the whole region.
    pub total: usize,
}

impl Layout {
    /// The layout for at least `slots` slots, rounded up to a multiple of 64 and held to [`MAX_SLOTS`].
    pub fn new(slots: usize) -> Self {
        let slots = slots.clamp(1, MAX_SLOTS).next_multiple_of(64);
        let ring_capacity = (2 * slots).next_power_of_two();
        let ring = size_of::<Control>().next_multiple_of(128);
        let slot = (ring + 8 * ring_capacity).next_multiple_of(128);
        let request = (slot + slots * size_of::<Slot>()).next_multiple_of(PAGE);
        let response = (request + slots * REQUEST_STRIDE).next_multiple_of(PAGE);
        let total = response + slots * RESPONSE_STRIDE;
        Layout { slots, ring_capacity, ring, slot, request, response, total }
    }

    pub(crate) fn ring_entry(&self, index: u32) -> usize {
        self.ring + 8 * (index as usize & (self.ring_capacity - 1))
    }

    pub(crate) fn slot(&self, slot: usize) -> usize {
        assert!(slot < self.slots);
        self.slot + slot * size_of::<Slot>()
    }

    pub(crate) fn request_area(&self, slot: usize) -> usize {
        assert!(slot < self.slots);
        self.request + slot * REQUEST_STRIDE
    }

    pub(crate) fn response_ring(&self, slot: usize) -> usize {
        assert!(slot < self.slots);
        self.response + slot * RESPONSE_STRIDE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_do_not_overlap_and_fit() {
        for slots in [1, 64, 65, 300, 1024, 5000, 8192, 9000] {
            let l = Layout::new(slots);
            assert!(l.slots >= slots.min(MAX_SLOTS) && l.slots.is_multiple_of(64));
            assert!(l.ring >= size_of::<Control>());
            assert!(l.ring_entry(l.ring_capacity as u32 - 1) + 8 <= l.slot);
            assert!(l.slot(l.slots - 1) + size_of::<Slot>() <= l.request);
            assert!(l.request_area(l.slots - 1) + REQUEST_BYTES <= l.response);
            assert!(l.response_ring(l.slots - 1) + RESPONSE_BYTES <= l.total);
            assert!(RESPONSE_BYTES.is_power_of_two());
        }
    }

    #[test]
    fn the_ready_ring_wraps_with_its_index() {
        let l = Layout::new(64);
        assert_eq!(l.ring_entry(0), l.ring_entry(l.ring_capacity as u32));
        assert_eq!(l.ring_entry(u32::MAX) + 8, l.ring_entry(u32::MAX.wrapping_sub(1)) + 16);
    }
}
