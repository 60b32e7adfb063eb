//! Both ends of a link together, without HTTP and without Python.
//!
//! Everything runs over two mappings of the same memory at different addresses, so that a pointer in the region could not go unnoticed.
//! Races are made with barriers and channels; a time-out only ever turns a hang into a failure.

mod answers;
mod scheduling;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use crate::request::{self, BodyParts, RequestParts, Span};
use crate::{ARENA_CHUNKS, BodyArena, FrontEnd, FrontHalf, Layout, Region, WorkerEnd, halves, slots_for};

/// How long a test waits before it calls a hang a hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn link(threads: usize) -> (FrontHalf, Arc<WorkerEnd>) {
    let layout = Layout::new(slots_for(threads));
    let file = Region::shareable(layout.total).unwrap();
    let regions = [Region::shared(&file).unwrap(), Region::shared(&file).unwrap()].map(Arc::new);
    halves(regions, layout, Arc::new(BodyArena::private(ARENA_CHUNKS).unwrap()), Some(Arc::default()))
        .unwrap()
}

/// Puts a request whose path is `name` into a slot; None when all are in use.
fn push(front: &mut FrontEnd, name: &str) -> Option<u32> {
    let slot = front.claim()?;
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
        body: BodyParts::None,
    };
    let len = request::encode(front.request_area(slot), &parts, [].into_iter()).unwrap();
    front.submit(slot, len);
    Some(slot)
}
