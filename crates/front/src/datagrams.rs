//! A connected datagram socket for which nothing ever waits: a syslog's, or a statsd's.
//!
//! Owns the descriptor, and finds a receiver again that was started anew. What is not taken is the caller's to keep or to count. Any thread.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::system;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Taken,
    /// It is on its way, and the machine at the other end has refused the one before it.
    AfterRefusal,
    /// There is no room.
    Later,
    /// It never will be taken.
    Lost,
}

/// A connected socket that sends datagrams and never waits.
#[derive(Debug)]
pub struct Datagrams {
    descriptor: OwnedFd,
    /// Whom the socket was connected to.
    receiver: libc::sockaddr_storage,
    receiver_length: libc::socklen_t,
}

impl Datagrams {
    /// Takes over a connected socket.
    pub fn new(descriptor: OwnedFd) -> Self {
        // SAFETY: all zeros is a valid value.
        let mut receiver: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let mut receiver_length = mem::size_of_val(&receiver) as libc::socklen_t;
        // SAFETY: room for any address, and its size. A socket without one has an empty one, and is not connected again.
        let failed = unsafe {
            libc::getpeername(descriptor.as_raw_fd(), (&raw mut receiver).cast(), &raw mut receiver_length)
        } != 0;
        if failed {
            receiver_length = 0;
        }
        Datagrams { descriptor, receiver, receiver_length }
    }

    /// Sends one.
    pub fn send(&self, bytes: &[u8]) -> Sent {
        match self.send_once(bytes) {
            // A receiver that was started again has another socket under the same name. Connecting a datagram socket waits for nobody.
            Sent::Lost if self.connect_again() => match self.send_once(bytes) {
                // A unix socket refuses what is sent now. Of UDP one learns with the next datagram that nobody listened to the last one.
                Sent::Taken if !self.is_unix() => Sent::AfterRefusal,
                sent => sent,
            },
            sent => sent,
        }
    }

    fn send_once(&self, bytes: &[u8]) -> Sent {
        let flags = libc::MSG_DONTWAIT | system::SEND;
        loop {
            // SAFETY: so many readable bytes.
            let count =
                unsafe { libc::send(self.descriptor.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
            if count >= 0 {
                return Sent::Taken;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Sent::Later,
                _ => return Sent::Lost,
            }
        }
    }

    fn connect_again(&self) -> bool {
        // SAFETY: an address of this length, as getpeername gave it.
        self.receiver_length > 0
            && unsafe {
                libc::connect(
                    self.descriptor.as_raw_fd(),
                    (&raw const self.receiver).cast(),
                    self.receiver_length,
                )
            } == 0
    }

    fn is_unix(&self) -> bool {
        libc::c_int::from(self.receiver.ss_family) == libc::AF_UNIX
    }
}
