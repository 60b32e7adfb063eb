//! What is still to be sent on one connection: bytes and pieces of files, in order.
//!
//! Empty for nearly every connection at nearly every moment: a response that the socket takes at once never comes here. What comes here is
//! kept in memory; or in a file, from the moment when the client has shown that it is slow ([`Output::begin_spilling`]).

mod sending;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use pelton_link::Loan;

use crate::exchange::backlog::Backlog;
use crate::exchange::spool::{Spool, SpoolFile};
use crate::memory;
use crate::sent_file::SentFile;

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

/// The response's overflow.
struct Spill {
    file: SpoolFile,
    limit: u64,
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

    /// The client is slow: from now on up to `limit` bytes of this response go to a file. False where they do already.
    pub fn begin_spilling(&mut self, spool: &Spool, limit: u64) -> io::Result<bool> {
        if self.spill.is_some() {
            return Ok(false);
        }
        self.spill = Some(Box::new(Spill { file: spool.file()?, limit }));
        Ok(true)
    }

    /// The response is over; the next one begins without a file.
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

    /// Keeps a copy of `pieces` but for their first `sent` bytes; gives how many of these lie behind the pieces.
    pub fn keep<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, mut sent: usize) -> usize {
        for piece in pieces {
            let skip = sent.min(piece.len());
            sent -= skip;
            self.push(piece.get(skip..).unwrap_or_default());
        }
        sent
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
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.held > 0 {
            self.let_go(self.held);
        }
    }
}

#[cfg(test)]
mod tests;
