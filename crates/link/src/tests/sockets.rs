//! The offer of a client's socket: exactly one end gets it, whichever is first, and neither sees the offer of another request.

use std::os::fd::AsFd;
use std::sync::{Arc, Barrier};
use std::thread;

use super::{joined, link, push, write_request};
use crate::request::{BodyParts, BodyView};
use crate::{FrontEnd, Phase, WorkerEnd};

fn each_kind_of_link(test: impl Fn(&mut FrontEnd, &Arc<WorkerEnd>)) {
    let (mut half, end) = link(1);
    test(&mut half.end, &end);
    let (mut front, end) = joined(1);
    test(&mut front, &end);
}

/// Puts a request into a slot that offers the writing end of a pipe.
pub(super) fn offer(front: &mut FrontEnd) -> u32 {
    let slot = front.claim().unwrap();
    let (_, writer) = std::io::pipe().unwrap();
    let token = front.give_file(slot, writer.as_fd()).unwrap();
    let len = write_request(front, slot, "/", BodyParts::Socket(token));
    front.offer_socket(slot);
    front.submit(slot, len);
    slot
}

#[test]
fn who_is_first_has_it() {
    each_kind_of_link(|front, end| {
        let slot = offer(front);
        let taken = end.take().unwrap();
        let BodyView::Socket(token) = end.request(&taken).unwrap().body() else { panic!("no socket") };
        assert!(end.take_file(&taken, token).is_ok());
        assert!(!front.is_socket_taken(slot) && end.take_socket(&taken));
        assert!(front.is_socket_taken(slot) && !front.withdraw_socket(slot) && !end.take_socket(&taken));
        assert_eq!(front.sockets_held(), 0);
        end.hand_over(taken);
        assert_eq!((front.phase(slot), front.sockets_held()), (Some(Phase::Done), 1));
        end.socket_ended();
        assert!(front.release(slot) && front.sockets_held() == 0);

        let slot = offer(front);
        let taken = end.take().unwrap();
        assert!(front.withdraw_socket(slot) && front.withdraw_socket(slot), "withdrawn once and for all");
        assert!(!end.take_socket(&taken) && !front.is_socket_taken(slot));
        end.finish(taken, false);
        assert!(front.release(slot));
    });
}

#[test]
fn a_race_has_one_winner() {
    each_kind_of_link(|front, end| {
        let (mut taken_by_worker, mut kept) = (0, 0);
        for _ in 0..2000 {
            let slot = offer(front);
            let taken = end.take().unwrap();
            let BodyView::Socket(token) = end.request(&taken).unwrap().body() else { panic!("no socket") };
            drop(end.take_file(&taken, token).unwrap());
            let start = Barrier::new(2);
            let (got, withdrawn) = thread::scope(|scope| {
                let (end, start) = (&**end, &start);
                let worker = scope.spawn(move || {
                    start.wait();
                    let got = end.take_socket(&taken);
                    (got, taken)
                });
                start.wait();
                let withdrawn = front.withdraw_socket(slot);
                let (got, taken) = worker.join().unwrap();
                end.finish(taken, false);
                (got, withdrawn)
            });
            assert_ne!(got, withdrawn, "both or neither have the socket");
            assert_eq!(front.is_socket_taken(slot), got);
            taken_by_worker += usize::from(got);
            kept += usize::from(withdrawn);
            assert!(front.release(slot));
        }
        assert_eq!(taken_by_worker + kept, 2000);
    });
}

#[test]
fn the_next_request_of_a_slot_offers_nothing() {
    each_kind_of_link(|front, end| {
        for ending in 0..3 {
            let slot = offer(front);
            if ending == 2 {
                assert!(front.reclaim(slot));
            } else {
                let taken = end.take().unwrap();
                if ending == 1 {
                    assert!(end.take_socket(&taken));
                }
                end.finish(taken, false);
                assert!(front.release(slot));
            }
            assert_eq!(push(front, "next"), Some(slot), "last freed, first used");
            let taken = end.take().unwrap();
            assert!(!end.take_socket(&taken) && !front.is_socket_taken(slot) && front.withdraw_socket(slot));
            end.finish(taken, false);
            assert!(front.release(slot));
        }
    });
}

#[test]
fn a_sleeping_front_learns_of_it_at_once() {
    each_kind_of_link(|front, end| {
        let (slot, _) = (offer(front), push(front, "another"));
        let taken = end.take().unwrap();
        assert!(end.take_socket(&taken) && front.prepare_sleep());
        end.hand_over(taken);
        assert!(!front.prepare_sleep(), "there is news");
        let mut news = Vec::new();
        front.take_dirty(&mut news);
        assert_eq!(news, [slot]);
    });
}

#[test]
fn nothing_is_taken_from_a_front_that_has_died() {
    each_kind_of_link(|front, end| {
        let slot = offer(front);
        let taken = end.take().unwrap();
        end.sever();
        assert!(!end.take_socket(&taken) && !front.is_socket_taken(slot));
    });
}

#[test]
fn nonsense_in_the_word_is_no_socket_of_the_worker() {
    each_kind_of_link(|front, end| {
        let slot = offer(front);
        for nonsense in [0, 3, 4, u32::MAX] {
            let word = &end.slot(slot).asker.0.socket;
            word.store(nonsense, std::sync::atomic::Ordering::SeqCst);
            assert!(front.withdraw_socket(slot) && !front.is_socket_taken(slot));
        }
    });
}
