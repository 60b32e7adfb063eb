//! Responses through the ring: every byte, in order, whatever the sizes; and writers that wait.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::{PATIENCE, link, push};
use crate::wake;
use crate::{
    Frame, FrontEnd, Loan, Progress, RESPONSE_BYTES, ResponseHead, Why, WorkerEnd, Writable, link_memory,
};

pub(super) const HEAD: ResponseHead<'static> =
    ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };

/// Reads what is there; data is appended to `out`.
pub(super) fn read(front: &mut FrontEnd, slot: u32, out: &mut Vec<u8>) -> Progress {
    let (mut cursor, progress) = front.response(slot);
    while let Some(frame) = front.frames(slot).next(&mut cursor).unwrap() {
        match frame {
            Frame::Head(head) => assert_eq!(head.read(&mut Vec::new()).unwrap().status, 200),
            Frame::Data(a, b) => {
                out.extend_from_slice(a);
                out.extend_from_slice(b);
            }
            Frame::File { token, len, .. } => {
                assert!(front.take_file(slot, token).is_some());
                out.extend(std::iter::repeat_n(b'F', len as usize));
            }
            Frame::Lent { token, len } => {
                let loan = front.take_loan(token).unwrap();
                out.extend_from_slice(&(*loan).as_ref()[..len as usize]);
            }
            Frame::Spend(_) => panic!("nothing was to be spent"),
        }
    }
    front.consume(slot, cursor, progress);
    progress
}

#[test]
fn pieces_of_every_size_pass_through_a_ring_that_wraps() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 5) as u8).collect();
    for piece in [1, 7, 8, 9, 1000, 65_537, RESPONSE_BYTES - 8, RESPONSE_BYTES, 3_000_000] {
        let data = &data[..(piece * 1000).min(data.len())];
        let slot = push(front, "x").unwrap();
        let mut taken = end.take().unwrap();
        end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
        let mut got = Vec::new();
        for piece in data.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let n = end.put_data(&mut taken, rest);
                rest = &rest[n..];
                if n == 0 {
                    end.publish(&mut taken);
                    read(front, slot, &mut got);
                }
            }
        }
        end.finish(taken, false);
        assert_eq!(read(front, slot, &mut got), Progress::Complete);
        assert!(got == data, "pieces of {piece}");
        assert!(front.release(slot));
    }
}

#[test]
fn a_writer_waits_for_room_and_both_threads_see_all_bytes() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let writer = thread::spawn(move || {
        let mut taken = end.take().unwrap();
        end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
        let piece: Vec<u8> = (0..100_003_u32).map(|i| i as u8).collect();
        for _ in 0..100 {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let n = end.put_data(&mut taken, rest);
                rest = &rest[n..];
                end.publish(&mut taken);
                if n == 0 {
                    assert_eq!(end.wait_writable(&taken, Some(PATIENCE)), Writable::Ready);
                }
            }
        }
        end.finish(taken, false);
    });
    let mut got = Vec::new();
    while read(front, slot, &mut got) != Progress::Complete && !writer.is_finished() {
        thread::yield_now();
    }
    writer.join().unwrap();
    assert_eq!(read(front, slot, &mut got), Progress::Complete);
    assert_eq!(got.len(), 100 * 100_003);
    assert!(got.chunks(100_003).all(|chunk| chunk.iter().enumerate().all(|(i, b)| *b == i as u8)));
}

/// A thread that has filled the ring and waits for room, or is about to; gives what the wait has returned.
fn waiting_writer(end: Arc<WorkerEnd>) -> JoinHandle<Writable> {
    let (full, is_full) = mpsc::channel();
    let writer = thread::spawn(move || {
        let mut taken = end.take().unwrap();
        end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
        while end.put_data(&mut taken, &[0; 10_000]) > 0 {}
        end.publish(&mut taken);
        full.send(()).unwrap();
        let verdict = end.wait_writable(&taken, Some(PATIENCE));
        end.finish(taken, verdict != Writable::Ready);
        verdict
    });
    is_full.recv_timeout(PATIENCE).unwrap();
    writer
}

#[test]
fn a_wake_up_for_nothing_is_no_end_of_the_patience() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let writer = waiting_writer(end);
    while front.slot(slot).asker.0.space_wanted.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    // As one that was sent for an older count and comes late; which of them finds it asleep does not matter.
    for _ in 0..100 {
        wake::wake(&front.slot(slot).asker.0.space, 1, front.region.sharing());
        thread::yield_now();
    }
    while read(front, slot, &mut Vec::new()) != Progress::Complete && !writer.is_finished() {
        thread::yield_now();
    }
    assert_eq!(writer.join().unwrap(), Writable::Ready);
}

#[test]
fn a_waiting_writer_learns_that_its_client_has_gone() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let writer = waiting_writer(end);
    front.abandon(slot, Why::Gone);
    assert_eq!(writer.join().unwrap(), Writable::Gone);
    assert!(front.release(slot));
}

#[test]
fn a_verdict_before_the_end_is_a_response_and_the_slot_comes_later() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let mut taken = end.take().unwrap();
    end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
    end.put_data(&mut taken, b"all");
    end.conclude(&mut taken, false);
    let mut got = Vec::new();
    assert_eq!(read(front, slot, &mut got), Progress::Complete);
    assert_eq!(got, b"all");
    assert!(!front.release(slot), "the application is still in close()");
    end.finish(taken, true);
    assert_eq!(front.response(slot).1, Progress::Complete, "the first verdict stands");
    assert!(front.release(slot));
}

#[test]
fn files_travel_in_their_place() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let mut taken = end.take().unwrap();
    end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
    end.put_data(&mut taken, b"<");
    let token = end.give_file(&taken, OwnedFd::from(link_memory(1).unwrap())).unwrap();
    assert!(end.put_file(&mut taken, token, 0, 5));
    end.put_data(&mut taken, b">");
    end.finish(taken, false);
    let mut got = Vec::new();
    read(front, slot, &mut got);
    assert_eq!(got, b"<FFFFF>");
}

#[test]
fn loans_are_read_in_place_one_at_a_time_and_given_back() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let mut taken = end.take().unwrap();
    end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
    let kept: Arc<[u8]> = Arc::from(vec![b'L'; 1_000_000]);
    let loan = || Box::new(Arc::clone(&kept)) as Loan;
    assert!(end.put_lent(&mut taken, loan(), 999_999).is_ok());
    assert!(end.put_lent(&mut taken, loan(), 1).is_err(), "a second one before the first is taken");
    assert_eq!(end.put_data(&mut taken, b"x"), 0);
    assert_eq!(Arc::strong_count(&kept), 2);
    end.publish(&mut taken);
    let mut got = Vec::new();
    read(front, slot, &mut got);
    assert_eq!(end.wait_writable(&taken, Some(PATIENCE)), Writable::Ready);
    assert!(got == kept[..999_999] && Arc::strong_count(&kept) == 1);
    assert!(end.put_lent(&mut taken, loan(), 5).is_ok());
    end.finish(taken, false);
    drop((half, end));
    assert_eq!(Arc::strong_count(&kept), 1, "an untaken loan ends with the link");
}
