//! The protocols of two ends, played in thousands of orders: whoever goes on at each access to a word is decided by a seed (see `atomics`).
//!
//! Both ends see one mapping, so that a word has one address for who sleeps on it and who wakes. What fails is printed with the order in which it failed. A lost wake-up shows as a history that does not end.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::push;
use super::responses::{HEAD, read};
use super::sockets::offer;
use super::streaming::{pattern, read_all, reader, submit};
use crate::atomics::{play, step};
use crate::request::BodyView;
use crate::{BodyEnd, BodyWindow, Doorbell, Phase, Progress, Writable, private_link};

const HISTORIES: usize = 10_000;

/// Waits as the front's poller does.
fn until_rung(doorbell: &Doorbell) {
    let mut polled = libc::pollfd { fd: doorbell.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one live structure; it does not wait.
        if unsafe { libc::poll(&raw mut polled, 1, 0) } == 1 {
            return doorbell.silence();
        }
        step();
    }
}

#[test]
fn each_request_is_run_once_or_taken_back_once() {
    play(HISTORIES, || {
        let (mut half, end) = private_link(1).unwrap();
        let ran = Arc::new(Mutex::new(Vec::new()));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (end, ran) = (Arc::clone(&end), Arc::clone(&ran));
                thread::spawn(move || {
                    let mut idle = 0;
                    while idle < 60 {
                        let Some(taken) = end.take() else {
                            idle += 1;
                            step();
                            continue;
                        };
                        let name = end.request(&taken).unwrap().path().to_vec();
                        ran.lock().unwrap().push(String::from_utf8(name).unwrap());
                        end.finish(taken, false);
                    }
                })
            })
            .collect();
        let front = &mut half.end;
        let (mut under_way, mut taken_back) = (Vec::new(), Vec::new());
        for number in 0..6 {
            let name = format!("/{number}");
            under_way.push((push(front, &name).unwrap(), name));
            let (slot, name) = under_way[thread_rng().gen_range(0..under_way.len())].clone();
            // The slot is used again at once, while its former entry may still be in the ring.
            if front.reclaim(slot) {
                under_way.retain(|(one, _)| *one != slot);
                taken_back.push(name);
            }
            under_way.retain(|(slot, _)| !(front.is_done(*slot) && front.release(*slot)));
        }
        for worker in workers {
            worker.join().unwrap();
        }
        // What nobody has taken while it looked is still there.
        while let Some(taken) = end.take() {
            ran.lock()
                .unwrap()
                .push(String::from_utf8(end.request(&taken).unwrap().path().to_vec()).unwrap());
            end.finish(taken, false);
        }
        assert!(under_way.iter().all(|(slot, _)| front.release(*slot)));
        let mut all = ran.lock().unwrap().clone();
        all.extend(taken_back);
        all.sort();
        assert_eq!(all, (0..6).map(|number| format!("/{number}")).collect::<Vec<_>>());
        assert_eq!(front.free_slots(), front.slots());
    });
}

#[test]
fn a_front_that_sleeps_hears_of_every_response() {
    play(HISTORIES, || {
        let (mut half, end) = private_link(1).unwrap();
        let slot = push(&mut half.end, "/").unwrap();
        let worker = thread::spawn(move || {
            let mut taken = end.take().unwrap();
            end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
            for _ in 0..3 {
                assert_eq!(end.put_data(&mut taken, b"abc"), 3);
                end.publish(&mut taken);
            }
            end.finish(taken, false);
        });
        let (mut got, mut news) = (Vec::new(), Vec::new());
        while half.end.phase(slot) != Some(Phase::Done)
            || read(&mut half.end, slot, &mut got) != Progress::Complete
        {
            half.end.take_dirty(&mut news);
            if news.is_empty() && half.end.prepare_sleep() {
                until_rung(&half.doorbell);
                half.end.awake();
            }
            if news.drain(..).count() > 0 {
                read(&mut half.end, slot, &mut got);
            }
        }
        assert_eq!(got, b"abcabcabc");
        worker.join().unwrap();
        assert!(half.end.release(slot));
    });
}

#[test]
fn a_writer_that_waits_for_room_is_woken() {
    play(HISTORIES / 2, || {
        let (mut half, end) = private_link(1).unwrap();
        let slot = push(&mut half.end, "/").unwrap();
        let piece = pattern(200_003);
        let worker = thread::spawn({
            let piece = piece.clone();
            move || {
                let mut taken = end.take().unwrap();
                end.put_head(&mut taken, &HEAD, [].into_iter()).unwrap();
                for _ in 0..3 {
                    let mut rest = &piece[..];
                    while !rest.is_empty() {
                        let count = end.put_data(&mut taken, rest);
                        rest = &rest[count..];
                        end.publish(&mut taken);
                        if count == 0 {
                            // Without a limit: to be woken is the only way on.
                            assert_eq!(end.wait_writable(&taken, None), Writable::Ready);
                        }
                    }
                }
                end.finish(taken, false);
            }
        });
        let (mut got, mut news) = (Vec::new(), Vec::new());
        while read(&mut half.end, slot, &mut got) != Progress::Complete {
            half.end.take_dirty(&mut news);
            if news.is_empty() && half.end.prepare_sleep() {
                until_rung(&half.doorbell);
                half.end.awake();
            }
            news.clear();
        }
        worker.join().unwrap();
        assert!(got.len() == 3 * piece.len() && got.chunks(piece.len()).all(|one| one == piece));
    });
}

#[test]
fn a_worker_that_sleeps_on_its_bell_gets_every_request() {
    play(HISTORIES, || {
        let (mut half, end) = private_link(1).unwrap();
        end.listen().unwrap();
        let worker = thread::spawn(move || {
            let mut count = 0;
            while count < 4 {
                if let Some(taken) = end.take() {
                    count += 1;
                    end.finish(taken, false);
                } else if end.prepare_sleep(true) {
                    while end.is_asleep() {
                        step();
                    }
                    assert!(end.answer_bell());
                }
            }
        });
        for number in 0..4 {
            push(&mut half.end, &number.to_string()).unwrap();
            if thread_rng().gen_bool(0.7) {
                half.end.ring_bell();
            }
        }
        half.end.ring_bell();
        worker.join().unwrap();
    });
}

#[test]
fn a_socket_has_one_owner() {
    play(HISTORIES, || {
        let (mut half, end) = private_link(1).unwrap();
        let slot = offer(&mut half.end);
        let worker = thread::spawn(move || {
            let taken = end.take().unwrap();
            let BodyView::Socket(token) = end.request(&taken).unwrap().body() else { panic!("no socket") };
            drop(end.take_file(&taken, token).unwrap());
            let got = end.take_socket(&taken);
            end.finish(taken, false);
            got
        });
        let withdrawn = half.end.withdraw_socket(slot);
        let got = worker.join().unwrap();
        assert_ne!(got, withdrawn, "both or neither have the socket");
        assert_eq!(half.end.is_socket_taken(slot), got);
        assert!(half.end.release(slot));
    });
}

#[test]
fn a_body_that_comes_while_it_is_read_is_read_to_its_end() {
    play(HISTORIES / 10, || {
        let (mut half, end) = private_link(1).unwrap();
        let mut window = BodyWindow::new(&mut half.bodies, 2).unwrap();
        let slot = submit(&mut half.end, &mut window, false);
        let worker = thread::spawn(move || {
            let taken = end.take().unwrap();
            let mut reader = reader(&end, &taken);
            let read = read_all(&end, &mut reader, 50_000, None);
            end.detach_body(reader);
            end.finish(taken, false);
            read
        });
        let data = pattern(400_000);
        let (mut at, mut news) = (0, Vec::new());
        while at < data.len() {
            half.end.see_body(slot, &mut window).unwrap();
            at += window.push(&mut half.bodies, &data[at..data.len().min(at + 30_000)]);
            half.end.publish_body(slot, &window);
            if window.free() == 0 && half.end.await_body_room(slot, &mut window).unwrap() {
                half.end.take_dirty(&mut news);
                if news.is_empty() && half.end.prepare_sleep() {
                    until_rung(&half.doorbell);
                    half.end.awake();
                }
                news.clear();
            }
        }
        window.end(BodyEnd::Complete);
        half.end.publish_body(slot, &window);
        let (read, how) = worker.join().unwrap();
        assert!(read == data && how == BodyEnd::Complete);
        window.give_back(&mut half.bodies);
        assert!(half.end.release(slot));
    });
}
