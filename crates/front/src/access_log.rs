//! Where access lines go: gathered in memory, written in larger pieces, and never waited for.
//!
//! A log that cannot take them (a full pipe, a full disk) loses lines, which are counted and told of. What the front is given is a descriptor
//! to write to, or an *envelope*: a SEQPACKET socket with one message in it that carries the form of the lines and the descriptor. It is only
//! looked at, never emptied, so that a later front finds the same in it. Runs on the front's thread.

use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use penstock_http::{Head, Known};

use crate::access_format::Format;
use crate::access_line::{Clock, Ending, write_line};
use crate::access_record::AccessRecord;
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
/// The first line of an envelope's message.
const ENVELOPE: &[u8] = b"penstock access log 1\n";
/// The longest message.
const MESSAGE: usize = 16 * 1024;
/// Longer ids are not taken over.
const LONGEST_ID: usize = 128;

/// See the module's head.
#[derive(Debug)]
pub struct AccessLog {
    descriptor: OwnedFd,
    format: Format,
    trusts_ids: bool,
    is_file: bool,
    waiting: Vec<u8>,
    /// Since when there is something waiting.
    since_ms: u64,
    clock: Clock,
    /// Boxed, as exchanges have them.
    #[expect(clippy::vec_box, reason = "a box is handed over, not its content")]
    spare: Vec<Box<AccessRecord>>,
    ids: Ids,
    told: u64,
    tell_at_ms: u64,
}

impl AccessLog {
    /// Writes to a duplicate of `descriptor`, or of the one in this envelope; None for a negative one.
    pub fn new(descriptor: RawFd) -> io::Result<Option<Self>> {
        if descriptor < 0 {
            return Ok(None);
        }
        let (descriptor, text) = match open_envelope(descriptor)? {
            Some(inside) => inside,
            None => {
                // SAFETY: not negative; whether it is open is found out by duplicating it, at once.
                let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
                (borrowed.try_clone_to_owned()?, "\ncombined".to_owned())
            }
        };
        let (flags, format) = text.split_once('\n').unwrap_or(("", &text));
        let format = Format::compile(format).map_err(|what| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("access log format: {what}"))
        })?;
        // SAFETY: all zeros is a valid value.
        let mut status: libc::stat = unsafe { mem::zeroed() };
        // SAFETY: an open descriptor and memory for the answer.
        let is_known = unsafe { libc::fstat(descriptor.as_raw_fd(), &raw mut status) } == 0;
        Ok(Some(AccessLog {
            descriptor,
            format,
            trusts_ids: flags.contains("trust-request-id"),
            is_file: is_known && status.st_mode & libc::S_IFMT == libc::S_IFREG,
            waiting: Vec::new(),
            since_ms: 0,
            clock: Clock::default(),
            spare: Vec::new(),
            ids: Ids::new(),
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

    /// The record of a request whose head is complete.
    ///
    /// Where ids are made, the head gets a field for it, which points behind `bytes`; see [`AccessRecord::identified`].
    pub fn begin(&mut self, head: &mut Head, bytes: &[u8], peer: &[u8], now_us: u64) -> Box<AccessRecord> {
        let mut record = self.empty();
        record.begin(&self.format, head, bytes, peer, now_us);
        if self.format.has_request_id {
            match head.find(Known::XRequestId).map(|field| field.value.of(bytes)) {
                Some(id) if self.trusts_ids && is_id(id) => record.set_id(id),
                _ => record.make_id(&self.ids.next(), head, bytes.len()),
            }
        }
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
        let mut written = 0;
        // The descriptor may be anything, blocking too: ask before writing. A pipe that reports room takes at least one page.
        while let Some(rest) = self.waiting.get(written..).filter(|rest| !rest.is_empty()) {
            if !self.is_file && !self.has_room() {
                break;
            }
            let some = if self.is_file { rest.len() } else { whole_lines(rest, libc::PIPE_BUF) };
            // SAFETY: `some` readable bytes.
            let n = unsafe { libc::write(self.descriptor.as_raw_fd(), rest.as_ptr().cast(), some) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => written += n,
                _ => {
                    let error = io::Error::last_os_error().kind();
                    if matches!(error, io::ErrorKind::Interrupted) {
                        continue;
                    }
                    if matches!(error, io::ErrorKind::WouldBlock) {
                        break;
                    }
                    // Disk full, reader gone: these lines are lost, the next turn tries again.
                    dropped.add(rest.iter().filter(|byte| **byte == b'\n').count() as u64);
                    written = self.waiting.len();
                }
            }
        }
        self.waiting.drain(..written);
    }

    fn has_room(&self) -> bool {
        let mut ready = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd, no waiting.
        unsafe { libc::poll(&raw mut ready, 1, 0) == 1 }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // Nobody is left to be told of losses.
        self.flush(&Counter::default());
    }
}

/// How much of `bytes` to write at once: up to the last line end within `most`, so that lines of several writers to a pipe do not mix.
fn whole_lines(bytes: &[u8], most: usize) -> usize {
    let some = bytes.get(..most).unwrap_or(bytes);
    some.iter().rposition(|byte| *byte == b'\n').map_or(some.len(), |at| at + 1)
}

/// An id from outside goes to the application and to the log: nothing but what ids are made of.
fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= LONGEST_ID
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte))
}

/// Ids of requests: a part drawn once, and a counter whose successive values do not look alike. Not secret.
#[derive(Debug)]
struct Ids {
    front: u64,
    count: u64,
}

impl Ids {
    fn new() -> Self {
        let mut drawn = [0u8; 16];
        // SAFETY: writes at most 16 bytes to `drawn`. Failing leaves zeros, and ids that are unique in this process only.
        unsafe { libc::getrandom(drawn.as_mut_ptr().cast(), drawn.len(), 0) };
        let (front, count) = drawn.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        Ids { front: number(front), count: number(count) }
    }

    fn next(&mut self) -> [u8; 32] {
        // A bijection (splitmix64), so two counts never give one id.
        self.count = self.count.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.count;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let mut id = [0; 32];
        let mut out = &mut id[..];
        // Two numbers of 16 digits are what fits.
        let _ = write!(out, "{:016x}{mixed:016x}", self.front);
        id
    }
}

/// What is in an envelope: a descriptor and the text after the first line. None when `descriptor` is something else.
fn open_envelope(descriptor: RawFd) -> io::Result<Option<(OwnedFd, String)>> {
    let mut text = vec![0u8; MESSAGE];
    let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    // Aligned for cmsghdr, and room for one descriptor and then some.
    let mut control = [0u64; 8];
    // SAFETY: all zeros is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&control);
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message points to memory that lives until the end of this function.
    let count = unsafe { libc::recvmsg(descriptor, &raw mut message, flags) };
    // No socket, or nothing in it.
    let Ok(count) = usize::try_from(count) else { return Ok(None) };
    let mut inside = None;
    // SAFETY: the kernel has filled `control` as `message` says; the macros stay within it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let raw = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
                inside = Some(OwnedFd::from_raw_fd(raw));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    let Some(text) = text.get(..count).and_then(|text| text.strip_prefix(ENVELOPE)) else { return Ok(None) };
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let text = std::str::from_utf8(text).map_err(|_| invalid("the access log format is not UTF-8"))?;
    let inside = inside.ok_or_else(|| invalid("the access log's envelope is empty"))?;
    Ok(Some((inside, text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    const ENDING: Ending = Ending { bytes: 12, how: "complete", now_us: 5, unix_seconds: 0 };

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

    #[test]
    fn ids_differ_and_those_from_outside_are_looked_at() {
        let mut ids = Ids::new();
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        assert!(is_id(&one) && is_id(b"1-5759e988-bd862e3fe1be46a994272793"));
        for bad in [&b""[..], b"a b", b"\xff", b"a\"", &[b'a'; LONGEST_ID + 1]] {
            assert!(!is_id(bad));
        }
    }

    #[test]
    fn lines_are_not_torn_for_a_pipe() {
        assert_eq!(whole_lines(b"ab\ncd\nef", 7), 6);
        assert_eq!(whole_lines(b"abcdef", 4), 4);
        assert_eq!(whole_lines(b"ab\n", 100), 3);
    }
}
