//! A body that is read while it comes. Knows no Python; `input` waits for it and gives it to the application.
//!
//! Nothing here waits: what has not come is a ticket to wait with, so that the caller can let go of its lock first. A [`Stream`] is the
//! right to read the slot's window, so it must be closed before the slot is let go.

use std::io;
use std::sync::Arc;

use pelton_front::memory;
use pelton_link::{BodyEnd, BodyReader, BodyTicket, Portion, WorkerEnd};

#[derive(Debug)]
pub(crate) struct Stream {
    end: Arc<WorkerEnd>,
    reader: BodyReader,
}

/// How far a read came.
#[derive(Debug)]
pub(crate) enum Got {
    /// As far as was wanted, or to the end of the body.
    All,
    /// The rest may come.
    Wait(Arc<WorkerEnd>, BodyTicket),
    /// The rest never will.
    Broken(BodyEnd),
    /// There is no memory for what has come.
    NoMemory,
}

impl Stream {
    pub(crate) fn new(end: Arc<WorkerEnd>, reader: BodyReader) -> Self {
        Stream { end, reader }
    }

    /// Appends what there is to `place`, until that has `limit` bytes.
    pub(crate) fn read(&mut self, limit: usize, place: &mut Vec<u8>) -> Got {
        while place.len() < limit {
            let wanted = limit - place.len();
            let read = self.next(|bytes| {
                let piece = bytes.get(..wanted).unwrap_or(bytes);
                memory::append(place, piece).map(|()| piece.len())
            });
            if let Err(how) = read {
                return how;
            }
        }
        Got::All
    }

    /// Appends what there is of a line to `line`, until that ends or has `limit` bytes.
    pub(crate) fn read_line(&mut self, limit: usize, line: &mut Vec<u8>) -> Got {
        while line.len() < limit && line.last() != Some(&b'\n') {
            let wanted = limit - line.len();
            let read = self.next(|bytes| {
                let piece = bytes.get(..wanted).unwrap_or(bytes);
                let end = memchr::memchr(b'\n', piece);
                let piece = end.and_then(|end| piece.get(..=end)).unwrap_or(piece);
                memory::append(line, piece).map(|()| piece.len())
            });
            if let Err(how) = read {
                return how;
            }
        }
        Got::All
    }

    /// Lets `copy` have the next bytes, which are those that it says it took; or says why there are none.
    fn next(&mut self, copy: impl FnOnce(&[u8]) -> io::Result<usize>) -> Result<(), Got> {
        let count = match self.end.peek_body(&self.reader) {
            Portion::Bytes(bytes) => copy(bytes).map_err(|_| Got::NoMemory)?,
            Portion::NotYet => {
                let ticket = self.end.await_body(&mut self.reader);
                return Err(Got::Wait(Arc::clone(&self.end), ticket));
            }
            Portion::End(BodyEnd::Complete) => return Err(Got::All),
            Portion::End(how) => return Err(Got::Broken(how)),
        };
        self.end.consume_body(&mut self.reader, count);
        Ok(())
    }

    /// The slot whose news are worth another look.
    pub(crate) fn slot(&self) -> u32 {
        self.reader.slot()
    }

    /// Ends all reading, and wakes those that wait for this body.
    pub(crate) fn close(self) {
        self.end.detach_body(self.reader);
    }
}
