//! Memory after a burst, and limits of how much there may be of it.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::{BodyParts, joined, push, socket_pair, write_request};
use crate::{
    BodyArena, BodyPool, CHUNK_BYTES, FrontEnd, MAX_PERMITS, ResponseHead, WorkerEnd, body_memory,
    link_memory, private_link,
};

const HEAD: ResponseHead<'static> =
    ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };

#[test]
fn memory_of_a_burst_goes_back_and_what_is_used_stays() {
    let (memory, bodies) = (link_memory(100).unwrap(), body_memory().unwrap());
    let [front, worker] = socket_pair();
    let doorbell = std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let end = WorkerEnd::join(&memory, &bodies, doorbell, worker, 100).unwrap();
    let mut front = FrontEnd::join(&memory, front, 100).unwrap();
    let used = || memory.metadata().unwrap().blocks() * 512;
    let before = used();
    assert!(!front.is_touched());
    let slots: Vec<_> = (0..150).map(|_| push(&mut front, "burst").unwrap()).collect();
    let mut all: Vec<_> = slots.iter().map(|_| end.take().unwrap()).collect();
    for taken in &mut all {
        end.put_head(taken, &HEAD, [].into_iter()).unwrap();
        end.put_data(taken, &[b'x'; 200_000]);
    }
    let held = all.pop().unwrap();
    for taken in all {
        end.finish(taken, false);
    }
    let (kept, given) = slots.split_last().unwrap();
    for slot in given {
        front.discard(*slot);
        assert!(front.release(*slot));
    }
    let burst = used();
    assert!(burst - before > 149 * 200_000);
    front.trim();
    assert!(used() > burst / 2, "it may be wanted again at once");
    front.trim();
    assert!(used() < before + (burst - before) / 20, "{before} {burst} {}", used());
    assert!(front.is_touched(), "one is still in use");

    // That one is whole, and the others can be used.
    end.finish(held, false);
    let (mut cursor, _) = front.response(*kept);
    assert!(front.frames(*kept).next(&mut cursor).is_ok_and(|frame| frame.is_some()));
    assert!(front.frames(*kept).next(&mut cursor).is_ok_and(|frame| frame.is_some()));
    front.discard(*kept);
    assert!(front.release(*kept));
    let slot = push(&mut front, "again").unwrap();
    let taken = end.take().unwrap();
    assert_eq!(end.request(&taken).unwrap().path(), b"again");
    end.finish(taken, false);
    assert!(front.release(slot));
    front.trim();
    front.trim();
    assert!(!front.is_touched());
}

#[test]
fn chunks_that_nobody_uses_go_back_to_the_system() {
    let mut pool = BodyPool::new(Arc::new(BodyArena::private(64).unwrap()));
    let chunks: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    for &chunk in &chunks {
        pool.bytes_mut(chunk).fill(7);
    }
    pool.put_back(chunks.iter().copied().skip(1));
    pool.trim();
    pool.trim();
    assert!(pool.bytes_mut(chunks[0]).iter().all(|&byte| byte == 7), "it is in use");
    assert!(pool.is_touched());
    for &chunk in &chunks[1..] {
        assert_eq!(pool.bytes_mut(chunk), [0; CHUNK_BYTES]);
    }
}

#[test]
fn there_are_as_many_permits_as_were_asked_for_or_none() {
    for threads in [1, 64, 600, 1500, MAX_PERMITS] {
        let (mut half, _end) = private_link(threads).unwrap();
        assert!(half.end.slots() >= threads);
        assert!((0..threads).all(|_| push(&mut half.end, "x").is_some()), "{threads}");
    }
    for threads in [MAX_PERMITS + 1, 100_000, usize::MAX / 4] {
        assert!(private_link(threads).is_err() && link_memory(threads).is_err());
        let [front, _worker] = socket_pair();
        let memory = link_memory(1).unwrap();
        assert!(FrontEnd::join(&memory, front, threads).is_err());
    }
    let (mut front, _end) = joined(1);
    let slot = front.claim().unwrap();
    let len = write_request(&mut front, slot, "x", BodyParts::None);
    front.submit(slot, len);
}
