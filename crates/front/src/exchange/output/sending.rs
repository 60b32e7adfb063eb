//! What leaves an [`Output`]: to a socket, or into the frames of HTTP/2.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::{Flushed, Output, Segment};
use crate::memory;
use crate::transport::Transport;

/// Bytes sent on one connection before the others get their turn: a fast reader of a large file would keep the front for itself.
const TURN: usize = 4 << 20;
/// Bytes of a file that are looked at, and sent, with one call.
const FILE_STEP: u64 = 1 << 20;

impl Output {
    /// Sends until nothing is left or the socket is full. A file that has become shorter than announced is an error: the response
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
        self.give_room_back();
        if transport.has_unsent() { Flushed::Blocked(sent_now) } else { Flushed::All }
    }

    /// Nothing is left in memory or in the file.
    fn give_room_back(&mut self) {
        // Do not keep a big queue's memory on an idle connection.
        self.segments = VecDeque::new();
        if let Some(spill) = &mut self.spill
            && spill.file.len() > 0
        {
            // Room for the rest of a long response. A failure leaves it as it is.
            let _ = spill.file.clear();
        }
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
            self.give_room_back();
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

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
