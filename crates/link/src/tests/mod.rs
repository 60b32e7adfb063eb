//! Both ends of a link together, without HTTP and without Python.
//!
//! Everything runs over two mappings of the same memory at different addresses, so that a pointer in the region could not go unnoticed.
//! Races are made with barriers and channels; a time-out only ever turns a hang into a failure.

mod bell;
mod files;
mod forks;
#[cfg(feature = "interleavings")]
mod interleavings;
mod intruders;
mod population;
mod pulse;
mod responses;
mod scheduling;
mod slots;
mod sockets;
mod spare;
mod spending;
mod streaming;
mod trimming;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::region::Region;
use crate::request::{self, BodyParts, RequestParts, Span};
use crate::{
    ARENA_CHUNKS, BodyArena, Doorbell, FrontEnd, FrontHalf, Layout, WorkerEnd, body_memory, halves,
    link_memory, slots_for,
};

/// How long a test waits before it calls a hang a hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn link(threads: usize) -> (FrontHalf, Arc<WorkerEnd>) {
    let layout = Layout::new(slots_for(threads));
    let file = link_memory(threads).unwrap();
    let regions = [(); 2].map(|()| Arc::new(Region::shared(&file, layout.total, true).unwrap()));
    halves(regions, layout, Arc::new(BodyArena::private(ARENA_CHUNKS).unwrap()), Some(Arc::default()))
        .unwrap()
}

/// Two connected sockets, as the supervisor makes them.
fn socket_pair() -> [OwnedFd; 2] {
    crate::system::packet_pair().unwrap()
}

/// The ends as two processes hold them: joined by nothing but descriptors.
fn joined(threads: usize) -> (FrontEnd, Arc<WorkerEnd>) {
    let (memory, bodies) = (link_memory(threads).unwrap(), body_memory().unwrap());
    let doorbell = Doorbell::new().unwrap().as_fd().try_clone_to_owned().unwrap();
    let [front, worker] = socket_pair();
    let end = WorkerEnd::join(&memory, &bodies, doorbell, worker, threads).unwrap();
    (FrontEnd::join(&memory, front, threads).unwrap(), Arc::new(end))
}

/// Puts a request whose path is `name` into a slot; None when all are in use.
fn push(front: &mut FrontEnd, name: &str) -> Option<u32> {
    let slot = front.claim()?;
    let len = write_request(front, slot, name, BodyParts::None);
    front.submit(slot, len);
    Some(slot)
}

/// Writes a request whose path is `name`; gives its length.
fn write_request(front: &mut FrontEnd, slot: u32, name: &str, body: BodyParts<'_>) -> usize {
    let parts = RequestParts {
        head: b"GET",
        method: Span { start: 0, end: 3 },
        target: Span::default(),
        query: Span::default(),
        path: name.as_bytes(),
        peer: b"",
        peer_port: 0,
        listener: 0,
        version: 11,
        body,
    };
    request::encode(front.request_area(slot), &parts, [].into_iter()).unwrap()
}
