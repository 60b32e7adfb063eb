//! Overdue requests, the heartbeat, a front that has died, and what joining checks.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, joined, link, push, socket_pair};
use crate::layout::Phase;
use crate::request::RequestView;
use crate::{
    Doorbell, FrontEnd, ResponseHead, Why, WorkerEnd, Writable, body_memory, coarse_ms, link_memory,
};

const HEAD: ResponseHead<'static> =
    ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };

#[test]
fn an_overdue_request_wakes_the_watch_and_is_named_until_it_is_over() {
    let (mut front, end) = joined(2);
    let (slow, quick) = (push(&mut front, "slow").unwrap(), push(&mut front, "quick").unwrap());
    let (slow_taken, quick_taken) = (end.take().unwrap(), end.take().unwrap());
    let (waits, is_waiting) = mpsc::channel();
    let watch = {
        let end = Arc::clone(&end);
        thread::spawn(move || {
            let ticket = end.alarm();
            assert_eq!(end.to_interrupt(), []);
            waits.send(()).unwrap();
            assert_ne!(end.wait_alarm(ticket, PATIENCE), ticket);
            end.to_interrupt()
        })
    };
    is_waiting.recv_timeout(PATIENCE).unwrap();
    front.abandon(quick, Why::Gone);
    front.abandon(slow, Why::Overdue);
    assert_eq!(watch.join().unwrap(), [(slow, slow_taken.generation(), Why::Overdue)]);
    // That the client goes as well does not make it less overdue; and who has gone can still become overdue.
    front.abandon(slow, Why::Gone);
    assert_eq!(end.to_interrupt(), [(slow, slow_taken.generation(), Why::Overdue)]);
    let before = end.alarm();
    front.abandon(quick, Why::Departed);
    assert_ne!(end.alarm(), before);
    assert_eq!(end.to_interrupt()[1], (quick, quick_taken.generation(), Why::Departed));
    front.abandon(quick, Why::Overdue);
    assert_eq!(end.to_interrupt()[1].2, Why::Overdue);
    assert!(end.is_gone(&slow_taken) && end.is_gone(&quick_taken));
    end.finish(slow_taken, true);
    end.finish(quick_taken, true);
    assert_eq!(end.to_interrupt(), []);
    assert!(front.release(slow) && front.release(quick));
    // The next request in the slot starts afresh.
    let again = push(&mut front, "again").unwrap();
    let taken = end.take().unwrap();
    assert_eq!((taken.slot(), taken.generation()), (again, 1));
    assert!(!end.is_gone(&taken) && end.to_interrupt().is_empty());
}

#[test]
fn a_client_that_closes_its_side_is_noted_and_its_response_goes_on() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "left").unwrap();
    assert!(end.is_left(slot, 0), "what does not run has nobody who waits");
    let taken = end.take().unwrap();
    assert!(!end.is_left(slot, 0) && end.is_left(slot, 1) && end.is_left(u32::MAX, 0));
    front.leave(slot);
    assert!(end.is_left(slot, 0) && !end.is_gone(&taken) && end.to_interrupt().is_empty());
    front.abandon(slot, Why::Gone);
    front.leave(slot);
    assert!(end.is_left(slot, 0) && end.is_gone(&taken));
    end.finish(taken, true);
    assert!(end.is_left(slot, 0) && front.release(slot));
    push(&mut front, "next").unwrap();
    let next = end.take().unwrap();
    assert!(end.is_left(slot, 0), "the one before is over, whoever is in its slot");
    assert!(!end.is_left(next.slot(), next.generation()));
    end.sever();
    assert!(end.is_left(next.slot(), next.generation()));
}

#[test]
fn the_watch_comes_back_in_time() {
    let (front, end) = joined(1);
    let ticket = end.alarm();
    assert_eq!(end.wait_alarm(ticket, Duration::from_millis(1)), ticket);
    front.abandon(0, Why::Overdue);
    assert_ne!(end.wait_alarm(ticket, PATIENCE), ticket, "a missed alarm is no reason to wait");
}

#[test]
fn the_watch_can_look_at_what_runs_and_at_nothing_else() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "looked at").unwrap();
    assert!(end.look_at(slot, 0).is_none(), "nobody runs it");
    let taken = end.take().unwrap();
    let (record, started) = end.look_at(slot, 0).unwrap();
    assert_eq!(RequestView::new(&record).unwrap().path(), b"looked at");
    assert_eq!(Some(started), front.started_ms(slot));
    assert!(end.look_at(slot, 1).is_none() && end.look_at(u32::MAX, 0).is_none());
    end.slot(slot).asker.0.request_len.store(u32::MAX, Ordering::SeqCst);
    assert!(end.look_at(slot, 0).is_none());
    end.finish(taken, false);
    assert!(end.look_at(slot, 0).is_none());
}

#[test]
fn the_front_sees_when_a_request_began_and_that_the_interpreter_runs() {
    let (mut front, end) = joined(1);
    assert_eq!(front.heartbeat_ms(), 0);
    let before = coarse_ms();
    end.beat();
    assert!((before..=coarse_ms()).contains(&front.heartbeat_ms()));

    for _ in 0..2 {
        let slot = push(&mut front, "x").unwrap();
        assert_eq!((front.phase(slot), front.started_ms(slot)), (Some(Phase::Ready), None));
        let before = coarse_ms();
        let taken = end.take().unwrap();
        assert_eq!(front.phase(slot), Some(Phase::Running));
        assert!((before..=coarse_ms()).contains(&front.started_ms(slot).unwrap()));
        end.finish(taken, false);
        assert_eq!(front.phase(slot), Some(Phase::Done));
        assert!(front.release(slot));
        assert_eq!(front.phase(slot), Some(Phase::Free));
    }
    let slot = push(&mut front, "x").unwrap();
    for nonsense in [7, 1 << 32, u64::MAX] {
        end.slot(slot).responder.0.state.store(nonsense, Ordering::SeqCst);
        assert_eq!(front.phase(slot), None);
    }
}

#[test]
fn writers_whose_front_has_died_return_and_nothing_more_is_taken() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "writes").unwrap();
    push(&mut front, "not started").unwrap();
    let (full, is_full) = mpsc::channel();
    let writer = {
        let end = Arc::clone(&end);
        thread::spawn(move || {
            let mut taken = end.take().unwrap();
            end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
            while end.put_data(&mut taken, &[0; 10_000]) > 0 {}
            end.publish(&mut taken);
            full.send(()).unwrap();
            let verdict = end.wait_writable(&taken, Some(PATIENCE));
            assert!(end.is_gone(&taken));
            end.finish(taken, true);
            verdict
        })
    };
    is_full.recv_timeout(PATIENCE).unwrap();
    end.sever();
    assert_eq!(writer.join().unwrap(), Writable::Gone);
    assert!(end.take().is_none());
    assert!(front.release(slot), "giving the slot back stays harmless");
}

#[test]
fn a_record_can_be_moved_even_when_the_worker_has_damaged_its_length() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "moved").unwrap();
    let whole = front.record(slot).to_vec();
    assert_eq!(RequestView::new(&whole).unwrap().path(), b"moved");
    for len in [0, 1, u32::MAX] {
        end.slot(slot).asker.0.request_len.store(len, Ordering::SeqCst);
        assert_eq!(front.record(slot), whole);
    }
    let claimed = front.claim().unwrap();
    front.submit(claimed, usize::MAX);
    assert_eq!(front.record(claimed).len(), crate::REQUEST_BYTES);
}

#[test]
fn memory_for_fewer_threads_is_refused() {
    let (small, bodies) = (link_memory(1).unwrap(), body_memory().unwrap());
    let [front, worker] = socket_pair();
    assert!(FrontEnd::join(&small, front, 33).is_err());
    let doorbell = || Doorbell::new().unwrap().as_fd().try_clone_to_owned().unwrap();
    assert!(WorkerEnd::join(&small, &bodies, doorbell(), worker, 33).is_err());
    let [front, worker] = socket_pair();
    assert!(FrontEnd::join(&small, front, 32).is_ok(), "two slots per thread, and at least 64");
    assert!(WorkerEnd::join(&small, &small, doorbell(), worker, 32).is_err(), "no place for bodies");
}

#[test]
fn file_frames_are_announced_only_when_they_fit() {
    let (mut half, end) = link(1);
    push(&mut half.end, "x").unwrap();
    let mut taken = end.take().unwrap();
    end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
    assert!(end.has_room_for_file(&taken));
    while end.put_data(&mut taken, &[0; 1000]) > 0 {}
    assert!(!end.has_room_for_file(&taken) && !end.put_file(&mut taken, 1, 0, 1));
}
