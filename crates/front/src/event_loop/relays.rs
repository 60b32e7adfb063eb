//! WebSockets over TLS: a worker has one end of a pair of sockets, and here bytes go to and fro between the other end and the session.
//! Those over HTTP/2 are kept here, too, and driven by `connection/http2/tunnels`.
//!
//! Owns those connections from the moment when a worker has taken its end: they are none of HTTP any more, neither for the limits of
//! connections nor for their clocks; each worker bounds how many it has. Of what one side has not taken there is at most one piece
//! for each direction. Runs on the front's thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use slab::Slab;

use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::connection::http2::tunnels::StreamRelay;
use crate::event_loop::EventLoop;
use crate::reactor::Readiness;
use crate::transport::Transport;

/// Tokens of relays have this bit, and their side in the lowest one. Those of connections are below.
const RELAY: usize = 1 << 62;
/// This one, too, where the client's end is a stream.
const STREAM: usize = 1 << 61;
/// Bytes moved at once.
pub(crate) const PIECE: usize = 16 * 1024;
/// Pieces moved on one connection before the others get their turn.
const PASSES: usize = 16;

/// One WebSocket.
#[derive(Debug)]
struct Relay {
    transport: Transport,
    worker: UnixStream,
    /// The worker's end may have something, or an end, to be read.
    worker_readable: bool,
    /// From the client, and not taken by the worker.
    to_worker: Vec<u8>,
    client_ended: bool,
    worker_ended: bool,
    /// The worker has closed its end: what the client still says reaches nobody.
    worker_gone: bool,
    /// Until when its client then has time to take what was said last; 0 before.
    due_ms: u64,
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
    open: Slab<Relay>,
    streams: Slab<StreamRelay>,
    /// Those whose workers have closed their end, and until when their clients have time to take what was said last: who takes nothing would keep
    /// them for ever.
    ending: VecDeque<(u64, Ending)>,
    /// Those with work left over.
    again: Vec<usize>,
    /// The workers know that the front ends.
    announced_end: bool,
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
    fn end_socket(&mut self, key: usize, now_ms: u64) -> bool {
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

impl EventLoop {
    /// A worker has taken the other end of `worker`.
    pub(crate) fn begin_relay(&mut self, transport: Transport, worker: UnixStream) {
        let relay = Relay {
            transport,
            worker,
            worker_readable: true,
            to_worker: Vec::new(),
            client_ended: false,
            worker_ended: false,
            worker_gone: false,
            due_ms: 0,
        };
        let worker_raw = relay.worker.as_raw_fd();
        let Some(client_raw) = relay.transport.raw() else { return };
        let key = self.relays.open.insert(relay);
        let registry = self.poll.registry();
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = |side: usize| Token(RELAY | key << 1 | side);
        // The client's socket was registered as a connection's.
        let registered = registry
            .reregister(&mut SourceFd(&client_raw), token(0), both)
            .and_then(|()| registry.register(&mut SourceFd(&worker_raw), token(1), both));
        if registered.is_err() {
            self.relays.open.remove(key);
            return;
        }
        let announced_end = self.relays.announced_end;
        if let Some(relay) = self.relays.open.get_mut(key) {
            relay.transport.look_again();
            relay.transport.stay_awake();
            if announced_end {
                let _ = relay.worker.shutdown(Shutdown::Write);
            }
        }
        self.relays.again.push(key);
    }

    /// Keeps one over HTTP/2, and has the poller tell of its worker's end.
    pub(crate) fn insert_stream_relay(&mut self, relay: StreamRelay) -> Result<usize, StreamRelay> {
        let raw = relay.tunnel.worker().as_raw_fd();
        let key = self.relays.streams.insert(relay);
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = Token(RELAY | STREAM | key << 1 | 1);
        if self.poll.registry().register(&mut SourceFd(&raw), token, both).is_err() {
            return Err(self.relays.streams.remove(key));
        }
        if let Some(relay) = self.relays.streams.get(key).filter(|_| self.relays.announced_end) {
            relay.tunnel.tell_end();
        }
        Ok(key)
    }

    /// Whether an event is a relay's; then it has been followed.
    pub(crate) fn on_relay_event(&mut self, event: &Readiness) -> bool {
        let token = event.token;
        // The highest tokens are the listeners' and the doorbell's.
        if token & RELAY == 0 || token & (RELAY << 1) != 0 {
            return false;
        }
        let key = (token & !(RELAY | STREAM)) >> 1;
        let has_gone = event.write_closed || event.error;
        // Never earlier than before, so the queue is in order.
        let due_ms = self.clock.now_ms + self.settings.write_idle_time.as_millis() as u64;
        if token & STREAM != 0 {
            if let Some(relay) = self.relays.streams.get_mut(key) {
                if relay.tunnel.note_event(has_gone) {
                    let ending = Ending::Stream(relay.connection, relay.stream);
                    self.relays.ending.push_back((due_ms, ending));
                }
                self.drive_stream_relay(key);
            }
            return true;
        }
        // An event of one that has ended in this turn may meet its successor, which then looks once for nothing.
        if let Some(relay) = self.relays.open.get_mut(key) {
            if token & 1 == 0 {
                relay.transport.note_event(event.readable, event.read_closed);
            } else {
                relay.worker_readable = true;
                if has_gone && relay.due_ms == 0 {
                    relay.due_ms = due_ms;
                    self.relays.ending.push_back((due_ms, Ending::Socket(key)));
                }
                relay.worker_gone |= has_gone;
            }
            self.drive_relay(key);
        }
        true
    }

    /// Goes on with those that have used up their turn.
    pub(crate) fn drive_relays(&mut self) {
        for key in std::mem::take(&mut self.relays.again) {
            self.drive_relay(key);
        }
    }

    /// Ends those whose workers have gone and whose clients do not take what was said last.
    pub(crate) fn end_late_relays(&mut self) {
        while let Some(ending) = self.relays.late(self.clock.now_ms) {
            let is_late = match ending {
                Ending::Socket(key) => self.relays.end_socket(key, self.clock.now_ms),
                Ending::Stream(connection, stream) => self.end_late_stream_relay(connection, stream),
            };
            if is_late {
                CloseReason::WriteTimeout.counter(&self.shared.counters).up();
            }
        }
    }

    fn drive_relay(&mut self, key: usize) {
        let Some(relay) = self.relays.open.get_mut(key) else { return };
        let buffer = self.scratch.get_mut(..PIECE).unwrap_or_default();
        for _ in 0..PASSES {
            match relay.pass(buffer) {
                Ok(true) => {}
                Ok(false) if relay.is_over() => break,
                Ok(false) => return,
                // Either side has gone; the other one sees the end.
                Err(_) => {
                    self.relays.open.remove(key);
                    return;
                }
            }
        }
        if relay.is_over() {
            self.relays.open.remove(key);
        } else {
            self.relays.again.push(key);
        }
    }
}

impl Relay {
    /// Whether nobody has anything more to say to anybody, and all that was said has left.
    fn is_over(&self) -> bool {
        self.worker_ended && (self.client_ended || self.worker_gone) && !self.transport.has_unsent()
    }

    /// Moves one piece each way; whether anything moved.
    fn pass(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
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

/// How much was written; None: nothing can be at present.
pub(crate) fn taken(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
