//! Requests for spare threads: taken by nobody else, whatever else is ready, and taken back like any other.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use super::{PATIENCE, joined, push, write_request};
use crate::request::BodyParts;
use crate::{FrontEnd, ResponseHead, SelfCall, WorkerEnd};

const HEAD: ResponseHead<'static> =
    ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };
const LENT: SelfCall = SelfCall { is_report: false, caller_port: 40_000 };

fn push_spare(front: &mut FrontEnd, name: &str, self_call: SelfCall) -> u32 {
    let slot = front.claim_spare().unwrap();
    let len = write_request(front, slot, name, BodyParts::None);
    front.submit_spare(slot, len, self_call);
    slot
}

fn path_of(end: &WorkerEnd, taken: &crate::Taken) -> String {
    String::from_utf8(end.request(taken).unwrap().path().to_vec()).unwrap()
}

#[test]
fn it_passes_by_what_waits_and_only_a_spare_thread_takes_it() {
    let (mut front, end) = joined(1);
    push(&mut front, "first").unwrap();
    let slot = push_spare(&mut front, "lent", LENT);
    push(&mut front, "second").unwrap();
    let (taken, self_call) = end.take_spare().unwrap();
    assert_eq!((taken.slot(), self_call, &*path_of(&end, &taken)), (slot, LENT, "lent"));
    assert!(end.take_spare().is_none(), "those in the ring are not for spare threads");
    let others: Vec<_> = std::iter::from_fn(|| end.take()).map(|taken| path_of(&end, &taken)).collect();
    assert_eq!(others, ["first", "second"]);
    let mut taken = taken;
    end.put_head(&mut taken, &HEAD, std::iter::empty()).unwrap();
    end.finish(taken, false);
    assert!(front.release(slot));
    // The next request in its slot is one like any other.
    assert_eq!(push(&mut front, "next"), Some(slot));
    assert!(end.take_spare().is_none());
    assert_eq!(path_of(&end, &end.take().unwrap()), "next");
}

#[test]
fn the_watch_is_woken_and_sees_how_many() {
    let (mut front, end) = joined(1);
    let (waits, is_waiting) = mpsc::channel();
    let watch = {
        let end = Arc::clone(&end);
        thread::spawn(move || {
            let ticket = end.alarm();
            assert_eq!(end.spares(), 0);
            waits.send(()).unwrap();
            assert_ne!(end.wait_alarm(ticket, PATIENCE), ticket);
            end.spares()
        })
    };
    is_waiting.recv_timeout(PATIENCE).unwrap();
    push_spare(&mut front, "lent", LENT);
    assert_eq!(watch.join().unwrap(), 1);
    let report = SelfCall { is_report: true, caller_port: 0 };
    push_spare(&mut front, "report", report);
    assert_eq!(end.spares(), 2);
    let self_calls = [end.take_spare().unwrap().1, end.take_spare().unwrap().1];
    assert!(self_calls.contains(&LENT) && self_calls.contains(&report));
}

#[test]
fn a_ready_ring_full_of_what_was_taken_back_does_not_keep_it_out() {
    let (mut front, end) = joined(1);
    while let Some(slot) = push(&mut front, "taken back") {
        assert!(front.reclaim(slot));
    }
    assert!(front.claim().is_none() && front.free_slots() > 0);
    push_spare(&mut front, "lent", LENT);
    assert_eq!(path_of(&end, &end.take_spare().unwrap().0), "lent");
}

#[test]
fn after_the_front_has_died_nobody_takes_it() {
    let (mut front, end) = joined(1);
    push_spare(&mut front, "lent", LENT);
    end.sever();
    assert!(end.take_spare().is_none());
}

/// Taking, taking back and the next request in the same slot, all at the same time: each request is had by one side only, and nobody takes a
/// request of the ring for a lent one.
#[test]
fn taking_and_taking_back_at_the_same_time() {
    const ROUNDS: usize = 2000;
    let (mut front, end) = joined(1);
    let start = Arc::new(Barrier::new(2));
    let taker = {
        let (end, start) = (Arc::clone(&end), Arc::clone(&start));
        thread::spawn(move || {
            let mut had = 0;
            for _ in 0..ROUNDS {
                start.wait();
                if let Some((taken, self_call)) = end.take_spare() {
                    assert_eq!((self_call, &*path_of(&end, &taken)), (LENT, "lent"));
                    end.finish(taken, true);
                    had += 1;
                }
                start.wait();
            }
            had
        })
    };
    let mut taken_back = 0;
    for _ in 0..ROUNDS {
        let slot = push_spare(&mut front, "lent", LENT);
        start.wait();
        let is_back = front.reclaim(slot);
        if is_back {
            taken_back += 1;
            // Last freed, first used.
            assert_eq!(push(&mut front, "other"), Some(slot));
        }
        start.wait();
        if is_back {
            end.finish(end.take().unwrap(), true);
        }
        assert!(front.release(slot));
    }
    assert_eq!(taker.join().unwrap() + taken_back, ROUNDS);
}
