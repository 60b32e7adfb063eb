//! Access lines: one per exchange, made and written by the front.
//!
//! Lines are in the combined format. They gather in memory during a turn of the event loop and are written once at its end; a log that cannot
//! take them (a full pipe) loses lines, which are counted, and never makes a request wait.

use std::io::Write;
use std::os::fd::RawFd;

use crate::counters::Counter;

/// More than this is not kept for a log that does not take it.
const CAPACITY: usize = 1 << 20;

/// What the line will say; kept from the head to the end of the answer.
#[derive(Debug, Default)]
pub struct AccessRecord {
    /// Client address.
    pub peer: Vec<u8>,
    /// `GET /path HTTP/1.1`, as received.
    pub request_line: Vec<u8>,
    /// Referer.
    pub referer: Vec<u8>,
    /// User-Agent.
    pub user_agent: Vec<u8>,
    /// Status of the answer; 0 when none was sent.
    pub status: u16,
}

/// Where the lines go.
#[derive(Debug)]
pub struct AccessLog {
    descriptor: RawFd,
    waiting: Vec<u8>,
}

impl AccessLog {
    /// Writes to `descriptor`, which stays the caller's; None for a negative one.
    pub fn new(descriptor: RawFd) -> Option<Self> {
        (descriptor >= 0).then(|| AccessLog { descriptor, waiting: Vec::new() })
    }

    /// Adds the line of an exchange that ended at `unix_seconds` after `bytes` of body.
    pub fn add(&mut self, record: &AccessRecord, bytes: u64, unix_seconds: u64, dropped: &Counter) {
        if self.waiting.len() > CAPACITY {
            dropped.up();
            return;
        }
        let out = &mut self.waiting;
        let peer: &[u8] = if record.peer.is_empty() { b"-" } else { &record.peer };
        out.extend_from_slice(peer);
        out.extend_from_slice(b" - - [");
        // Writing into a Vec cannot fail.
        let _ = write_time(out, unix_seconds);
        out.extend_from_slice(b"] \"");
        escape(out, &record.request_line);
        let _ = write!(out, "\" {} {} \"", record.status, bytes);
        escape(out, if record.referer.is_empty() { b"-" } else { &record.referer });
        out.extend_from_slice(b"\" \"");
        escape(out, if record.user_agent.is_empty() { b"-" } else { &record.user_agent });
        out.extend_from_slice(b"\"\n");
    }

    /// Writes what has gathered.
    pub fn flush(&mut self, dropped: &Counter) {
        if self.waiting.is_empty() {
            return;
        }
        let mut ready = libc::pollfd { fd: self.descriptor, events: libc::POLLOUT, revents: 0 };
        // The descriptor may be anything, blocking too: ask before writing. A pipe that reports room takes at least one page.
        // SAFETY: one pollfd, no waiting.
        while !self.waiting.is_empty() && unsafe { libc::poll(&raw mut ready, 1, 0) } == 1 {
            let some = self.waiting.len().min(libc::PIPE_BUF);
            // SAFETY: `some` readable bytes.
            let n = unsafe { libc::write(self.descriptor, self.waiting.as_ptr().cast(), some) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => {
                    self.waiting.drain(..n);
                }
                _ => {
                    // Disk full, reader gone: these lines are lost, the next turn tries again.
                    let lines = self.waiting.iter().filter(|b| **b == b'\n').count();
                    dropped.add(lines as u64);
                    self.waiting.clear();
                }
            }
        }
    }
}

/// Whatever could end the field, forge a line or drive a terminal is written as `\xHH`.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1F | 0x7F..=0xFF => {
                let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// `20/Nov/2026:18:57:57 +0000`.
fn write_time(out: &mut Vec<u8>, unix_seconds: u64) -> std::io::Result<()> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or("???");
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    write!(out, "{day:02}/{name}/{year:04}:{h:02}:{m:02}:{s:02} +0000")
}

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar. Counts in eras of 400 years (146,097 days) that begin on
/// 1 March, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn time(seconds: u64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, seconds).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_right_around_leap_days_and_years() {
        assert_eq!(time(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(time(951_782_399), "28/Feb/2000:23:59:59 +0000");
        assert_eq!(time(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(time(1_709_251_199), "29/Feb/2024:23:59:59 +0000");
        assert_eq!(time(1_735_689_599), "31/Dec/2024:23:59:59 +0000");
        assert_eq!(time(4_107_542_400), "01/Mar/2100:00:00:00 +0000");
    }

    #[test]
    fn hostile_bytes_stay_inside_their_field() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let dropped = Counter::default();
        let mut log = AccessLog::new(writer.as_raw_fd()).unwrap();
        let record = AccessRecord {
            request_line: b"GET /\"\n\x1b[31m\xff\\ HTTP/1.1".to_vec(),
            user_agent: b"a\" 200 1 \"".to_vec(),
            status: 200,
            ..AccessRecord::default()
        };
        log.add(&record, 12, 0, &dropped);
        log.flush(&dropped);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "- - - [01/Jan/1970:00:00:00 +0000] \"GET /\\x22\\x0a\\x1b[31m\\xff\\x5c HTTP/1.1\" 200 12 \"-\" \"a\\x22 200 1 \\x22\"\n"
        );
    }

    #[test]
    fn a_log_that_takes_nothing_loses_lines_and_says_so() {
        let (writer, _reader) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let dropped = Counter::default();
        let mut log = AccessLog::new(writer.as_raw_fd()).unwrap();
        let record = AccessRecord { user_agent: vec![b'x'; 1000], ..AccessRecord::default() };
        for _ in 0..5000 {
            log.add(&record, 0, 0, &dropped);
            log.flush(&dropped);
        }
        assert!(dropped.get() > 0 && log.waiting.len() <= CAPACITY + 2000);
    }
}
