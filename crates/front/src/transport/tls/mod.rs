//! A socket with a session of TLS between it and HTTP. Runs on the front's thread.
//!
//! Owns the session, decrypted bytes that nobody has read yet (at most what one read of the socket brought), and encrypted bytes that the
//! socket has not taken yet (at most one piece of [`PIECE`] bytes). An idle connection holds neither. Buffers for the moment belong to the
//! thread, not to the connection.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use pelton_tls::client::Variable;
use pelton_tls::{Failure, Session};
use socket2::Socket;

use crate::transport::origin::Origin;

mod handshake;
mod receive;
mod send;

pub use handshake::{Shaken, Step};

/// Encrypted bytes received at once.
const RECEIVED: usize = 64 * 1024;
/// Plain bytes encrypted at once: four records.
pub(crate) const PIECE: usize = 64 * 1024;

/// What is encrypted, and by what; the same for all connections that begin with it.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// Certificates and rules.
    pub tls: pelton_tls::Tls,
    /// Whether clients are asked for certificates.
    pub asks_for_certificates: bool,
}

#[derive(Default)]
struct Buffers {
    received: Vec<u8>,
    encrypted: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Says goodbye and closes the socket when it is dropped.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: Socket,
    /// None while a helper has it for a step of the handshake.
    session: Option<Box<Session>>,
    /// A step that a helper has taken.
    step: Option<Box<Step>>,
    /// For the application; empty before the handshake is complete.
    variables: Vec<Variable>,
    asks_for_certificates: bool,
    /// Decrypted, and read up to `taken`.
    plain: Vec<u8>,
    taken: usize,
    /// Encrypted, and sent up to `sent`.
    unsent: Vec<u8>,
    sent: usize,
    /// The socket may have more.
    has_more: bool,
    /// Nothing more is sent once `unsent` has left.
    is_ending: bool,
    /// It has all left, and the socket knows that nothing follows.
    has_ended: bool,
    /// The peer is to see no orderly end.
    is_broken: bool,
    /// This end of the pair whose other end a worker was offered.
    relay: Option<UnixStream>,
}

impl Tls {
    pub(crate) fn new(socket: Socket, encryption: &Encryption) -> io::Result<Self> {
        let session = Session::new(&encryption.tls).map_err(|failure| io::Error::other(text(failure)))?;
        let session = Some(Box::new(session));
        Ok(Tls {
            socket,
            session,
            step: None,
            variables: Vec::new(),
            asks_for_certificates: encryption.asks_for_certificates,
            plain: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            sent: 0,
            has_more: true,
            is_ending: false,
            has_ended: false,
            is_broken: false,
            relay: None,
        })
    }

    pub(crate) fn raw(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Ends without a word.
    pub(crate) fn forget(mut self) {
        self.is_broken = true;
    }

    #[inline]
    pub(crate) fn is_shaking(&self) -> bool {
        self.session().is_none_or(|session| !session.is_established())
    }

    /// None while a helper has it.
    #[inline]
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    #[inline]
    pub(crate) fn proceed(&mut self) -> io::Result<()> {
        // An event has named the socket.
        self.has_more = true;
        self.flush()
    }

    pub(crate) fn has_buffered(&self) -> bool {
        self.has_more || self.taken < self.plain.len()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
    }

    pub(crate) fn shut_down(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// One end of a pair; the other one stays here, and whoever relays takes it.
    pub(crate) fn share(&mut self) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        self.relay = Some(ours);
        Ok(theirs.into())
    }

    pub(crate) fn take_relay(&mut self) -> Option<UnixStream> {
        self.relay.take()
    }

    /// A session cannot be handed on.
    #[allow(clippy::unused_self, reason = "as for the other kinds")]
    pub(crate) fn as_handover(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        crate::transport::plain::origin(&self.socket)
    }

    pub(crate) fn peer_port(&self) -> u16 {
        crate::transport::plain::peer_port(&self.socket)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // Where a response's end is that of the connection, the alert tells it from a cut (RFC 8446 section 6.1).
        if !self.is_broken && !self.is_ending && self.unsent.is_empty() {
            let mut goodbye = Vec::new();
            if let Some(session) = &mut self.session {
                session.close(&mut goodbye);
            }
            let _ = self.push(&goodbye);
        }
    }
}

fn text(failure: Failure) -> String {
    match failure {
        Failure::PlainHttp => "plain HTTP".to_owned(),
        Failure::Tls(text) => text,
    }
}
