//! Where access lines go: gathered in memory, written in larger pieces, and never waited for.
//!
//! A log that cannot take them (a full pipe, a full disk) loses lines, which are counted and reported. Runs on the front's thread.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use crate::access::clock::Clock;
use crate::access::envelope::{Opened, open_envelope};
use crate::access::format::Format;
use crate::access::line::{Ending, write_line};
use crate::access::output::Output;
use crate::access::record::AccessRecord;
use crate::counters::{Counter, Losses};

/// More than this is not kept for a log that does not take it.
const CAPACITY: usize = 1 << 20;
/// So much is written at once...
const ENOUGH: usize = 32 * 1024;
/// ... or what there is after this time.
const LATEST_MS: u64 = 20;

/// Writes access lines, and counts those that are lost.
#[derive(Debug)]
pub struct AccessLog {
    output: Output,
    format: Format,
    waiting: Vec<u8>,
    /// Since when there is something waiting.
    since_ms: u64,
    clock: Clock,
    losses: Losses,
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
            losses: Losses::default(),
        }))
    }

    /// The form of the lines.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Adds the line of an exchange that has ended, in the turn that began at `now_ms`.
    pub fn add(&mut self, record: &AccessRecord, ending: &Ending, now_ms: u64, dropped: &Counter) {
        if self.waiting.len() > CAPACITY {
            dropped.up();
        } else {
            if self.waiting.is_empty() {
                self.since_ms = now_ms;
            }
            write_line(&mut self.waiting, &self.format, &mut self.clock, record, ending);
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

    /// How many lines were lost since the last report, and why; at most once a minute.
    pub fn losses(&mut self, now_ms: u64, dropped: &Counter) -> Option<(u64, String)> {
        let count = self.losses.since(now_ms, dropped)?;
        let why = match self.output.take_fault() {
            Some(error) => error.to_string(),
            None => "it does not take them fast enough".to_owned(),
        };
        Some((count, why))
    }

    /// Takes over from the log before it.
    pub fn follow(&mut self, old: &AccessLog) {
        self.losses = old.losses;
    }

    /// Writes what has gathered.
    pub fn flush(&mut self, dropped: &Counter) {
        self.output.write(&mut self.waiting, dropped);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // Nobody is left to whom losses could be reported.
        self.flush(&Counter::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::request_part::Request;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    const ENDING: Ending = Ending { bytes: 12, how: "complete", now_us: 5, unix_ms: 0 };

    fn log_to(writer: &UnixStream, format: &str) -> AccessLog {
        let mut log = AccessLog::new(writer.as_raw_fd()).unwrap().unwrap();
        log.format = Format::compile(format).unwrap();
        log
    }

    fn record(log: &AccessLog, bytes: &[u8], peer: &[u8]) -> AccessRecord {
        let mut record = AccessRecord::default();
        record.begin(log.format(), &Request { head: None, bytes, client: peer, peer, id: b"" });
        record
    }

    #[test]
    fn lines_are_gathered_and_written_at_the_latest_then() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let dropped = Counter::default();
        let mut log = log_to(&writer, "combined");
        assert_eq!(log.due_in(7), None);
        let mut record = record(&log, b"GET /\"\xff\r\nX: y", b"10.0.0.1");
        record.status = 400;
        log.add(&record, &ENDING, 7, &dropped);
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
        let record = record(&log, b"", b"::1");
        log.add(&record, &ENDING, 0, &Counter::default());
        drop((log, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "::1\n");
    }

    #[test]
    fn a_log_that_takes_nothing_loses_lines_and_says_so() {
        let (writer, _reader) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let dropped = Counter::default();
        let mut log = log_to(&writer, "%(r)s");
        for _ in 0..5000 {
            let record = record(&log, &[b'x'; 1000], b"");
            log.add(&record, &ENDING, 0, &dropped);
            log.flush(&dropped);
        }
        let lost = dropped.get();
        assert!(lost > 0 && log.waiting.len() <= CAPACITY + 2000);
        let why = "it does not take them fast enough".to_owned();
        assert_eq!(log.losses(5, &dropped), Some((lost, why)));
    }

    #[test]
    fn a_full_disk_is_called_by_its_name() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let dropped = Counter::default();
        let mut log = AccessLog::new(full.as_raw_fd()).unwrap().unwrap();
        let record = record(&log, b"GET / HTTP/1.1", b"");
        log.add(&record, &ENDING, 0, &dropped);
        log.flush(&dropped);
        let (count, why) = log.losses(5, &dropped).unwrap();
        assert_eq!(count, 1);
        assert!(why.starts_with("No space left on device"), "{why}");
    }
}
