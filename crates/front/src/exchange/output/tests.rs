use super::*;
use std::io::{IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::transport::Transport;

fn pair() -> (Transport, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (Transport::plain(OwnedFd::from(a).into()), b)
}

fn drain(reader: &mut UnixStream, into: &mut Vec<u8>) {
    let mut buffer = [0; 65536];
    while let Ok(n @ 1..) = reader.read(&mut buffer) {
        into.extend_from_slice(&buffer[..n]);
    }
}

#[test]
fn a_reader_that_takes_turns_gets_every_byte_in_order() {
    let (mut socket, mut reader) = pair();
    let mut output = Output::default();
    let big: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 7) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&big).unwrap();
    output.send_or_keep(&mut socket, &[IoSlice::new(b"head "), IoSlice::new(&big)]).unwrap();
    assert!(output.held() > 0);
    output.push(b"middle");
    output.push_file(Arc::new(SentFile::of_application(file.into())), 10, 500_000);
    output.push(b"tail");
    let (whole, mut got) = (5 + 1_000_000 + 6 + 500_000 + 4, Vec::new());
    drain(&mut reader, &mut got);
    assert_eq!(output.left(), whole - got.len() as u64);
    while output.flush(&mut socket).unwrap() != Flushed::All {
        drain(&mut reader, &mut got);
    }
    drain(&mut reader, &mut got);
    let expected = [b"head ", &big[..], b"middle", &big[10..500_010], b"tail"].concat();
    assert!(got == expected && output.held() == 0 && output.is_empty());
    assert_eq!((output.sent(), output.left()), (whole, 0));
}

#[test]
fn what_a_slow_reader_does_not_take_goes_to_a_file_and_comes_back_in_order() {
    let (mut socket, mut reader) = pair();
    let backlog = Backlog::default();
    let spool = Spool::new(std::env::temp_dir(), 3_000_000);
    let mut output = Output::new(backlog.clone());
    let big: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 7) as u8).collect();
    output.send_or_keep(&mut socket, &[IoSlice::new(&big)]).unwrap();
    let held = output.held();
    assert!(held > 0 && backlog.held() == held && !output.can_spill());
    output.begin_spilling(&spool, 2_000_000).unwrap();
    output.push(&big);
    output.push_loan(Box::new(big.clone()), 10, big.len());
    assert_eq!((output.held(), spool.used(), output.can_spill()), (held, 1_999_990, true));
    output.push(&big[..20]);
    assert!(!output.can_spill());
    // Beyond the limit it is memory again: the worker has to wait, but what it has handed over is not lost.
    output.push(b"tail");
    assert_eq!(output.held(), held + 4);
    let mut got = Vec::new();
    while output.flush(&mut socket).unwrap() != Flushed::All {
        drain(&mut reader, &mut got);
    }
    drain(&mut reader, &mut got);
    assert!(got == [&big[..], &big, &big[10..], &big[..20], b"tail"].concat());
    assert_eq!((spool.used(), backlog.held(), output.held()), (0, 0, 0));
    drop(output);
    assert_eq!(backlog.held(), 0);
}

#[test]
fn what_is_taken_for_frames_is_the_same_as_what_is_sent() {
    let spool = Spool::new(std::env::temp_dir(), 3_000_000);
    let big: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&big).unwrap();
    let backlog = Backlog::default();
    let mut output = Output::new(backlog.clone());
    output.push(&big[..100]);
    let copy = SentFile::of_application(file.try_clone().unwrap().into());
    output.push_file(Arc::new(copy), 10, 100_000);
    output.push_loan(Box::new(big.clone()), 5, 50_000);
    output.begin_spilling(&spool, 2_000_000).unwrap();
    output.push(&big);
    let mut got = Vec::new();
    while !output.is_empty() {
        let before = got.len();
        let count = output.take(16_384, &mut got).unwrap();
        assert!(count > 0 && count <= 16_384 && got.len() == before + count);
    }
    assert!(got == [&big[..100], &big[10..100_010], &big[5..50_000], &big].concat());
    assert_eq!((backlog.held(), output.held(), spool.used()), (0, 0, 0));
    let empty = SentFile::of_application(tempfile::tempfile().unwrap().into());
    output.push_file(Arc::new(empty), 0, 10);
    assert_eq!(output.take(100, &mut got).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_full_spool_leaves_the_rest_in_memory() {
    let (mut socket, _reader) = pair();
    let spool = Spool::new(std::env::temp_dir(), 10);
    let mut output = Output::default();
    output.send_or_keep(&mut socket, &[IoSlice::new(&[7; 1_000_000])]).unwrap();
    let held = output.held();
    output.begin_spilling(&spool, 2_000_000).unwrap();
    output.push(&[1; 11]);
    assert_eq!((output.held(), output.can_spill(), spool.used()), (held + 11, false, 0));
}

#[test]
fn a_file_that_shrank_is_an_error() {
    let (mut socket, _reader) = pair();
    let mut output = Output::default();
    let file = SentFile::of_application(tempfile::tempfile().unwrap().into());
    output.push_file(Arc::new(file), 0, 10);
    assert_eq!(output.flush(&mut socket).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_reader_that_has_gone_is_an_error_and_not_a_signal() {
    let (mut socket, reader) = pair();
    drop(reader);
    let mut output = Output::default();
    assert!(output.send_or_keep(&mut socket, &[IoSlice::new(b"x")]).is_err());
}
