//! A socket with a session of TLS between it and HTTP. Runs on the front's thread.
//!
//! Owns the session, decrypted bytes that nobody has read yet (at most what one read of the socket brought), and encrypted bytes that the
//! socket has not taken yet (at most one piece of [`PIECE`] bytes). An idle connection holds neither. Buffers for the moment belong to the
//! thread, not to the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pelton_tls::client::Variable;
use pelton_tls::{Failure, Session};
use socket2::Socket;

use crate::transport::Origin;

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

/// A step of a handshake that takes long (see [`Session::is_costly`]), with all that it needs.
#[derive(Debug)]
pub struct Step {
    session: Box<Session>,
    received: Vec<u8>,
    encrypted: Vec<u8>,
    plain: Vec<u8>,
    result: Result<(), Failure>,
}

impl Step {
    /// Takes it. On any thread.
    pub fn take(&mut self) {
        let plain = &mut self.plain;
        self.result = self.session.receive(&mut self.received, &mut self.encrypted, |decrypted| {
            plain.extend_from_slice(decrypted);
        });
    }
}

/// How far a handshake has come.
#[derive(Debug)]
pub enum Shaken {
    /// The client has to say more, or a helper is not ready.
    Waits,
    /// A helper is to take this step, and [`Tls::put_back`] to get it afterwards.
    Costly(Box<Step>),
    /// It is complete.
    Done,
    /// The client does not speak TLS but HTTP, and has sent this.
    PlainHttp(Vec<u8>),
    /// It has failed; what there was to say about it has been sent.
    Failed(String),
    /// The client has gone.
    Gone,
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

/// See the module's head. Says goodbye and closes the socket when it is dropped.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: Socket,
    /// None while a helper has it for a step of the handshake.
    session: Option<Box<Session>>,
    /// A step that a helper has taken.
    step: Option<Box<Step>>,
    /// Told to the application; empty before the handshake is complete.
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

    /// A helper has taken a step. [`Tls::shake`] goes on from there.
    pub(crate) fn put_back(&mut self, step: Box<Step>) {
        self.step = Some(step);
    }

    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Goes on with the handshake as far as the client's bytes allow.
    pub(crate) fn shake(&mut self) -> io::Result<Shaken> {
        if let Some(step) = self.step.take() {
            let Step { session, received, encrypted, plain, result } = *step;
            self.session = Some(session);
            self.plain.extend_from_slice(&plain);
            self.push(&encrypted)?;
            match self.after_step(result, &received) {
                Shaken::Waits if self.has_more => {}
                shaken => return Ok(shaken),
            }
        }
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { received, encrypted, .. } = buffers;
            received.resize(RECEIVED, 0);
            loop {
                if self.session.is_none() {
                    return Ok(Shaken::Waits);
                }
                let count = match self.socket.read(received) {
                    Ok(0) => return Ok(Shaken::Gone),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.has_more = false;
                        return Ok(Shaken::Waits);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                self.has_more = count == RECEIVED;
                let bytes = received.get_mut(..count).unwrap_or_default();
                if let Some(session) = self.session.take_if(|session| session.is_costly(bytes)) {
                    let (encrypted, plain) = (Vec::new(), Vec::new());
                    // There may be more when it comes back, and no event will tell of it.
                    self.has_more = true;
                    let received = bytes.to_vec();
                    let step = Step { session, received, encrypted, plain, result: Ok(()) };
                    return Ok(Shaken::Costly(Box::new(step)));
                }
                encrypted.clear();
                let (Some(session), plain) = (&mut self.session, &mut self.plain) else {
                    return Ok(Shaken::Waits);
                };
                let result =
                    session.receive(bytes, encrypted, |decrypted| plain.extend_from_slice(decrypted));
                self.push(encrypted)?;
                match self.after_step(result, bytes) {
                    Shaken::Waits if self.has_more => {}
                    shaken => return Ok(shaken),
                }
            }
        })
    }

    /// What a step has led to; `received`: what was processed.
    fn after_step(&mut self, result: Result<(), Failure>, received: &[u8]) -> Shaken {
        match result {
            Ok(()) => match self.session().filter(|session| session.is_established()) {
                Some(session) => {
                    self.variables = session.variables(self.asks_for_certificates);
                    Shaken::Done
                }
                None => Shaken::Waits,
            },
            Err(Failure::PlainHttp) => Shaken::PlainHttp(received.to_vec()),
            Err(failure) => {
                self.is_broken = true;
                Shaken::Failed(text(failure))
            }
        }
    }

    /// What has been received of a PROXY header, without taking it from the socket.
    pub(crate) fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the socket is open; pointer and length are those of a slice that is written to.
        let count = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Takes bytes from the socket that were seen by [`Tls::peek`].
    pub(crate) fn skip(&mut self, mut count: usize) -> io::Result<()> {
        let mut room = [0; 256];
        while count > 0 {
            let part = count.min(room.len());
            match self.socket.read(room.get_mut(..part).unwrap_or_default())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                taken => count -= taken,
            }
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn proceed(&mut self) -> io::Result<()> {
        // An event has told of the socket.
        self.has_more = true;
        self.flush()
    }

    pub(crate) fn has_buffered(&self) -> bool {
        self.has_more || self.taken < self.plain.len()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
    }

    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = self.plain.get(self.taken..).unwrap_or_default();
        if !left.is_empty() {
            let count = left.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..count), left.get(..count)) {
                to.copy_from_slice(from);
            }
            self.taken += count;
            if self.taken == self.plain.len() {
                (self.plain, self.taken) = (Vec::new(), 0);
            }
            return Ok(count);
        }
        if self.session().is_none_or(Session::peer_closed) {
            return Ok(0);
        }
        BUFFERS.with_borrow_mut(|buffers| self.receive(buffers, room))
    }

    fn receive(&mut self, buffers: &mut Buffers, room: &mut [u8]) -> io::Result<usize> {
        let Buffers { received, encrypted, .. } = buffers;
        received.resize(RECEIVED, 0);
        loop {
            let count = match self.socket.read(received) {
                Ok(count) => count,
                Err(error) => {
                    self.has_more &= error.kind() != io::ErrorKind::WouldBlock;
                    return Err(error);
                }
            };
            if count == 0 {
                // Without the alert that should come first. HTTP says by itself where a message ends.
                self.has_more = false;
                return Ok(0);
            }
            self.has_more = count == RECEIVED;
            encrypted.clear();
            let (mut filled, plain) = (0, &mut self.plain);
            let Some(session) = &mut self.session else { return Err(io::ErrorKind::WouldBlock.into()) };
            let result =
                session.receive(received.get_mut(..count).unwrap_or_default(), encrypted, |decrypted| {
                    let free = room.get_mut(filled..).unwrap_or_default();
                    let (now, later) = decrypted.split_at(decrypted.len().min(free.len()));
                    if let Some(free) = free.get_mut(..now.len()) {
                        free.copy_from_slice(now);
                    }
                    filled += now.len();
                    plain.extend_from_slice(later);
                });
            self.push(encrypted)?;
            if let Err(failure) = result {
                self.is_broken = true;
                return Err(io::Error::new(io::ErrorKind::InvalidData, text(failure)));
            }
            if filled > 0 || self.session().is_none_or(Session::peer_closed) {
                return Ok(filled);
            }
            if !self.has_more {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room()?;
        let taken = bytes.len().min(PIECE);
        BUFFERS.with_borrow_mut(|buffers| {
            self.encrypt(bytes.get(..taken).unwrap_or_default(), &mut buffers.encrypted)
        })?;
        Ok(taken)
    }

    pub(crate) fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.make_room()?;
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { encrypted, gathered, .. } = buffers;
            // Together, so that a head and a small body share a record.
            gathered.clear();
            for piece in pieces {
                let free = PIECE - gathered.len();
                gathered.extend_from_slice(piece.get(..free.min(piece.len())).unwrap_or_default());
            }
            self.encrypt(gathered, encrypted)?;
            Ok(gathered.len())
        })
    }

    pub(crate) fn send_file(
        &mut self,
        file: &BorrowedFd<'_>,
        offset: &mut u64,
        left: &mut u64,
    ) -> io::Result<usize> {
        self.make_room()?;
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { encrypted, gathered, .. } = buffers;
            gathered.resize(PIECE, 0);
            let wanted = (*left).min(PIECE as u64) as usize;
            let at = i64::try_from(*offset).map_err(io::Error::other)?;
            // SAFETY: the file is open; pointer and length are those of a vector that is written to.
            let count = unsafe {
                libc::pread(file.as_raw_fd(), gathered.as_mut_ptr().cast(), wanted.min(gathered.len()), at)
            };
            let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.encrypt(gathered.get(..count).unwrap_or_default(), encrypted)?;
            *offset += count as u64;
            *left -= count as u64;
            Ok(count)
        })
    }

    /// Fails with `WouldBlock` while there are bytes that the socket has not taken.
    #[inline]
    fn make_room(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        self.flush()?;
        if self.has_unsent() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    fn encrypt(&mut self, plain: &[u8], encrypted: &mut Vec<u8>) -> io::Result<()> {
        encrypted.clear();
        let Some(session) = &mut self.session else { return Err(io::ErrorKind::WouldBlock.into()) };
        session.send(plain, encrypted).map_err(|failure| io::Error::other(text(failure)))?;
        self.push(encrypted)
    }

    /// Sends what the socket takes, and keeps the rest behind what is kept already.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        while self.unsent.is_empty() && sent < bytes.len() {
            let rest = bytes.get(sent..).unwrap_or_default();
            match self.socket.send_with_flags(rest, libc::MSG_NOSIGNAL) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.send_with_flags(rest, libc::MSG_NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        if self.is_ending {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    pub(crate) fn end_sending(&mut self) {
        self.is_ending = true;
        let mut goodbye = Vec::new();
        if let Some(session) = &mut self.session {
            session.close(&mut goodbye);
        }
        if self.push(&goodbye).is_ok() {
            let _ = self.flush();
        }
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        let mut count: libc::c_int = 0;
        // SAFETY: the socket is open, and there is room for the number that the call writes.
        let failed = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } != 0;
        if failed { 0 } else { u64::try_from(count).unwrap_or_default() }
    }

    pub(crate) fn reset_at_close(&mut self) {
        self.is_broken = true;
        let _ = self.socket.set_linger(Some(Duration::ZERO));
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
