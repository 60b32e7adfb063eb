//! One end of a pair of sockets, whose other end a worker has, and what waits for either side. Knows nothing of streams and frames. Runs on the front's thread.

use std::io;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::exchange::Exchange;
use crate::ids::ConnectionId;

/// Bytes of the head of an application's response.
pub(super) const MOST_HEAD: usize = 16 * 1024;

/// The two directions of one stream, at our end of the pair.
#[derive(Debug)]
pub struct Tunnel {
    worker: UnixStream,
    /// The worker's end may have something, or an end, to be read.
    worker_readable: bool,
    pub(super) worker_ended: bool,
    /// The worker has closed its end: what the client still says reaches nobody.
    worker_gone: bool,
    /// The poller has said so.
    knows_of_end: bool,
    /// From the client, and not taken by the worker; at most what the stream's window allows.
    to_worker: Vec<u8>,
    client_ended: bool,
    /// What has come of the head of the response, and what follows it; afterwards what of that is still to be sent.
    pub(super) from_worker: Vec<u8>,
}

/// A stream whose worker has taken its socket.
#[derive(Debug)]
pub(crate) struct StreamRelay {
    pub(crate) connection: ConnectionId,
    pub(crate) stream: u32,
    pub(crate) tunnel: Box<Tunnel>,
    /// The exchange, before the application has answered.
    pub(crate) exchange: Option<Box<Exchange>>,
}

/// Bytes moved at once.
pub(crate) const PIECE: usize = 16 * 1024;

/// How much was written; None: nothing can be at present.
pub(crate) fn taken(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

impl Tunnel {
    /// A pair: our end, and the worker's. `client_ended`: nothing will come from the client.
    pub fn offer(client_ended: bool) -> io::Result<(Box<Tunnel>, OwnedFd)> {
        let (worker, theirs) = UnixStream::pair()?;
        worker.set_nonblocking(true)?;
        let tunnel = Tunnel {
            worker,
            worker_readable: true,
            worker_ended: false,
            worker_gone: false,
            knows_of_end: false,
            to_worker: Vec::new(),
            client_ended: false,
            from_worker: Vec::new(),
        };
        let mut tunnel = Box::new(tunnel);
        if client_ended {
            tunnel.end_client();
        }
        Ok((tunnel, theirs.into()))
    }

    pub(crate) fn worker(&self) -> &UnixStream {
        &self.worker
    }

    /// The poller has reported something. Whether the worker's end is found closed for the first time.
    pub(crate) fn note_event(&mut self, has_gone: bool) -> bool {
        self.worker_readable = true;
        let is_new = has_gone && !self.knows_of_end;
        self.knows_of_end |= has_gone;
        self.worker_gone |= has_gone;
        is_new
    }

    /// From the client. Gives how much of it needs no room any more.
    pub(crate) fn take_data(&mut self, bytes: &[u8]) -> usize {
        let sent = if self.to_worker.is_empty() { self.write_up(bytes) } else { 0 };
        if self.worker_gone {
            return bytes.len();
        }
        self.to_worker.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        sent
    }

    /// Passes on what has waited. Gives how much of it needs no room any more.
    pub(super) fn flush_up(&mut self) -> usize {
        if self.to_worker.is_empty() {
            return 0;
        }
        let mut waiting = std::mem::take(&mut self.to_worker);
        let sent = self.write_up(&waiting);
        if self.worker_gone {
            return waiting.len();
        }
        if sent < waiting.len() {
            waiting.drain(..sent);
            self.to_worker = waiting;
        } else if self.client_ended {
            let _ = self.worker.shutdown(Shutdown::Write);
        }
        sent
    }

    fn write_up(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while !self.worker_gone
            && let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty())
        {
            match taken(self.worker.write(rest)) {
                Ok(Some(count)) => sent += count,
                Ok(None) => break,
                Err(_) => {
                    self.worker_gone = true;
                    break;
                }
            }
        }
        sent
    }

    /// The client sends nothing more.
    pub(crate) fn end_client(&mut self) {
        self.client_ended = true;
        if self.to_worker.is_empty() {
            let _ = self.worker.shutdown(Shutdown::Write);
        }
    }

    /// Lets the application see the end of its socket; what it has to say to its client still gets there.
    pub(crate) fn tell_end(&self) {
        let _ = self.worker.shutdown(Shutdown::Write);
    }

    /// Whether there may be something for the client.
    pub(super) fn has_down(&self) -> bool {
        !self.from_worker.is_empty() || (self.worker_readable && !self.worker_ended)
    }

    /// Puts at most `most` bytes for the client behind `into`. An error: the worker's end is broken.
    pub(super) fn take_down(&mut self, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
        if !self.from_worker.is_empty() {
            let count = most.min(self.from_worker.len());
            into.extend(self.from_worker.drain(..count));
            if self.from_worker.is_empty() {
                self.from_worker = Vec::new();
            }
            return Ok(());
        }
        let start = into.len();
        into.resize(start + most.min(PIECE), 0);
        let result = self.read(into.get_mut(start..).unwrap_or_default());
        into.truncate(start + result.as_ref().map_or(0, |count| *count));
        result.map(|_| ())
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if !self.worker_readable || self.worker_ended || room.is_empty() {
            return Ok(0);
        }
        loop {
            match self.worker.read(room) {
                Ok(0) => self.worker_ended = true,
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.worker_readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(0);
        }
    }

    /// Reads more of the head of the response; whether anything has come.
    pub(super) fn read_head(&mut self, scratch: &mut [u8]) -> bool {
        let room = MOST_HEAD.saturating_sub(self.from_worker.len()).min(scratch.len());
        let room = scratch.get_mut(..room).unwrap_or_default();
        match self.read(room) {
            Ok(count) => {
                self.from_worker.extend_from_slice(room.get(..count).unwrap_or_default());
                count > 0
            }
            Err(_) => {
                self.worker_ended = true;
                false
            }
        }
    }

    /// Whether nobody has anything more to say to anybody, and all that was said has left.
    pub(super) fn is_over(&self) -> bool {
        let is_quiet_above = self.client_ended && self.to_worker.is_empty();
        self.worker_ended && self.from_worker.is_empty() && (is_quiet_above || self.worker_gone)
    }
}
