//! A worker that sleeps on a descriptor: no news is missed, whoever comes first, and nobody rings one that is awake.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{joined, link, push};
use crate::layout::BELL_AWAKE;
use crate::{BodyEnd, BodyPool, BodyWindow, FrontEnd, WorkerEnd, Writable, private_link};

/// Both kinds of bell: an eventfd, and the link's socket.
fn both() -> [(FrontEnd, Arc<WorkerEnd>); 2] {
    let (half, end) = link(1);
    [(half.end, end), joined(1)]
}

fn is_readable(descriptor: RawFd, milliseconds: i32) -> bool {
    let mut polled = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one live structure.
    unsafe { libc::poll(&raw mut polled, 1, milliseconds) == 1 }
}

fn bell_of(end: &WorkerEnd) -> u32 {
    end.sleepers().bell.load(Ordering::SeqCst)
}

#[test]
fn a_sleeper_is_rung_once_and_only_while_it_sleeps() {
    for (mut front, end) in both() {
        let bell = end.listen().unwrap();
        push(&mut front, "/1").unwrap();
        front.ring_bell();
        assert!(!is_readable(bell, 0), "it had not said that it sleeps");
        assert!(!end.prepare_sleep(true), "a request is ready");
        assert_eq!(bell_of(&end), BELL_AWAKE);

        end.finish(end.take().unwrap(), false);
        assert!(end.prepare_sleep(true) && end.is_asleep());
        push(&mut front, "/2").unwrap();
        assert!(!is_readable(bell, 0), "not announced yet");
        front.ring_bell();
        assert!(is_readable(bell, 0));
        assert!(end.answer_bell());
        assert!(!is_readable(bell, 0));
        push(&mut front, "/3").unwrap();
        front.ring_bell();
        assert!(!is_readable(bell, 0), "it is awake");
        assert_eq!(end.ready(), 2);
    }
}

#[test]
fn a_worker_that_takes_nothing_more_sleeps_beside_ready_requests() {
    for (mut front, end) in both() {
        end.listen().unwrap();
        push(&mut front, "/1").unwrap();
        assert!(end.prepare_sleep(false) && !end.prepare_sleep(true));
    }
}

#[test]
fn room_rouses_the_writer_that_waits_for_it() {
    for (mut front, end) in both() {
        let bell = end.listen().unwrap();
        let slot = push(&mut front, "/").unwrap();
        let mut taken = end.take().unwrap();
        while end.put_data(&mut taken, &[b'x'; 60_000]) > 0 {}
        end.publish(&mut taken);
        assert!(end.try_writable(&taken).is_none());
        assert!(end.prepare_sleep(true));
        front.discard(slot);
        assert!(is_readable(bell, 0));
        assert!(!end.prepare_sleep(true), "a slot is roused");
        let mut roused = Vec::new();
        end.take_roused(&mut roused);
        assert_eq!(roused, [slot]);
        assert_eq!(end.try_writable(&taken), Some(Writable::Ready));
        assert!(end.prepare_sleep(true));
        end.finish(taken, false);
    }
}

#[test]
fn bytes_and_the_end_of_a_body_rouse_its_reader() {
    let (mut half, end) = private_link(1).unwrap();
    let bell = end.listen().unwrap();
    let mut window = BodyWindow::new(&mut half.bodies, 1).unwrap();
    let slot = super::streaming::submit(&mut half.end, &mut window, false);
    let taken = end.take().unwrap();
    let mut reader = super::streaming::reader(&end, &taken);
    let mut more = |pool: &mut BodyPool, front: &FrontEnd, bytes: &[u8], last: bool| {
        window.push(pool, bytes);
        if last {
            window.end(BodyEnd::Complete);
        }
        front.publish_body(slot, &window);
    };
    let mut roused = Vec::new();
    for (bytes, last) in [(&b"abc"[..], false), (b"", true)] {
        let ticket = end.await_body(&mut reader);
        assert!(end.is_body_quiet(&ticket) && ticket.slot() == slot);
        assert!(end.prepare_sleep(true));
        more(&mut half.bodies, &half.end, bytes, last);
        assert!(is_readable(bell, 0) && !end.is_body_quiet(&ticket));
        assert!(end.answer_bell());
        end.take_roused(&mut roused);
        end.consume_body(&mut reader, bytes.len());
    }
    assert_eq!(roused, [slot, slot]);
    end.detach_body(reader);
    end.finish(taken, false);
}

#[test]
fn workers_that_do_not_listen_are_not_roused() {
    let (mut half, end) = link(1);
    let slot = push(&mut half.end, "/").unwrap();
    let taken = end.take().unwrap();
    end.slot(slot).asker.0.space_wanted.store(1, Ordering::SeqCst);
    half.end.discard(slot);
    let mut roused = Vec::new();
    end.take_roused(&mut roused);
    assert!(roused.is_empty());
    end.finish(taken, false);
}

#[test]
fn the_end_of_the_front_is_found_out() {
    let (front, end) = joined(1);
    let bell = end.listen().unwrap();
    assert!(end.prepare_sleep(true));
    drop(front);
    assert!(is_readable(bell, 0));
    assert!(!end.answer_bell(), "it will stay readable");
    end.sever();
    let mut roused = Vec::new();
    end.take_roused(&mut roused);
    assert_eq!(roused.len(), end.slots());
}

/// The race named in `bell`: both sides act at the same moment, many times. A worker that missed something would sleep with work at hand.
#[test]
fn sleep_against_news_loses_nothing() {
    const ROUNDS: usize = 2_000;
    for (mut front, end) in both() {
        let bell = end.listen().unwrap();
        let gate = Arc::new(Barrier::new(2));
        let done = Arc::new(AtomicUsize::new(0));
        let worker = thread::spawn({
            let (gate, done, end) = (Arc::clone(&gate), Arc::clone(&done), Arc::clone(&end));
            move || {
                for _ in 0..ROUNDS {
                    gate.wait();
                    // A ring that came too late for the last sleep ends this one early.
                    let taken = loop {
                        if let Some(taken) = end.take() {
                            break taken;
                        }
                        if end.prepare_sleep(true) {
                            assert!(is_readable(bell, 20_000), "it sleeps with a request at hand");
                            assert!(end.answer_bell());
                        }
                    };
                    end.finish(taken, false);
                    done.fetch_add(1, Ordering::SeqCst);
                    gate.wait();
                }
            }
        });
        for _ in 0..ROUNDS {
            gate.wait();
            let slot = push(&mut front, "/").unwrap();
            front.ring_bell();
            gate.wait();
            assert!(front.release(slot));
        }
        worker.join().unwrap();
        assert_eq!(done.load(Ordering::SeqCst), ROUNDS);
    }
}

#[test]
fn a_ring_that_somebody_else_takes_out_of_the_socket_is_still_heard() {
    for (mut front, end) in both() {
        let bell = end.listen().unwrap();
        assert!(end.prepare_sleep(true));
        push(&mut front, "/");
        front.ring_bell();
        assert!(is_readable(bell, 0));
        // As the watch does now and then, on its own thread, and a request that looks for its body's file.
        end.drop_stale_files();
        assert!(is_readable(bell, 0), "lost");
        assert!(end.answer_bell());
        assert!(!is_readable(bell, 0));
    }
}
