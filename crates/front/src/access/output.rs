//! Where access lines end up: a file, a pipe or terminal, or a syslog's socket. Nothing here ever waits.
//!
//! Owns the descriptor. What is not taken now is left to the caller, who keeps a bounded part of it. Runs on the front's thread.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::counters::Counter;
use crate::datagrams::{self, Datagrams};

/// How lines are written.
#[derive(Debug)]
enum Kind {
    /// At once: a file takes everything.
    File(OwnedFd),
    /// By whole lines that do not mix with those of other writers, where there is room.
    Stream(OwnedFd),
    /// Each line on its own, to a syslog.
    Datagrams(Box<Syslog>),
}

#[derive(Debug)]
struct Syslog {
    socket: Datagrams,
    prefix: Box<[u8]>,
    /// The one that is sent; reused.
    datagram: Vec<u8>,
}

/// What became of a piece.
enum Sent {
    /// So many bytes have been taken.
    Taken(usize),
    /// There is no room.
    Later,
    /// It never will be taken, for this reason.
    Lost(io::Error),
}

/// Where access lines go.
#[derive(Debug)]
pub struct Output {
    kind: Kind,
    /// Why lines were lost last, where it was not for want of speed.
    fault: Option<io::Error>,
}

impl Output {
    /// With a prefix it is a connected datagram socket.
    pub fn new(descriptor: OwnedFd, datagram_prefix: Option<Box<[u8]>>) -> Self {
        let kind = match datagram_prefix {
            Some(prefix) => Kind::Datagrams(Box::new(Syslog {
                socket: Datagrams::new(descriptor),
                prefix,
                datagram: Vec::new(),
            })),
            None if is_file(&descriptor) => Kind::File(descriptor),
            None => Kind::Stream(descriptor),
        };
        Output { kind, fault: None }
    }

    /// Why lines have been lost since the last call: None where it just was not quick enough.
    pub fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// Writes what it takes of `lines`, and removes that from them. What is lost for good is counted.
    pub fn write(&mut self, lines: &mut Vec<u8>, dropped: &Counter) {
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            let sent = match &mut self.kind {
                Kind::File(file) => write_some(file, rest),
                // The descriptor may be anything, blocking too: ask before writing. A pipe that reports room takes at least one page.
                Kind::Stream(stream) if !has_room(stream) => Sent::Later,
                Kind::Stream(stream) => {
                    let some = whole_lines(rest, libc::PIPE_BUF);
                    write_some(stream, rest.get(..some).unwrap_or(rest))
                }
                Kind::Datagrams(syslog) => {
                    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len() - 1);
                    match syslog.send(rest.get(..end).unwrap_or(rest)) {
                        datagrams::Sent::Taken => Sent::Taken(end + 1),
                        // Either this one is lost, or the one before it.
                        datagrams::Sent::AfterRefusal | datagrams::Sent::Lost => {
                            dropped.up();
                            Sent::Taken(end + 1)
                        }
                        datagrams::Sent::Later => Sent::Later,
                    }
                }
            };
            match sent {
                Sent::Taken(count) => written += count,
                Sent::Later => break,
                // Disk full, reader gone: these lines are lost, the next turn tries again.
                Sent::Lost(error) => {
                    self.fault = Some(error);
                    dropped.add(rest.iter().filter(|byte| **byte == b'\n').count() as u64);
                    written = lines.len();
                }
            }
        }
        lines.drain(..written);
    }
}

impl Syslog {
    fn send(&mut self, line: &[u8]) -> datagrams::Sent {
        self.datagram.clear();
        self.datagram.extend_from_slice(&self.prefix);
        self.datagram.extend_from_slice(line);
        self.socket.send(&self.datagram)
    }
}

fn write_some(descriptor: &OwnedFd, bytes: &[u8]) -> Sent {
    // SAFETY: so many readable bytes.
    sent(unsafe { libc::write(descriptor.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// The result of a write, right after it.
fn sent(count: libc::ssize_t) -> Sent {
    match usize::try_from(count) {
        Ok(count) if count > 0 => Sent::Taken(count),
        _ => match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted => Sent::Taken(0),
            io::ErrorKind::WouldBlock => Sent::Later,
            _ => Sent::Lost(io::Error::last_os_error()),
        },
    }
}

fn is_file(descriptor: &OwnedFd) -> bool {
    // SAFETY: all zeros is a valid value.
    let mut status: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: an open descriptor and memory for the answer.
    let is_known = unsafe { libc::fstat(descriptor.as_raw_fd(), &raw mut status) } == 0;
    is_known && status.st_mode & libc::S_IFMT == libc::S_IFREG
}

fn has_room(descriptor: &OwnedFd) -> bool {
    let mut ready = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, no waiting.
    unsafe { libc::poll(&raw mut ready, 1, 0) == 1 }
}

/// How much of `bytes` to write at once: up to the last line end within `most`, so that lines of several writers to a pipe do not mix.
fn whole_lines(bytes: &[u8], most: usize) -> usize {
    let some = bytes.get(..most).unwrap_or(bytes);
    some.iter().rposition(|byte| *byte == b'\n').map_or(some.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn lines_are_not_torn_for_a_pipe() {
        assert_eq!(whole_lines(b"ab\ncd\nef", 7), 6);
        assert_eq!(whole_lines(b"abcdef", 4), 4);
        assert_eq!(whole_lines(b"ab\n", 100), 3);
    }

    /// A syslog of the test's own, which a sender reaches by its name.
    fn syslog(directory: &tempfile::TempDir) -> UnixDatagram {
        let path = directory.path().join("log");
        let _ = std::fs::remove_file(&path);
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        receiver
    }

    fn received(receiver: &UnixDatagram) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1000];
        let count = receiver.recv(&mut buffer).ok()?;
        buffer.truncate(count);
        Some(buffer)
    }

    #[test]
    fn a_syslog_gets_a_datagram_for_each_line_also_after_it_was_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let (receiver, dropped) = (syslog(&directory), Counter::default());
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(directory.path().join("log")).unwrap();
        let mut output = Output::new(sender.into(), Some(Box::from(*b"<30>x: ")));
        let mut lines = b"one\ntwo\n".to_vec();
        output.write(&mut lines, &dropped);
        assert_eq!(received(&receiver).unwrap(), b"<30>x: one");
        assert_eq!(received(&receiver).unwrap(), b"<30>x: two");
        drop(receiver);
        lines.extend_from_slice(b"lost\n");
        output.write(&mut lines, &dropped);
        assert_eq!((lines.len(), dropped.get()), (0, 1));
        let receiver = syslog(&directory);
        lines.extend_from_slice(b"three\n");
        output.write(&mut lines, &dropped);
        assert_eq!(received(&receiver).unwrap(), b"<30>x: three");
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn a_syslog_that_does_not_listen_keeps_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let (receiver, dropped) = (syslog(&directory), Counter::default());
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(directory.path().join("log")).unwrap();
        let mut output = Output::new(sender.into(), Some(Box::default()));
        let mut lines = b"line\n".repeat(10_000);
        output.write(&mut lines, &dropped);
        assert!(!lines.is_empty() && lines.len() < 50_000, "{}", lines.len());
        let (left, mut count) = (lines.len() / 5, 0);
        while received(&receiver).is_some() {
            count += 1;
        }
        assert_eq!((count + left, dropped.get()), (10_000, 0));
    }
}
