//! The handshake, step by step; the one that needs the private key is a helper's. And what comes before it: a PROXY header.

use std::io::{self, Read};
use std::os::fd::AsRawFd;

use pelton_tls::{Failure, Session};

use super::{BUFFERS, Buffers, RECEIVED, Tls, text};

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

impl Tls {
    /// A helper has taken a step. [`Tls::shake`] goes on from there.
    pub(crate) fn put_back(&mut self, step: Box<Step>) {
        self.step = Some(step);
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
}
