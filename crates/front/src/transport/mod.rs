//! The transport of one client: the one way by which bytes come from it and go to it.
//!
//! Owns the socket, what is known of its readiness (edge-triggered, so it is remembered here), and whatever lies between the wire and the
//! bytes of HTTP: nothing for a plain socket, a session with its buffers for TLS. What "readable", "closed for sending", "handed over" and
//! "sent" mean is decided here and nowhere else. Must not know HTTP, exchanges or timers. Runs on the front's thread.
//!
//! # What every kind of transport must do
//! - [`read`](Transport::read) gives plain bytes. When it has brought fewer bytes than were asked for, nothing more is there
//!   (`is_readable` is false), until an event or the transport itself says otherwise.
//! - A kind that buffers says so: decrypted bytes that have not been read keep `is_readable` true although the socket has
//!   nothing more; encrypted bytes that have not left make [`has_unsent`](Transport::has_unsent) true although the response is complete.
//! - A kind that has something to do by itself (a handshake, a close alert, a renewal of keys) does it in [`proceed`](Transport::proceed), which
//!   is called for each event before anything else, and needs no bytes of the application for it.
//! - [`send`](Transport::send) and [`send_file`](Transport::send_file) fail with `WouldBlock` when they can take nothing; what they have taken
//!   will leave in that order.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use pelton_tls::client::Variable;
use socket2::{Socket, TcpKeepalive};

#[cfg(test)]
use crate::transport::memory::Memory;
use crate::transport::origin::Origin;
use crate::transport::plain::Plain;
use crate::transport::tls::{Encryption, Shaken, Tls};

pub(crate) mod listener;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod plain;
pub(crate) mod tls;

/// What carries the bytes.
#[derive(Debug)]
enum Kind {
    /// A TCP or unix socket, as it is.
    Plain(Plain),
    /// One with a session of TLS. Apart, so that plain connections stay small.
    Tls(Box<Tls>),
    /// Two queues in memory.
    #[cfg(test)]
    Memory(Memory),
}

#[derive(Debug)]
pub struct Transport {
    kind: Kind,
    /// Something may be there that has not been read. Readiness is reported once, so it is remembered.
    readable: bool,
    /// The client will send nothing more.
    peer_done: bool,
}

/// Calls the method of the kind at hand.
macro_rules! each_kind {
    ($transport:expr, $kind:ident => $call:expr) => {
        match $transport {
            Kind::Plain($kind) => $call,
            Kind::Tls($kind) => $call,
            #[cfg(test)]
            Kind::Memory($kind) => $call,
        }
    };
}

impl Transport {
    /// A connected, non-blocking socket without encryption.
    pub fn plain(socket: Socket) -> Self {
        Transport { kind: Kind::Plain(Plain::new(socket)), readable: false, peer_done: false }
    }

    /// A connected, non-blocking socket whose client is to begin a handshake.
    pub fn encrypted(socket: Socket, encryption: &Encryption) -> io::Result<Self> {
        let tls = Tls::new(socket, encryption)?;
        Ok(Transport { kind: Kind::Tls(Box::new(tls)), readable: false, peer_done: false })
    }

    /// Whether a handshake is not complete: nothing can be read or sent before.
    #[inline]
    pub fn is_shaking(&self) -> bool {
        match &self.kind {
            Kind::Plain(_) => false,
            #[cfg(test)]
            Kind::Memory(_) => false,
            Kind::Tls(tls) => tls.is_shaking(),
        }
    }

    /// Goes on with the handshake. A client that speaks HTTP has a plain connection afterwards.
    pub fn shake(&mut self) -> io::Result<Shaken> {
        let Kind::Tls(tls) = &mut self.kind else { return Ok(Shaken::Done) };
        let shaken = tls.shake()?;
        match &shaken {
            Shaken::PlainHttp(_) => {
                let plain = Plain::new(tls.socket().try_clone()?);
                // The session says nothing at its end, and of the socket a duplicate goes on.
                if let Kind::Tls(tls) = std::mem::replace(&mut self.kind, Kind::Plain(plain)) {
                    tls.forget();
                }
                self.readable = true;
            }
            // The first request may have come along.
            Shaken::Done => self.readable = true,
            _ => {}
        }
        Ok(shaken)
    }

    /// What the application learns of the encryption.
    #[inline]
    pub fn variables(&self) -> &[Variable] {
        match &self.kind {
            Kind::Plain(_) => &[],
            #[cfg(test)]
            Kind::Memory(_) => &[],
            Kind::Tls(tls) => tls.variables(),
        }
    }

    /// Whether this protocol was agreed on by ALPN.
    pub fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        let session = self.tls().and_then(Tls::session);
        session.is_some_and(|session| session.protocol() == Some(protocol))
    }

    /// The session, if there is one.
    pub fn tls(&self) -> Option<&Tls> {
        match &self.kind {
            Kind::Plain(_) => None,
            #[cfg(test)]
            Kind::Memory(_) => None,
            Kind::Tls(tls) => Some(tls),
        }
    }

    /// See [`Transport::tls`].
    pub fn tls_mut(&mut self) -> Option<&mut Tls> {
        match &mut self.kind {
            Kind::Plain(_) => None,
            #[cfg(test)]
            Kind::Memory(_) => None,
            Kind::Tls(tls) => Some(tls),
        }
    }

    /// One without a socket, for simulations.
    #[cfg(test)]
    pub fn memory(wire: memory::Shared) -> Self {
        Transport { kind: Kind::Memory(Memory::new(wire)), readable: false, peer_done: false }
    }

    /// The descriptor to be registered with the poller, both directions, edge-triggered; None where others tell of its events.
    pub fn raw(&self) -> Option<RawFd> {
        each_kind!(&self.kind, kind => kind.raw())
    }

    /// The poller has reported something.
    #[inline]
    pub fn note_event(&mut self, is_readable: bool, is_read_closed: bool) {
        self.readable |= is_readable;
        self.peer_done |= is_read_closed;
    }

    /// The socket is to be looked at although no event has come.
    pub fn look_again(&mut self) {
        self.readable = true;
    }

    /// Whether a read may bring something: bytes, the end, or an error.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the client has said that it sends nothing more. What it sent before may still be there to be read.
    #[inline]
    pub fn peer_done(&self) -> bool {
        self.peer_done
    }

    /// Does what the transport has to do by itself; see the module's head. A plain socket never has anything.
    #[inline]
    pub fn proceed(&mut self) -> io::Result<()> {
        each_kind!(&mut self.kind, kind => kind.proceed())
    }

    /// Reads up to `room.len()` bytes; 0 where there is nothing at present, or nothing more at all.
    ///
    /// A short read means that the socket is empty (epoll(7), on edge-triggered readiness), which saves the read that says so; what comes
    /// later, the end included, is reported anew.
    #[inline]
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let result = each_kind!(&mut self.kind, kind => kind.read(room));
        self.note_read(room.len(), result)
    }

    /// The same, into several places one after the other.
    pub fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (wanted, result) = each_kind!(&mut self.kind, kind => kind.read_vectored(rooms));
        self.note_read(wanted, result)
    }

    #[inline]
    fn note_read(&mut self, wanted: usize, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(0) => {
                self.readable = false;
                self.peer_done = true;
                Ok(0)
            }
            Ok(count) => {
                self.readable = count == wanted || each_kind!(&self.kind, kind => kind.has_buffered());
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads and forgets, for a client that is to see the end of its last response. An error is the end, too. Nothing is decrypted for that: a
    /// flood would cost most when nobody listens any more.
    pub fn discard(&mut self, scratch: &mut [u8]) {
        let result = match &mut self.kind {
            Kind::Tls(tls) => tls.discard(scratch),
            kind => each_kind!(kind, kind => kind.read(scratch)),
        };
        if self.note_read(scratch.len(), result).is_err() {
            self.peer_done = true;
            self.readable = false;
        }
    }

    /// Sends one piece, as far as it can be taken now.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each_kind!(&mut self.kind, kind => kind.send(bytes))
    }

    /// Sends what is followed by a file at once, so that the beginning of that can share a packet with it.
    pub fn send_before_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Plain(plain) => plain.send_before_more(bytes),
            kind => each_kind!(kind, kind => kind.send(bytes)),
        }
    }

    /// Sends several pieces with one call, as far as they can be taken now.
    #[inline]
    pub fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        each_kind!(&mut self.kind, kind => kind.send_pieces(pieces))
    }

    /// Sends some of `left` bytes of a file from `offset`, and moves both. A file that ends too early is an error.
    pub fn send_file(
        &mut self,
        file: &BorrowedFd<'_>,
        offset: &mut u64,
        left: &mut u64,
    ) -> io::Result<usize> {
        each_kind!(&mut self.kind, kind => kind.send_file(file, offset, left))
    }

    /// Whether bytes that were taken have not been given to the kernel yet.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        each_kind!(&self.kind, kind => kind.has_unsent())
    }

    /// Bytes that the kernel has and the client's machine has not acknowledged; 0 where nobody can tell.
    pub fn unacknowledged(&self) -> u64 {
        each_kind!(&self.kind, kind => kind.unacknowledged())
    }

    /// Nothing more will be sent. Failing means that the client has gone, which the next read finds out.
    pub fn end_sending(&mut self) {
        each_kind!(&mut self.kind, kind => kind.end_sending());
    }

    /// The close that follows is to be a reset: where the end of the connection would be the end of the body, nothing else says that it is not.
    pub fn reset_at_close(&mut self) {
        each_kind!(&mut self.kind, kind => kind.reset_at_close());
    }

    /// Ends both directions, for a socket of which somebody else has a duplicate: a close would end nothing.
    pub fn shut_down(&self) {
        each_kind!(&self.kind, kind => kind.shut_down());
    }

    /// The kernel asks from time to time whether the client is still there: where nothing has a clock, one that has vanished without a word would
    /// never be missed. As `worker/wsgi/client_socket.py` has it.
    pub fn stay_awake(&self) {
        let socket = match &self.kind {
            Kind::Plain(plain) => plain.socket(),
            Kind::Tls(tls) => tls.socket(),
            #[cfg(test)]
            Kind::Memory(_) => return,
        };
        let asking = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(20))
            .with_retries(6);
        // A unix socket has none of it.
        let _ = socket.set_tcp_keepalive(&asking);
    }

    /// A descriptor for somebody else, who will speak to the client with it; for this one it is the last that it does.
    pub fn share(&mut self) -> io::Result<OwnedFd> {
        each_kind!(&mut self.kind, kind => kind.share())
    }

    /// The socket, for a front that goes on with the connection as it is. None where this one holds a part of its state.
    pub fn as_handover(&self) -> Option<BorrowedFd<'_>> {
        each_kind!(&self.kind, kind => kind.as_handover())
    }

    /// Where the connection comes from, if that is this machine. Of the socket itself, not of what a proxy says.
    pub fn origin(&self) -> Option<Origin> {
        each_kind!(&self.kind, kind => kind.origin())
    }

    /// The port at the client's end; 0 for a unix socket.
    pub fn peer_port(&self) -> u16 {
        each_kind!(&self.kind, kind => kind.peer_port())
    }
}
