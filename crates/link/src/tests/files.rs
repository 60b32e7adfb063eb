//! Files that travel beside requests and responses: the right one arrives, and whatever nobody fetches is closed.
//!
//! A file is the writing end of a pipe: its reading end tells when the last copy, also one on its way through a socket, has been closed.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use super::{joined, link, push, socket_pair};
use crate::{FrontEnd, WorkerEnd, link_memory};

fn file() -> (OwnedFd, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    (OwnedFd::from(writer), reader)
}

/// Whether nobody can write into the pipe any more.
fn is_closed(reader: &PipeReader) -> bool {
    let mut look = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd.
    assert!(unsafe { libc::poll(&raw mut look, 1, 0) } >= 0);
    look.revents & libc::POLLHUP != 0
}

/// That `copy` leads to where `reader` reads, and that it was the only copy.
fn check(copy: OwnedFd, mut reader: PipeReader, text: &str) {
    File::from(copy).write_all(text.as_bytes()).unwrap();
    let mut got = String::new();
    reader.read_to_string(&mut got).unwrap();
    assert_eq!(got, text);
}

fn each_kind_of_link(test: impl Fn(&mut FrontEnd, &WorkerEnd)) {
    let (mut half, end) = link(4);
    test(&mut half.end, &end);
    let (mut front, end) = joined(4);
    test(&mut front, &end);
}

#[test]
fn files_come_with_their_requests_in_whatever_order_these_are_read() {
    each_kind_of_link(|front, end| {
        for _ in 0..20 {
            let given: Vec<_> = (0..20)
                .map(|_| {
                    let (file, reader) = file();
                    let slot = front.claim().unwrap();
                    let token = front.give_file(slot, file.as_fd()).unwrap();
                    front.unclaim(slot);
                    assert_eq!(push(front, "x"), Some(slot));
                    (slot, token, reader)
                })
                .collect();
            let mut taken: Vec<_> = std::iter::from_fn(|| end.take()).collect();
            assert_eq!(taken.len(), given.len());
            taken.sort_by_key(|taken| taken.slot().wrapping_mul(7) % 20);
            let mut given = given;
            for taken in taken {
                let at = given.iter().position(|given| given.0 == taken.slot()).unwrap();
                let (slot, token, reader) = given.swap_remove(at);
                check(end.take_file(&taken, token).unwrap(), reader, "body");
                assert!(end.take_file(&taken, token).is_err(), "a file was taken twice");
                end.finish(taken, false);
                assert!(front.release(slot));
            }
        }
    });
}

#[test]
fn files_come_with_their_responses_in_whatever_order_these_are_read() {
    each_kind_of_link(|front, end| {
        let slots: Vec<u32> = (0..20).map(|_| push(front, "x").unwrap()).collect();
        let mut given = Vec::new();
        while let Some(taken) = end.take() {
            let (file, reader) = file();
            given.push((taken.slot(), end.give_file(&taken, file).unwrap(), reader));
            end.finish(taken, false);
        }
        for (slot, token, reader) in given.into_iter().rev() {
            assert!(front.take_file(slot, token + 1000).is_none());
            assert!(front.take_file(slot ^ 1, token).is_none(), "another slot's file was given out");
            check(front.take_file(slot, token).unwrap(), reader, "response");
            assert!(front.take_file(slot, token).is_none(), "a file was taken twice");
        }
        assert!(slots.into_iter().all(|slot| front.release(slot)));
    });
}

#[test]
fn what_nobody_fetched_is_closed_and_never_taken_for_the_next_requests() {
    each_kind_of_link(|front, end| {
        let (body, body_reader) = file();
        let slot = front.claim().unwrap();
        let old = front.give_file(slot, body.as_fd()).unwrap();
        drop(body);
        front.unclaim(slot);
        push(front, "taken back").unwrap();
        end.drop_stale_files();
        assert!(!is_closed(&body_reader), "the request is yet to be taken");
        assert!(front.reclaim(slot));
        end.drop_stale_files();
        assert!(is_closed(&body_reader));

        assert_eq!(push(front, "answered"), Some(slot));
        let taken = end.take().unwrap();
        assert!(end.take_file(&taken, old).is_err());
        let (response, response_reader) = file();
        let token = end.give_file(&taken, response).unwrap();
        end.finish(taken, false);
        front.drop_stale_files();
        assert!(!is_closed(&response_reader), "the response is yet to be read");
        assert!(front.release(slot));
        front.drop_stale_files();
        assert!(is_closed(&response_reader) && front.take_file(slot, token).is_none());
    });
}

#[test]
fn an_older_file_of_a_slot_goes_when_the_next_one_is_looked_for() {
    let (mut front, end) = joined(1);
    let (first, first_reader) = file();
    let slot = front.claim().unwrap();
    front.give_file(slot, first.as_fd()).unwrap();
    drop(first);
    front.unclaim(slot);
    push(&mut front, "taken back").unwrap();
    assert!(front.reclaim(slot) && front.claim() == Some(slot));
    let (second, reader) = file();
    let token = front.give_file(slot, second.as_fd()).unwrap();
    drop(second);
    front.unclaim(slot);
    push(&mut front, "again").unwrap();
    let taken = end.take().unwrap();
    check(end.take_file(&taken, token).unwrap(), reader, "second");
    assert!(is_closed(&first_reader));
}

#[test]
fn a_full_socket_is_an_error_and_nothing_is_lost_or_left_open() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "x").unwrap();
    let taken = end.take().unwrap();
    let mut readers = Vec::new();
    let error = loop {
        let (file, reader) = file();
        match end.give_file(&taken, file) {
            Ok(token) => readers.push((token, reader)),
            Err(error) => {
                assert!(is_closed(&reader), "a file that was refused stays open");
                break error;
            }
        }
        assert!(readers.len() < 10_000, "the socket has no bound");
    };
    let refused =
        error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ETOOMANYREFS);
    assert!(refused, "{error}");
    // All are for one slot: only the last two are kept.
    let (token, reader) = readers.pop().unwrap();
    check(front.take_file(slot, token).unwrap(), reader, "last");
    let open = readers.iter().filter(|(_, reader)| !is_closed(reader)).count();
    assert!(open <= 1, "{open} files of one slot are kept");
    let (file, reader) = file();
    assert!(end.give_file(&taken, file).is_ok(), "there is room again");
    drop((front, end));
    assert!(is_closed(&reader) && readers.iter().all(|(_, reader)| is_closed(reader)));
}

#[test]
fn a_full_socket_towards_the_worker_is_an_error_too() {
    let (mut front, end) = joined(1);
    let slot = front.claim().unwrap();
    let (file, reader) = file();
    let given = (0..10_000).take_while(|_| front.give_file(slot, file.as_fd()).is_ok()).count();
    assert!((1..10_000).contains(&given));
    end.drop_stale_files();
    assert!(front.give_file(slot, file.as_fd()).is_ok());
    drop((file, front, end));
    assert!(is_closed(&reader));
}

#[test]
fn an_end_whose_peer_has_gone_gets_an_error_and_still_what_was_sent() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "x").unwrap();
    let taken = end.take().unwrap();
    let (response, reader) = file();
    let token = end.give_file(&taken, response).unwrap();
    end.finish(taken, false);
    drop(end);
    check(front.take_file(slot, token).unwrap(), reader, "sent before");
    let (file, _reader) = file();
    assert!(front.give_file(slot, file.as_fd()).is_err());
    assert!(front.take_file(slot, token).is_none());
}

/// Sends any packet with any descriptors.
fn send_raw(socket: &OwnedFd, packet: &[u8], files: &[&OwnedFd]) {
    let mut ancillary = [0_u64; 128];
    let bytes = 4 * files.len() as u32;
    let mut piece = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    // SAFETY: live local memory, large enough for all the files; the result is checked.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        if !files.is_empty() {
            message.msg_control = ancillary.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(bytes) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
            for (at, file) in files.iter().enumerate() {
                libc::CMSG_DATA(header).cast::<i32>().add(at).write_unaligned(file.as_raw_fd());
            }
        }
        let sent = libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT);
        assert!(sent >= 0, "{}", io::Error::last_os_error());
    }
}

fn packet(token: u64, slot: u32, generation: u32) -> Vec<u8> {
    [&token.to_ne_bytes()[..], &slot.to_ne_bytes(), &generation.to_ne_bytes()].concat()
}

#[test]
fn packets_of_a_broken_worker_are_closed_and_the_good_one_behind_them_is_found() {
    let [ours, theirs] = socket_pair();
    let mut front = FrontEnd::join(&link_memory(1).unwrap(), ours, 1).unwrap();
    let slot = push(&mut front, "x").unwrap();
    let (bad, bad_reader) = file();
    send_raw(&theirs, &packet(1, slot, 0), &[]);
    send_raw(&theirs, &packet(1, slot, 0), &[&bad, &bad]);
    send_raw(&theirs, &packet(1, slot, 0), &[&bad; 100]);
    send_raw(&theirs, &packet(1, slot, 0)[..15], &[&bad]);
    send_raw(&theirs, &[0; 17], &[&bad]);
    send_raw(&theirs, &[], &[&bad]);
    send_raw(&theirs, &packet(1, slot, 1), &[&bad]);
    send_raw(&theirs, &packet(1, u32::MAX, 0), &[&bad]);
    let (good, reader) = file();
    send_raw(&theirs, &packet(7, slot, 0), &[&good]);
    drop((bad, good));
    assert!(!is_closed(&bad_reader));
    check(front.take_file(slot, 7).unwrap(), reader, "good");
    assert!(is_closed(&bad_reader) && front.take_file(slot, 1).is_none());
}

#[test]
fn the_last_file_of_a_worker_is_found_that_ended_with_something_unread() {
    let [ours, theirs] = socket_pair();
    let mut front = FrontEnd::join(&link_memory(1).unwrap(), ours, 1).unwrap();
    let slot = push(&mut front, "x").unwrap();
    let ((unread, _), (last, reader)) = (file(), file());
    front.give_file(slot, unread.as_fd()).unwrap();
    send_raw(&theirs, &packet(7, slot, 0), &[&last]);
    drop((theirs, last));
    check(front.take_file(slot, 7).unwrap(), reader, "last");
}

#[test]
fn received_files_are_not_inherited_by_programs() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "x").unwrap();
    let taken = end.take().unwrap();
    let token = end.give_file(&taken, OwnedFd::from(UnixDatagram::unbound().unwrap())).unwrap();
    let file = front.take_file(slot, token).unwrap();
    // SAFETY: an open descriptor.
    assert_ne!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } & libc::FD_CLOEXEC, 0);
}
