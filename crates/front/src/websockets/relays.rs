//! The tables of WebSockets whose bytes go through the front; `socket_relays` and `stream_relays` drive them.
//!
//! Owns those connections from the moment when a worker has taken its end: they are none of HTTP any more, neither for the limits of
//! connections nor for their clocks; each worker bounds how many it has. Of what one side has not taken there is at most one piece
//! for each direction. Runs on the front's thread.

use std::collections::VecDeque;
use std::io;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use slab::Slab;

use crate::ids::ConnectionId;
use crate::transport::Transport;
use crate::websockets::tunnel::{StreamRelay, taken};

/// Tokens of relays have this bit, and their side in the lowest one. Those of connections are below.
pub(crate) const RELAY: usize = 1 << 62;

/// This one, too, where the client's end is a stream.
pub(crate) const STREAM: usize = 1 << 61;

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) transport: Transport,
    pub(crate) worker: UnixStream,
    /// The worker's end may have something, or an end, to be read.
    pub(crate) worker_readable: bool,
    /// From the client, and not taken by the worker.
    pub(crate) to_worker: Vec<u8>,
    pub(crate) client_ended: bool,
    pub(crate) worker_ended: bool,
    /// The worker has closed its end: what the client still says reaches nobody.
    pub(crate) worker_gone: bool,
    /// Until when its client then has time to take what was said last; 0 before.
    pub(crate) due_ms: u64,
}

/// One whose worker has closed its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// A connection of its own: a key.
    Socket(usize),
    /// A stream of HTTP/2.
    Stream(ConnectionId, u32),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Relays {
    pub(crate) open: Slab<Relay>,
    pub(crate) streams: Slab<StreamRelay>,
    /// Those whose workers have closed their end, and until when their clients have time to take what was said last: who takes nothing would keep
    /// them for ever.
    pub(crate) ending: VecDeque<(u64, Ending)>,
    /// Those with work left over.
    pub(crate) again: Vec<usize>,
    /// The workers know that the front ends.
    pub(crate) announced_end: bool,
}

impl Relays {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len() + self.streams.len()
    }

    /// One over HTTP/2.
    pub(crate) fn stream(&self, key: usize) -> Option<&StreamRelay> {
        self.streams.get(key)
    }

    /// See [`Relays::stream`].
    pub(crate) fn stream_mut(&mut self, key: usize) -> Option<&mut StreamRelay> {
        self.streams.get_mut(key)
    }

    /// When the next client's time is over.
    pub(crate) fn next_end_ms(&self) -> Option<u64> {
        self.ending.front().map(|(due_ms, ..)| *due_ms)
    }

    /// One whose time is over.
    pub(crate) fn late(&mut self, now_ms: u64) -> Option<Ending> {
        if self.next_end_ms()? > now_ms {
            return None;
        }
        self.ending.pop_front().map(|(_, ending)| ending)
    }

    /// Ends one whose client has not taken what was said last. False: it had ended before, and the key may be another one's by now.
    pub(crate) fn end_socket(&mut self, key: usize, now_ms: u64) -> bool {
        let is_late = self.open.get(key).is_some_and(|relay| relay.worker_gone && relay.due_ms <= now_ms);
        if is_late {
            self.open.remove(key);
        }
        is_late
    }

    /// Takes it out.
    pub(crate) fn remove_stream(&mut self, key: usize) -> Option<StreamRelay> {
        self.streams.try_remove(key)
    }

    /// Whether some have something to do at once.
    pub fn have_work(&self) -> bool {
        !self.again.is_empty()
    }

    /// Lets workers see the end of their sockets, as at their own end: what they have to say to their clients still gets there.
    pub fn tell_end(&mut self) {
        if !std::mem::replace(&mut self.announced_end, true) {
            for (_, relay) in &self.open {
                let _ = relay.worker.shutdown(Shutdown::Write);
            }
            for (_, relay) in &self.streams {
                relay.tunnel.tell_end();
            }
        }
    }
}

impl Relay {
    /// Whether nobody has anything more to say to anybody, and all that was said has left.
    pub(crate) fn is_over(&self) -> bool {
        self.worker_ended && (self.client_ended || self.worker_gone) && !self.transport.has_unsent()
    }

    /// Moves one piece each way; whether anything moved.
    pub(crate) fn pass(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.transport.proceed()?;
        let upward = self.move_up(buffer)?;
        let downward = self.move_down(buffer)?;
        Ok(upward || downward)
    }

    /// From the client to the worker.
    fn move_up(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.to_worker.is_empty() {
            let waiting = std::mem::take(&mut self.to_worker);
            let Some(count) = self.write_up(&waiting) else {
                self.to_worker = waiting;
                return Ok(false);
            };
            self.to_worker.extend_from_slice(waiting.get(count..).unwrap_or_default());
            return Ok(true);
        }
        if self.client_ended {
            return Ok(false);
        }
        if !self.transport.is_readable() {
            if self.transport.peer_done() {
                self.client_ended = true;
                let _ = self.worker.shutdown(Shutdown::Write);
                return Ok(true);
            }
            return Ok(false);
        }
        let count = self.transport.read(buffer)?;
        if count == 0 {
            // Nothing at present, or the end, which the next pass sees.
            return Ok(!self.transport.is_readable() && self.transport.peer_done());
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        let sent = self.write_up(bytes).unwrap_or(0);
        self.to_worker.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Ok(true)
    }

    /// How much the worker has taken; None: nothing at present. A worker that has gone takes everything and hears nothing: what it said before is still
    /// to get to its client.
    fn write_up(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.worker_gone {
            match taken(self.worker.write(bytes)) {
                Ok(count) => return count,
                Err(_) => self.worker_gone = true,
            }
        }
        Some(bytes.len())
    }

    /// From the worker to the client.
    fn move_down(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if self.worker_ended || !self.worker_readable || self.transport.has_unsent() {
            return Ok(false);
        }
        match self.worker.read(buffer) {
            Ok(0) => {
                self.worker_ended = true;
                self.transport.end_sending();
                Ok(true)
            }
            Ok(count) => {
                // It has nothing unsent, and a piece is less than it takes at once.
                let sent = self.transport.send(buffer.get(..count).unwrap_or_default())?;
                debug_assert_eq!(sent, count);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.worker_readable = false;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}
