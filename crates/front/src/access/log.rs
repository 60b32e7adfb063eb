//! Where access lines go: gathered in memory, written in larger pieces, and never waited for.
//!
//! A log that cannot take them (a full pipe, a full disk) loses lines, which are counted and told of. Runs on the front's thread.

use std::io;
use std::mem;
use std::os::fd::{BorrowedFd, RawFd};

use penstock_http::Head;

use crate::access::clock::Clock;
use crate::access::envelope::{Opened, open_envelope};
use crate::access::format::Format;
use crate::access::line::{Ending, write_line};
use crate::access::output::Output;
use crate::access::record::AccessRecord;
use crate::counters::Counter;

/// More than this is not kept for a log that does not take it.
const CAPACITY: usize = 1 << 20;
/// So much is written at once...
const ENOUGH: usize = 32 * 1024;
/// ... or what there is after this time.
const LATEST_MS: u64 = 20;
/// How often losses are told of.
const TELL_EVERY_MS: u64 = 60_000;
/// Records kept for the next requests.
const SPARE: usize = 256;

/// See the module's head.
#[derive(Debug)]
pub struct AccessLog {
    output: Output,
    format: Format,
    waiting: Vec<u8>,
    /// Since when there is something waiting.
    since_ms: u64,
    clock: Clock,
    /// Boxed, as exchanges have them.
    #[expect(clippy::vec_box, reason = "a box is handed over, not its content")]
    spare: Vec<Box<AccessRecord>>,
    told: u64,
    tell_at_ms: u64,
}

impl AccessLog {
    /// Writes to a duplicate of `descriptor`, or of the one in this envelope; None for a negative one.
    pub fn new(descriptor: RawFd) -> io::Result<Option<Self>> {
        if descriptor < 0 {
            return Ok(None);
        }
        let opened = match open_envelope(descriptor)? {
            Some(opened) => opened,
            None => {
                // SAFETY: not negative; whether it is open is found out by duplicating it, at once.
                let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
                Opened {
                    descriptor: borrowed.try_clone_to_owned()?,
                    datagram_prefix: None,
                    format: "combined".to_owned(),
                }
            }
        };
        let format = Format::compile(&opened.format).map_err(|what| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("access log format: {what}"))
        })?;
        Ok(Some(AccessLog {
            output: Output::new(opened.descriptor, opened.datagram_prefix),
            format,
            waiting: Vec::new(),
            since_ms: 0,
            clock: Clock::default(),
            spare: Vec::new(),
            told: 0,
            tell_at_ms: 0,
        }))
    }

    /// The form of the lines.
    pub fn format(&self) -> &Format {
        &self.format
    }

    fn empty(&mut self) -> Box<AccessRecord> {
        self.spare.pop().unwrap_or_default()
    }

    /// The record of a request whose head is complete; see [`AccessRecord::begin`].
    pub fn begin(
        &mut self,
        head: &Head,
        bytes: &[u8],
        client: &[u8],
        peer: &[u8],
        now_us: u64,
    ) -> Box<AccessRecord> {
        let mut record = self.empty();
        record.begin(&self.format, head, bytes, client, peer, now_us);
        record
    }

    /// The record of something that is no request.
    pub fn begin_without_head(&mut self, bytes: &[u8], peer: &[u8], now_us: u64) -> Box<AccessRecord> {
        let mut record = self.empty();
        record.begin_without_head(bytes, peer, now_us);
        record
    }

    /// Adds the line of an exchange that has ended, in the turn that began at `now_ms`.
    pub fn add(&mut self, mut record: Box<AccessRecord>, ending: &Ending, now_ms: u64, dropped: &Counter) {
        if self.waiting.len() > CAPACITY {
            dropped.up();
        } else {
            if self.waiting.is_empty() {
                self.since_ms = now_ms;
            }
            write_line(&mut self.waiting, &self.format, &mut self.clock, &record, ending);
        }
        if self.spare.len() < SPARE {
            record.clear();
            self.spare.push(record);
        }
    }

    /// Milliseconds until [`AccessLog::flush_due`] has something to do; None for never.
    pub fn due_in(&self, now_ms: u64) -> Option<u64> {
        (!self.waiting.is_empty()).then(|| (self.since_ms + LATEST_MS).saturating_sub(now_ms))
    }

    /// Writes what has gathered, if it is enough or has waited long enough.
    pub fn flush_due(&mut self, now_ms: u64, dropped: &Counter) {
        if self.waiting.len() >= ENOUGH || self.due_in(now_ms) == Some(0) {
            self.flush(dropped);
            // What is left has to wait for room; asking again in each turn would be asking all the time.
            self.since_ms = now_ms;
        }
    }

    /// How many lines were lost since it was told last; at most once a minute.
    pub fn losses(&mut self, now_ms: u64, dropped: &Counter) -> Option<u64> {
        let all = dropped.get();
        if all == self.told || now_ms < self.tell_at_ms {
            return None;
        }
        self.tell_at_ms = now_ms + TELL_EVERY_MS;
        Some(all - mem::replace(&mut self.told, all))
    }

    /// Takes over from the log before it.
    pub fn follow(&mut self, old: &AccessLog) {
        (self.told, self.tell_at_ms) = (old.told, old.tell_at_ms);
    }

    /// Writes what has gathered.
    pub fn flush(&mut self, dropped: &Counter) {
        self.output.write(&mut self.waiting, dropped);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // Nobody is left to be told of losses.
        self.flush(&Counter::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    const ENDING: Ending = Ending { bytes: 12, how: "complete", now_us: 5, unix_ms: 0 };

    fn log_to(writer: &UnixStream, format: &str) -> AccessLog {
        let mut log = AccessLog::new(writer.as_raw_fd()).unwrap().unwrap();
        log.format = Format::compile(format).unwrap();
        log
    }

    #[test]
    fn lines_are_gathered_and_written_at_the_latest_then() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let dropped = Counter::default();
        let mut log = log_to(&writer, "combined");
        assert_eq!(log.due_in(7), None);
        let mut record = log.begin_without_head(b"GET /\"\xff\r\nX: y", b"10.0.0.1", 0);
        record.status = 400;
        log.add(record, &ENDING, 7, &dropped);
        assert_eq!(log.due_in(7), Some(LATEST_MS));
        log.flush_due(8, &dropped);
        assert_eq!(log.due_in(8), Some(LATEST_MS - 1));
        log.flush_due(7 + LATEST_MS, &dropped);
        assert_eq!(log.due_in(100), None);
        drop((log, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "10.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /\\x22\\xff\" 400 12 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn the_end_writes_what_is_left() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let mut log = log_to(&writer, "%(h)s");
        let record = log.begin_without_head(b"", b"::1", 0);
        log.add(record, &ENDING, 0, &Counter::default());
        drop((log, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "::1\n");
    }

    #[test]
    fn a_log_that_takes_nothing_loses_lines_and_says_so_once_a_minute() {
        let (writer, _reader) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let dropped = Counter::default();
        let mut log = log_to(&writer, "%(r)s");
        for _ in 0..5000 {
            let record = log.begin_without_head(&[b'x'; 1000], b"", 0);
            log.add(record, &ENDING, 0, &dropped);
            log.flush(&dropped);
        }
        let lost = dropped.get();
        assert!(lost > 0 && log.waiting.len() <= CAPACITY + 2000);
        assert_eq!(log.losses(5, &dropped), Some(lost));
        dropped.up();
        assert_eq!(log.losses(6, &dropped), None);
        assert_eq!(log.losses(5 + TELL_EVERY_MS, &dropped), Some(1));
    }
}
