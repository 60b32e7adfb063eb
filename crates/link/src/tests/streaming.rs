//! Bodies through a window: every cut, wrap and ending, and who may touch the chunks when.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, link, socket_pair, write_request};
use crate::request::{BodyParts, BodyView};
use crate::{
    BodyArena, BodyEnd, BodyPool, BodyReader, BodyWindow, CHUNK_BYTES, Doorbell, FrontEnd, FrontHalf,
    Miscounted, Portion, Taken, Why, WorkerEnd, body_memory, link_memory,
};

/// The ends as two processes hold them, with two mappings of the arena, too.
fn processes() -> (FrontHalf, Arc<WorkerEnd>) {
    let bodies = body_memory().unwrap();
    let (end, doorbell, worker) = worker_over(&bodies);
    let pool = BodyPool::new(Arc::new(BodyArena::shared_for_front(&bodies).unwrap()));
    (FrontHalf { end, bodies: pool, doorbell }, worker)
}

/// Both ends of a link to one of the workers that these bodies are for.
fn worker_over(bodies: &File) -> (FrontEnd, Arc<Doorbell>, Arc<WorkerEnd>) {
    let memory = link_memory(1).unwrap();
    let doorbell = Arc::new(Doorbell::new().unwrap());
    let [front, worker] = socket_pair();
    let bell = std::os::fd::AsFd::as_fd(&*doorbell).try_clone_to_owned().unwrap();
    let end = WorkerEnd::join(&memory, bodies, bell, worker, 1).unwrap();
    (FrontEnd::join(&memory, front, 1).unwrap(), doorbell, Arc::new(end))
}

pub(super) fn submit(front: &mut FrontEnd, window: &mut BodyWindow, waits_for_leave: bool) -> u32 {
    let slot = front.claim().unwrap();
    let body = BodyParts::Stream { chunks: window.chunks(), length: None, waits_for_leave };
    let len = write_request(front, slot, "/", body);
    front.open_body(slot, window);
    front.submit(slot, len);
    slot
}

pub(super) fn reader(end: &WorkerEnd, taken: &Taken) -> BodyReader {
    let BodyView::Stream { chunks, waits_for_leave, .. } = end.request(taken).unwrap().body() else {
        panic!("not streamed")
    };
    end.body_reader(taken, chunks, waits_for_leave).unwrap()
}

/// Reads to the end as an application would, at most `step` bytes at a time.
pub(super) fn read_all(
    end: &WorkerEnd,
    reader: &mut BodyReader,
    step: usize,
    patience: Option<Duration>,
) -> (Vec<u8>, BodyEnd) {
    let mut all = Vec::new();
    loop {
        let count = match end.peek_body(reader) {
            Portion::Bytes(bytes) => {
                let piece = &bytes[..bytes.len().min(step)];
                all.extend_from_slice(piece);
                piece.len()
            }
            Portion::End(how) => return (all, how),
            Portion::NotYet => {
                let ticket = end.await_body(reader);
                end.wait_body(ticket, patience);
                continue;
            }
        };
        end.consume_body(reader, count);
    }
}

pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 3 + i / 70_000) as u8).collect()
}

/// The front's part: puts all of `data` in, `step` bytes at a time, and waits for room without looking at the clock.
fn write_all(half: &mut FrontHalf, slot: u32, window: &mut BodyWindow, data: &[u8], step: usize) {
    let mut at = 0;
    while at < data.len() {
        half.end.see_body(slot, window).unwrap();
        at += window.push(&mut half.bodies, &data[at..data.len().min(at + step)]);
        half.end.publish_body(slot, window);
        if window.free() == 0 && half.end.await_body_room(slot, window).unwrap() {
            let (mut polled, mut news) = (pollfd(half), Vec::new());
            while news.is_empty() {
                if half.end.prepare_sleep() {
                    // SAFETY: one live structure.
                    assert_eq!(unsafe { libc::poll(&raw mut polled, 1, 20_000) }, 1, "no room was made");
                    half.end.awake();
                    let mut count = 0_u64;
                    // SAFETY: eight writable bytes.
                    unsafe { libc::read(polled.fd, (&raw mut count).cast(), 8) };
                }
                half.end.take_dirty(&mut news);
            }
        }
    }
}

fn pollfd(half: &FrontHalf) -> libc::pollfd {
    use std::os::fd::{AsFd, AsRawFd};
    libc::pollfd { fd: half.doorbell.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

#[test]
fn a_body_larger_than_its_window_comes_out_whole_whatever_the_pieces() {
    for (chunks, len, put, get) in [
        (1, 300_000, 7, 100_000),
        (1, CHUNK_BYTES, CHUNK_BYTES, 1),
        (4, 3_000_000, 70_001, 65_536),
        (4, 1_000_000, 1_000_000, 9_999),
        (2, 2 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES),
    ] {
        for make in [processes, || link(1)] {
            let (mut half, end) = make();
            let all = half.bodies.free();
            let mut window = BodyWindow::new(&mut half.bodies, chunks).unwrap();
            let slot = submit(&mut half.end, &mut window, false);
            let worker = thread::spawn({
                let end = Arc::clone(&end);
                move || {
                    let taken = end.take().unwrap();
                    let mut reader = reader(&end, &taken);
                    let read = read_all(&end, &mut reader, get, Some(PATIENCE));
                    end.detach_body(reader);
                    end.finish(taken, false);
                    read
                }
            });
            let data = pattern(len);
            write_all(&mut half, slot, &mut window, &data, put);
            window.end(BodyEnd::Complete);
            half.end.publish_body(slot, &window);
            let (read, how) = worker.join().unwrap();
            assert!(read == data && how == BodyEnd::Complete, "{chunks} {len} {put} {get}");
            assert!(half.end.release(slot));
            window.give_back(&mut half.bodies);
            assert_eq!(half.bodies.free(), all);
        }
    }
}

#[test]
fn positions_wrap() {
    let (mut half, end) = processes();
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    let slot = submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    let mut reader = reader(&end, &taken);
    // As after 4 GiB less some bytes.
    let far = u32::MAX - 1000;
    (window.produced, window.consumed, reader.at) = (far, far, far);
    end.slot(slot).responder.0.body_consumed.store(far, Ordering::SeqCst);
    half.end.publish_body(slot, &window);
    let data = pattern(CHUNK_BYTES);
    let mut read = Vec::new();
    assert_eq!(window.push(&mut half.bodies, &data), data.len());
    half.end.publish_body(slot, &window);
    while let Portion::Bytes(bytes) = end.peek_body(&reader) {
        let count = bytes.len();
        read.extend_from_slice(bytes);
        end.consume_body(&mut reader, count);
    }
    assert!(read == data);
    half.end.see_body(slot, &mut window).unwrap();
    assert_eq!(window.free(), CHUNK_BYTES);
}

#[test]
fn what_has_come_is_given_before_the_reason_why_there_is_no_more() {
    for how in [BodyEnd::Complete, BodyEnd::Gone, BodyEnd::Late, BodyEnd::Malformed, BodyEnd::TooLarge] {
        let (mut half, end) = processes();
        let mut window = BodyWindow::new(&mut half.bodies, 4).unwrap();
        let slot = submit(&mut half.end, &mut window, false);
        let taken = end.take().unwrap();
        let mut reader = reader(&end, &taken);
        assert_eq!(end.peek_body(&reader), Portion::NotYet);
        window.push(&mut half.bodies, b"abc");
        window.end(how);
        window.end(BodyEnd::Complete);
        half.end.publish_body(slot, &window);
        assert_eq!(end.peek_body(&reader), Portion::Bytes(b"abc"));
        end.consume_body(&mut reader, 3);
        for _ in 0..2 {
            assert_eq!(end.peek_body(&reader), Portion::End(how), "the first ending counts, and it stays");
        }
        assert!(window.free() == 0 && window.push(&mut half.bodies, b"more") == 0);
    }
}

#[test]
fn a_reader_that_waits_is_woken_by_bytes_by_the_end_by_a_dead_front_and_by_detaching() {
    type Waker = fn(&mut FrontHalf, &WorkerEnd, u32, &mut BodyWindow);
    let bytes: Waker = |half, _, slot, window| {
        window.push(&mut half.bodies, b"x");
        half.end.publish_body(slot, window);
    };
    let ending: Waker = |half, _, slot, window| {
        window.end(BodyEnd::Late);
        half.end.publish_body(slot, window);
    };
    let dead_front: Waker = |_, end, _, _| end.sever();
    let detached: Waker = |_, end, slot, _| end.release_body_waiters(slot);
    for waker in [bytes, ending, dead_front, detached] {
        for round in 0..20 {
            let (mut half, end) = processes();
            let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
            let slot = submit(&mut half.end, &mut window, false);
            let taken = end.take().unwrap();
            let mut reader = reader(&end, &taken);
            let ticket = end.await_body(&mut reader);
            let (says, hears) = mpsc::channel();
            let waiter = thread::spawn({
                let end = Arc::clone(&end);
                move || {
                    says.send(()).unwrap();
                    end.wait_body(ticket, Some(PATIENCE));
                }
            });
            hears.recv_timeout(PATIENCE).unwrap();
            if round % 2 == 0 {
                // Now asleep, or about to be.
                while end.slot(slot).asker.0.body_wanted.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
            }
            let began = std::time::Instant::now();
            waker(&mut half, &end, slot, &mut window);
            waiter.join().unwrap();
            assert!(began.elapsed() < PATIENCE / 2, "nobody woke it");
        }
    }
}

#[test]
fn whoever_waits_for_a_body_that_was_detached_does_not_wait_for_the_next_one() {
    let (mut half, end) = processes();
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    let slot = submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    let mut first = reader(&end, &taken);
    let ticket = end.await_body(&mut first);
    end.detach_body(first);
    end.finish(taken, false);
    assert!(half.end.release(slot));
    window.give_back(&mut half.bodies);
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    assert_eq!(submit(&mut half.end, &mut window, false), slot);
    let taken = end.take().unwrap();
    let began = std::time::Instant::now();
    end.wait_body(ticket, Some(PATIENCE));
    assert!(began.elapsed() < PATIENCE / 2);
    // The one that it waited for is none of this request's business, and does it no harm.
    window.push(&mut half.bodies, b"new");
    half.end.publish_body(slot, &window);
    assert_eq!(end.peek_body(&reader(&end, &taken)), Portion::Bytes(b"new"));
}

#[test]
fn a_request_that_was_not_started_moves_with_what_has_come() {
    let memory = body_memory().unwrap();
    let (mut first, _, first_end) = worker_over(&memory);
    let (mut second, _, second_end) = worker_over(&memory);
    let mut bodies = BodyPool::new(Arc::new(BodyArena::shared_for_front(&memory).unwrap()));
    let mut window = BodyWindow::new(&mut bodies, 1).unwrap();
    let slot = submit(&mut first, &mut window, true);
    window.push(&mut bodies, b"before ");
    first.publish_body(slot, &window);
    assert!(first.reclaim(slot));
    assert!(first_end.take().is_none());
    window.push(&mut bodies, b"between ");
    let slot = submit(&mut second, &mut window, true);
    let taken = second_end.take().unwrap();
    window.push(&mut bodies, b"behind");
    second.publish_body(slot, &window);
    let mut moved = reader(&second_end, &taken);
    assert_eq!(second_end.peek_body(&moved), Portion::Bytes(b"before between behind"));
    second_end.consume_body(&mut moved, 21);
    assert!(!second.is_body_asked_for(slot));
    let _ = second_end.await_body(&mut moved);
    assert!(second.is_body_asked_for(slot));
    second.see_body(slot, &mut window).unwrap();
    // That it was started, and read, is not undone by whatever happens now.
    let again = submit(&mut second, &mut window, false);
    let taken = second_end.take().unwrap();
    assert_eq!(taken.slot(), again);
    assert_eq!(second_end.peek_body(&reader(&second_end, &taken)), Portion::End(BodyEnd::Abandoned));
}

#[test]
fn a_worker_that_counts_nonsense_is_found_out_and_nothing_is_overwritten() {
    let (mut half, end) = processes();
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    let slot = submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    let mut honest = reader(&end, &taken);
    assert_eq!(window.push(&mut half.bodies, &[1; CHUNK_BYTES + 1]), CHUNK_BYTES);
    half.end.publish_body(slot, &window);
    end.consume_body(&mut honest, 10);
    half.end.see_body(slot, &mut window).unwrap();
    assert_eq!(window.free(), 10);
    for nonsense in [9, u32::MAX, CHUNK_BYTES as u32 + 1, 1 << 31] {
        end.slot(slot).responder.0.body_consumed.store(nonsense, Ordering::SeqCst);
        assert_eq!(half.end.see_body(slot, &mut window), Err(Miscounted));
        assert_eq!(half.end.await_body_room(slot, &mut window), Err(Miscounted));
        assert_eq!(window.free(), 10);
    }
}

#[test]
fn records_and_words_that_make_no_sense_are_no_danger_to_a_worker() {
    let (mut half, end) = processes();
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    let slot = submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    for bad in [&[][..], &[0; 3], &[0; 12]] {
        assert!(end.body_reader(&taken, bad, false).is_none());
    }
    let outside = end.body_reader(&taken, &u32::MAX.to_ne_bytes(), false).unwrap();
    window.push(&mut half.bodies, b"x");
    half.end.publish_body(slot, &window);
    assert_eq!(end.peek_body(&outside), Portion::End(BodyEnd::Malformed));
    let sound = reader(&end, &taken);
    end.slot(slot).asker.0.body_produced.store(CHUNK_BYTES as u32 + 1, Ordering::SeqCst);
    assert_eq!(end.peek_body(&sound), Portion::End(BodyEnd::Malformed));
    end.slot(slot).asker.0.body_produced.store(0, Ordering::SeqCst);
    end.slot(slot).asker.0.body_state.store(4711, Ordering::SeqCst);
    assert_eq!(end.peek_body(&sound), Portion::End(BodyEnd::Abandoned));
}

#[test]
fn an_abandoned_request_keeps_its_chunks_until_it_lets_go() {
    let (mut half, end) = processes();
    let mut window = BodyWindow::new(&mut half.bodies, 4).unwrap();
    let slot = submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    let mut reader = reader(&end, &taken);
    window.push(&mut half.bodies, b"secret");
    half.end.publish_body(slot, &window);
    half.end.abandon(slot, Why::Gone);
    window.end(BodyEnd::Abandoned);
    half.end.publish_body(slot, &window);
    // A reader in the middle of a copy: its bytes are still there, and no other window gets them.
    let Portion::Bytes(bytes) = end.peek_body(&reader) else { panic!() };
    let mut others: Vec<BodyWindow> =
        std::iter::from_fn(|| BodyWindow::new(&mut half.bodies, 1024)).collect();
    for other in &mut others {
        let all = vec![0xFF; other.capacity()];
        other.push(&mut half.bodies, &all);
    }
    assert_eq!(bytes, b"secret");
    end.consume_body(&mut reader, 6);
    assert_eq!(end.peek_body(&reader), Portion::End(BodyEnd::Abandoned));
    assert!(!half.end.release(slot), "it has not let go");
    end.detach_body(reader);
    end.finish(taken, true);
    assert!(half.end.release(slot));
}

#[test]
fn windows_take_what_there_is() {
    let mut pool = BodyPool::new(Arc::new(BodyArena::private(7).unwrap()));
    let mut first = BodyWindow::new(&mut pool, 4).unwrap();
    let second = BodyWindow::new(&mut pool, 4).unwrap();
    let third = BodyWindow::new(&mut pool, 4).unwrap();
    assert_eq!([&first, &second, &third].map(|window| window.chunks().len()), [4, 2, 1]);
    assert!(BodyWindow::new(&mut pool, 4).is_none());
    first.give_back(&mut pool);
    first.give_back(&mut pool);
    assert_eq!((pool.free(), first.free(), first.room(&mut pool).len()), (4, 0, 0));
}
