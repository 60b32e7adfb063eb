//! The link: the only code that knows the memory between front and worker.
//!
//! The front fills a *slot* with a complete request and pushes it to the ready ring; a thread of the worker takes it, and writes the
//! response into the slot's byte ring; the front reads it, sends it, frees the slot. The memory holds offsets, never pointers, so
//! the same code works whether it is private to one process or mapped by several. `layout` has the table of who may touch what
//! when; `scheduler` decides which of a worker's threads takes the next request.
//!
//! Must not know HTTP, sockets of clients, or Python.
#![deny(missing_docs)]

mod atomics;
mod bell;
mod bodies;
pub mod clock;
mod descriptor_packets;
mod descriptors;
mod fork;
mod frames;
mod front_end;
mod layout;
mod lending;
mod population;
mod pulse;
mod region;
pub mod request;
mod response;
mod scheduler;
mod slot_bits;
mod socket;
mod spare;
mod spending;
mod streaming;
mod system;
mod thread_clock;
mod trim;
mod waiting_room;
mod wake;
mod worker_end;
mod writing;

use std::fs::File;
use std::io;
use std::sync::Arc;

pub use bodies::{BodyArena, BodyPool, CHUNK_BYTES};
pub use clock::{coarse_ms, coarse_step_us, coarse_us, fine_us, process_cpu_us};
use descriptors::Post;
pub use fork::{Kept, Origin, keep_open_descriptor, keep_poller, own_signal};
pub use frames::{Cursor, Frames, Progress};
pub use front_end::FrontEnd;
pub use layout::{Layout, Phase, REQUEST_BYTES, RESPONSE_BYTES};
use lending::Lending;
pub use lending::{LEND_FROM, Loan};
pub use population::{Crowding, Wanted};
pub use pulse::{Sized, Why};
use region::Region;
pub use response::{
    Damaged, EARLY_HINTS, Frame, HeadFrame, HeadTooLarge, HeadView, MAX_HEAD_BYTES, ResponseHead,
};
pub use scheduler::{Interpreter, SPARE_THREADS, Scheduler, Seat, Wake};
pub use spare::SelfCall;
pub use spending::Spent;
pub use streaming::{BodyEnd, BodyReader, BodyTicket, BodyWindow, Miscounted, Portion};
pub use waiting_room::WaitingRoom;
pub use wake::{Doorbell, Sharing};
pub use worker_end::{Taken, WorkerEnd};
pub use writing::Writable;

/// Chunks of the body arena: 64 MiB of bodies in memory at once; beyond that bodies go to files.
pub const ARENA_CHUNKS: u32 = 1024;

/// What the front holds of a link within its own process.
#[derive(Debug)]
pub struct FrontHalf {
    /// Slots and rings.
    pub end: FrontEnd,
    /// Memory for bodies.
    pub bodies: BodyPool,
    /// Rings when a worker has news and the front sleeps.
    pub doorbell: Arc<Doorbell>,
}

/// Makes a link within this process for a worker of `threads` threads.
pub fn private_link(threads: usize) -> io::Result<(FrontHalf, Arc<WorkerEnd>)> {
    check_permits(threads)?;
    let layout = Layout::new(slots_for(threads));
    let region = Arc::new(Region::private(layout.total)?);
    let arena = Arc::new(BodyArena::private(ARENA_CHUNKS)?);
    halves([Arc::clone(&region), region], layout, arena, Some(Arc::default()))
}

/// Fresh memory for the slots and rings between one front and one worker process of `threads` threads. Its size is fixed.
pub fn link_memory(threads: usize) -> io::Result<File> {
    check_permits(threads)?;
    Region::shareable(c"pelton-link", Layout::new(slots_for(threads)).total)
}

/// Fresh memory for the request bodies of one front and all its worker processes. Its size is fixed.
pub fn body_memory() -> io::Result<File> {
    BodyArena::file()
}

/// The two ends over the regions that each of them sees: the same one, or two mappings of the same memory.
fn halves(
    [front, worker]: [Arc<Region>; 2],
    layout: Layout,
    arena: Arc<BodyArena>,
    lending: Option<Arc<Lending>>,
) -> io::Result<(FrontHalf, Arc<WorkerEnd>)> {
    let doorbell = Arc::new(Doorbell::new()?);
    let (front_post, worker_post) = Post::pair();
    let half = FrontHalf {
        end: FrontEnd::new(front, layout, lending.clone(), front_post),
        bodies: BodyPool::new(Arc::clone(&arena)),
        doorbell: Arc::clone(&doorbell),
    };
    Ok((half, Arc::new(WorkerEnd::new(worker, layout, arena, doorbell, lending, worker_post))))
}

/// How many requests may run at once over one link: each has two slots.
pub const MAX_PERMITS: usize = layout::MAX_SLOTS / 2;

/// Twice the threads, so that the puller finds the next request without waiting for the front, and at least 64: quick requests
/// are answered in batches, and a batch is as large as there are slots.
fn slots_for(threads: usize) -> usize {
    (2 * threads).clamp(64, layout::MAX_SLOTS)
}

/// Fewer slots than requests that are to run at once would be fewer requests, and nobody would notice.
fn check_permits(threads: usize) -> io::Result<()> {
    if threads <= MAX_PERMITS {
        return Ok(());
    }
    let what = format!("{threads} requests at once in one worker: {MAX_PERMITS} is the most");
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

#[cfg(test)]
mod tests;
