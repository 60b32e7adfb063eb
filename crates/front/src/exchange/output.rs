//! What is still to be sent on one connection: bytes and pieces of files, in order.
//!
//! Empty for nearly every connection at nearly every moment: an answer that the socket takes at once never comes here. What comes here is
//! kept in memory; or in a file, from the moment when the client has shown that it is slow ([`Output::begin_spilling`]).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use pelton_link::Loan;

use crate::exchange::backlog::Backlog;
use crate::exchange::spool::{Spool, SpoolFile};
use crate::memory;
use crate::sent_file::SentFile;
use crate::transport::Transport;

enum Segment {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// The first `len` bytes of memory that the application made.
    Lent {
        loan: Loan,
        sent: usize,
        len: usize,
    },
    File {
        file: Arc<SentFile>,
        offset: u64,
        left: u64,
    },
    /// A part of what was spilled.
    Spilled {
        offset: u64,
        left: u64,
    },
}

/// The answer's overflow.
struct Spill {
    file: SpoolFile,
    limit: u64,
}

/// See the module's head.
#[derive(Default)]
pub struct Output {
    segments: VecDeque<Segment>,
    /// Bytes held in memory, lent ones included.
    held: usize,
    /// Bytes ever handed to the system.
    sent: u64,
    /// Where they count.
    backlog: Backlog,
    spill: Option<Box<Spill>>,
    /// A helper reads what comes next from a disk.
    warming: bool,
    /// The file that was put in last has just been looked at: what begins to be sent at once need not be again.
    is_fresh: bool,
    /// There was no memory for a part of it: what is sent from here on would not be what it should.
    has_failed: bool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("segments", &self.segments.len()).field("held", &self.held).finish()
    }
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// The socket is full; so many bytes have left.
    Blocked(usize),
    /// The socket takes more, but it is the others' turn.
    Paused,
    /// What comes next lies on a disk; see [`Output::begin_warming`].
    Cold,
}

/// Bytes sent on one connection before the others get their turn: a fast reader of a large file would keep the front for itself.
const TURN: usize = 4 << 20;
/// Bytes of a file that are looked at, and sent, with one call.
const FILE_STEP: u64 = 1 << 20;

impl Output {
    /// Whether everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && !self.has_failed
    }

    /// Whether there was no memory for a part of what it was given; to flush it is an error.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// An output whose bytes count in `backlog`.
    pub fn new(backlog: Backlog) -> Self {
        Output {
            segments: VecDeque::new(),
            held: 0,
            sent: 0,
            backlog,
            spill: None,
            warming: false,
            is_fresh: false,
            has_failed: false,
        }
    }

    /// Bytes that have not been handed to the system yet, in memory and in files.
    pub fn left(&self) -> u64 {
        let left = |segment: &Segment| match segment {
            Segment::Bytes { bytes, sent } => (bytes.len() - sent) as u64,
            Segment::Lent { sent, len, .. } => (len - sent) as u64,
            Segment::File { left, .. } | Segment::Spilled { left, .. } => *left,
        };
        self.segments.iter().map(left).sum()
    }

    /// Bytes that have ever been handed to the system.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether pieces of files wait to be sent, which count for nothing in memory.
    pub fn has_file(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::File { .. }))
    }

    /// Bytes held in memory for the client.
    pub fn held(&self) -> usize {
        self.held
    }

    fn hold(&mut self, count: usize) {
        self.held += count;
        self.backlog.add(count);
    }

    fn let_go(&mut self, count: usize) {
        self.held -= count;
        self.backlog.give_back(count);
    }

    /// The client is slow: from now on up to `limit` bytes of this answer go to a file. False where they do already.
    pub fn begin_spilling(&mut self, spool: &Spool, limit: u64) -> io::Result<bool> {
        if self.spill.is_some() {
            return Ok(false);
        }
        self.spill = Some(Box::new(Spill { file: spool.file()?, limit }));
        Ok(true)
    }

    /// The answer is over; the next one begins without a file.
    pub fn end_spilling(&mut self) {
        self.spill = None;
    }

    /// Whether a file takes, or has taken, what the client does not.
    pub fn is_spilling(&self) -> bool {
        self.spill.is_some()
    }

    /// Whether more can be kept without memory.
    pub fn can_spill(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.file.len() < spill.limit)
    }

    /// Appends to the file; false when there is none, or it can take no more.
    fn push_spilled(&mut self, bytes: &[u8]) -> bool {
        let Some(spill) = &mut self.spill else { return false };
        let offset = spill.file.len();
        if offset >= spill.limit || self.segments.is_empty() {
            return false;
        }
        if spill.file.append(bytes).is_err() {
            // No room on the disk: as if the limit were reached. What is in the file already will be sent.
            spill.limit = 0;
            return false;
        }
        let left = bytes.len() as u64;
        match self.segments.back_mut() {
            Some(Segment::Spilled { offset: start, left: before }) if *start + *before == offset => {
                *before += left;
            }
            _ => self.segments.push_back(Segment::Spilled { offset, left }),
        }
        true
    }

    /// Appends a copy of `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.has_failed || self.push_spilled(bytes) {
            return;
        }
        match self.push_copy(bytes) {
            Ok(()) => self.hold(bytes.len()),
            Err(_) => self.has_failed = true,
        }
    }

    fn push_copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Growing the last buffer beats a segment per piece for streams of many small ones.
        if let Some(Segment::Bytes { bytes: last, .. }) = self.segments.back_mut()
            && last.len() + bytes.len() <= 64 * 1024
        {
            return memory::append(last, bytes);
        }
        self.segments.try_reserve(1).map_err(|_| memory::refused())?;
        self.segments.push_back(Segment::Bytes { bytes: memory::copy(bytes)?, sent: 0 });
        Ok(())
    }

    /// Appends what is left of a loan, which is given back when it has been sent.
    pub fn push_loan(&mut self, loan: Loan, sent: usize, len: usize) {
        if sent < len && !self.push_spilled((*loan).as_ref().get(sent..len).unwrap_or_default()) {
            self.hold(len);
            self.segments.push_back(Segment::Lent { loan, sent, len });
        }
    }

    /// Appends a piece of a file, which is closed when nobody has anything of it to send.
    pub fn push_file(&mut self, file: Arc<SentFile>, offset: u64, left: u64) {
        if left > 0 {
            self.segments.push_back(Segment::File { file, offset, left });
        }
    }

    /// The file that was put in last, and is the only one, was looked at in this very turn, and is sent in it.
    pub fn file_is_fresh(&mut self) {
        self.is_fresh = true;
    }

    /// The part of a file that a helper is to read before anything is sent; None where one does so already.
    pub fn begin_warming(&mut self) -> Option<(Arc<SentFile>, u64, u64)> {
        match self.segments.front() {
            Some(Segment::File { file, offset, left }) if !self.warming => {
                self.warming = true;
                Some((Arc::clone(file), *offset, *left))
            }
            _ => None,
        }
    }

    /// It has been read, as far as it can be.
    pub fn end_warming(&mut self) {
        self.warming = false;
    }

    /// Sends until nothing is left or the socket is full. A file that has become shorter than announced is an error: the answer
    /// cannot be completed.
    pub fn flush(&mut self, transport: &mut Transport) -> io::Result<Flushed> {
        let mut sent_now = 0;
        let mut is_fresh = std::mem::take(&mut self.is_fresh);
        if self.has_failed {
            return Err(memory::refused());
        }
        loop {
            if sent_now >= TURN {
                return Ok(Flushed::Paused);
            }
            let step = match self.segments.front() {
                None => return Ok(self.all_flushed(transport, sent_now)),
                Some(Segment::Bytes { .. } | Segment::Lent { .. }) => self.send_memory(transport),
                Some(Segment::Spilled { .. }) => self.send_spilled(transport),
                Some(Segment::File { .. }) => {
                    match self.send_file(transport, std::mem::take(&mut is_fresh)).transpose() {
                        Some(result) => result,
                        None => return Ok(Flushed::Cold),
                    }
                }
            };
            match step {
                Ok(count) => {
                    sent_now += count;
                    self.sent += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked(sent_now));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Nothing is left to be sent, but perhaps by the transport.
    fn all_flushed(&mut self, transport: &Transport, sent_now: usize) -> Flushed {
        // Do not keep a big queue's memory on an idle connection.
        self.segments = VecDeque::new();
        if let Some(spill) = &mut self.spill
            && spill.file.len() > 0
        {
            // Room for the rest of a long response. A failure leaves it as it is.
            let _ = spill.file.clear();
        }
        if transport.has_unsent() { Flushed::Blocked(sent_now) } else { Flushed::All }
    }

    /// Sends of the first segment, whose bytes are in memory.
    #[inline]
    fn send_memory(&mut self, transport: &mut Transport) -> io::Result<usize> {
        let precedes_file = matches!(self.segments.get(1), Some(Segment::File { .. }));
        let (rest, sent, whole) = match self.segments.front_mut() {
            Some(Segment::Bytes { bytes, sent }) => (bytes.get(*sent..), sent, bytes.len()),
            Some(Segment::Lent { loan, sent, len }) => ((**loan).as_ref().get(*sent..*len), sent, *len),
            _ => return Ok(0),
        };
        let rest = rest.unwrap_or_default();
        let result = if precedes_file { transport.send_before_more(rest) } else { transport.send(rest) };
        *sent += result.as_ref().map_or(0, |count| *count);
        if *sent >= whole {
            self.segments.pop_front();
            self.let_go(whole);
        }
        result
    }

    /// Sends of the first segment, a piece of a file; None where that is not in memory yet.
    fn send_file(&mut self, transport: &mut Transport, is_fresh: bool) -> io::Result<Option<usize>> {
        let Some(Segment::File { file, offset, left }) = self.segments.front_mut() else { return Ok(None) };
        if self.warming {
            return Ok(None);
        }
        if !is_fresh && !file.is_unchanged() {
            // What has left is of one state of the file, what is left is of another: only a cut tells the client.
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let step = file.warm_bytes(*offset, (*left).min(FILE_STEP));
        if step == 0 {
            return Ok(None);
        }
        let mut rest = step;
        let result = transport.send_file(&file.as_fd(), offset, &mut rest);
        *left -= step - rest;
        if *left == 0 {
            self.segments.pop_front();
        }
        result.map(Some)
    }

    /// Sends of the first segment, which lies in the file of this output.
    fn send_spilled(&mut self, transport: &mut Transport) -> io::Result<usize> {
        let (Some(Segment::Spilled { offset, left }), Some(spill)) =
            (self.segments.front_mut(), &mut self.spill)
        else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        };
        let result = transport.send_file(&spill.file.file().as_fd(), offset, left);
        if *left == 0 {
            self.segments.pop_front();
        }
        result
    }

    /// Moves up to `most` bytes to the end of `into`, for a framing that puts its marks between. Less than there is where a file is cold
    /// ([`Output::begin_warming`]). One that has become shorter is an error.
    pub fn take(&mut self, most: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        let start = into.len();
        if self.has_failed {
            return Err(memory::refused());
        }
        loop {
            let room = most - (into.len() - start);
            if room == 0 {
                break;
            }
            let Some(segment) = self.segments.front_mut() else { break };
            let (is_over, held) = match segment {
                Segment::Bytes { bytes, sent } => {
                    *sent += append(into, bytes.get(*sent..).unwrap_or_default(), room);
                    (*sent >= bytes.len(), bytes.len())
                }
                Segment::Lent { loan, sent, len } => {
                    *sent += append(into, (**loan).as_ref().get(*sent..*len).unwrap_or_default(), room);
                    (*sent >= *len, *len)
                }
                Segment::File { file, offset, left } => {
                    if self.warming {
                        break;
                    }
                    if !file.is_unchanged() {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                    }
                    let warm = file.warm_bytes(*offset, (*left).min(room as u64));
                    if warm == 0 {
                        // A helper has to read it first.
                        break;
                    }
                    read_file(file.as_fd().as_raw_fd(), offset, left, warm as usize, into)?;
                    (*left == 0, 0)
                }
                Segment::Spilled { offset, left } => {
                    let Some(spill) = &mut self.spill else {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                    };
                    read_file(spill.file.file().as_raw_fd(), offset, left, room, into)?;
                    (*left == 0, 0)
                }
            };
            if is_over {
                self.segments.pop_front();
                self.let_go(held);
            }
        }
        if self.segments.is_empty() {
            self.segments = VecDeque::new();
            if let Some(spill) = &mut self.spill
                && spill.file.len() > 0
            {
                let _ = spill.file.clear();
            }
        }
        let taken = into.len() - start;
        self.sent += taken as u64;
        Ok(taken)
    }

    /// Sends `pieces` now as far as the socket takes them, and keeps a copy of the rest. Only legal while nothing is waiting.
    pub fn send_or_keep(&mut self, transport: &mut Transport, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        let sent = self.send_now(transport, pieces)?;
        self.keep(pieces.iter().map(|piece| &**piece), sent);
        Ok(())
    }

    /// Keeps a copy of `pieces` but for their first `sent` bytes; gives how many of these lie behind the pieces.
    pub fn keep<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, mut sent: usize) -> usize {
        for piece in pieces {
            let skip = sent.min(piece.len());
            sent -= skip;
            self.push(piece.get(skip..).unwrap_or_default());
        }
        sent
    }

    /// Sends `pieces` now as far as the socket takes them; gives how many bytes that was. Only legal while nothing is waiting.
    pub fn send_now(&mut self, transport: &mut Transport, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        debug_assert!(self.is_empty());
        let sent = match pieces {
            [] => return Ok(0),
            [one] => transport.send(one),
            several => transport.send_pieces(several),
        };
        match sent {
            Err(error) if is_again(&error) => Ok(0),
            other => {
                self.sent += other.as_ref().map_or(0, |count| *count as u64);
                other
            }
        }
    }
}

fn append(into: &mut Vec<u8>, bytes: &[u8], room: usize) -> usize {
    let piece = bytes.get(..room).unwrap_or(bytes);
    into.extend_from_slice(piece);
    piece.len()
}

/// Appends some of `left` bytes of a file from `offset`, and moves both.
fn read_file(
    file: RawFd,
    offset: &mut u64,
    left: &mut u64,
    room: usize,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let want = room.min(usize::try_from(*left).unwrap_or(usize::MAX));
    let start = into.len();
    into.resize(start + want, 0);
    let place = into.get_mut(start..).unwrap_or_default();
    let at = libc::off_t::try_from(*offset).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as its segment is, and `place` has room for `want` bytes.
    let count = unsafe { libc::pread(file, place.as_mut_ptr().cast(), want, at) };
    let count = match usize::try_from(count) {
        Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::last_os_error()),
    };
    into.truncate(start + count.as_ref().map_or(0, |count| *count));
    match count {
        Ok(count) => {
            *offset += count as u64;
            *left -= count as u64;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.held > 0 {
            self.let_go(self.held);
        }
    }
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

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
        // Beyond the limit it is memory again: the worker is told to wait, but what it has handed over is not lost.
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
}
