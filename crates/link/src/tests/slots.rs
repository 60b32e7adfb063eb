//! Slots: claimed, taken, taken back, used again.

use super::{link, push};
use crate::layout::Phase;

#[test]
fn requests_come_out_in_order_and_slots_are_used_again_and_again() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    for round in 0..1000 {
        let names: Vec<String> = (0..5).map(|i| format!("{round}/{i}")).collect();
        let slots: Vec<u32> = names.iter().map(|name| push(front, name).unwrap()).collect();
        assert_eq!((front.waiting(), end.ready()), (5, 5));
        for name in &names {
            let taken = end.take().unwrap();
            assert_eq!(end.request(&taken).unwrap().path(), name.as_bytes());
            end.finish(taken, false);
        }
        assert!(end.take().is_none());
        for slot in slots {
            assert!(front.release(slot));
            assert!(!front.release(slot), "a slot was freed twice");
        }
        assert_eq!(front.free_slots(), front.slots());
    }
}

#[test]
fn no_more_requests_than_slots() {
    let (mut half, _end) = link(1);
    let slots = half.end.slots();
    for i in 0..slots {
        assert!(push(&mut half.end, &i.to_string()).is_some());
    }
    assert!(push(&mut half.end, "one too many").is_none());
}

#[test]
fn what_is_taken_back_is_not_run_and_its_slot_is_not_mistaken_later() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let a = push(front, "a").unwrap();
    assert!(front.reclaim(a) && !front.reclaim(a));
    // The very slot carries another request while the stale entry is still in the ring.
    let b = push(front, "b").unwrap();
    assert_eq!(a, b);
    let taken = end.take().unwrap();
    assert_eq!(end.request(&taken).unwrap().path(), b"b");
    assert!(!front.reclaim(b), "it runs");
    assert!(end.take().is_none());
    end.finish(taken, false);
    assert!(front.release(b));
}

#[test]
fn stale_entries_never_overrun_the_ring() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let mut pushed = 0;
    while let Some(slot) = push(front, "x") {
        assert!(front.reclaim(slot));
        pushed += 1;
        assert!(pushed < 100_000, "the ring took more entries than it has");
    }
    assert_eq!(pushed, front.layout.ring_capacity);
    assert!(end.take().is_none(), "all of them were taken back");
    assert!(push(front, "y").is_some(), "the ring is empty again");
}

#[test]
fn a_broken_worker_cannot_make_the_front_leave_the_ring() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "x").unwrap();
    let taken = end.take().unwrap();
    // Each word that the worker may write gets values that no honest worker writes.
    for produced in [1, 7, 8, 9, 1 << 20, u32::MAX] {
        end.slot(taken.slot()).responder.0.produced.store(produced, std::sync::atomic::Ordering::SeqCst);
        let (mut cursor, _) = front.response(slot);
        for _ in 0..1000 {
            match front.frames(slot).next(&mut cursor) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
    for state in [0, 7, u64::from(Phase::Done as u32) | 99 << 32, u64::MAX] {
        end.slot(slot).responder.0.state.store(state, std::sync::atomic::Ordering::SeqCst);
        assert!(!front.release(slot));
    }
}
