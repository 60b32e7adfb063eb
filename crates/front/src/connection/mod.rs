//! One client's connection: its socket, what has been received and not understood, what is to be sent, and its exchange.
//!
//! Most connections are idle most of the time, so this is small and owns no buffer then; `table` keeps them.

use std::io;
use std::os::fd::AsRawFd;

use pelton_http::Receiver;
use socket2::Socket;

use crate::connection::backlog::Backlog;
use crate::connection::exchange::Exchange;
use crate::connection::listener::Peer;
use crate::connection::output::Output;

pub(crate) mod backlog;
pub(crate) mod body;
pub(crate) mod close;
pub(crate) mod exchange;
pub(crate) mod gather;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod spool;
pub(crate) mod table;
pub(crate) mod timers;

/// See the module's head.
#[derive(Debug)]
pub struct Connection {
    /// Closed when the connection is dropped.
    pub socket: Socket,
    /// Who is at the other end.
    pub peer: Peer,
    /// Which listener it came by.
    pub listener: u16,
    /// It came by one that answers health checks only; such connections are counted apart.
    pub is_admin: bool,
    /// The socket may have bytes that have not been read. Readiness is reported once (edge-triggered), so it is remembered here.
    pub readable: bool,
    /// The client will send nothing more.
    pub peer_done: bool,
    /// `input` holds bytes that the receiver has not looked at.
    pub unseen: bool,
    /// The last answer has been sent; what still comes is thrown away until the client closes.
    pub lingering: bool,
    /// No request has come yet.
    pub fresh: bool,
    /// A part of a head has come: its clock runs.
    pub head_begun: bool,
    /// The client does not keep up with its answer, and is in the list of those.
    pub is_behind: bool,
    /// The first bytes are to be a proxy's word about the client.
    pub awaits_proxy_header: bool,
    /// It counts for its address.
    pub is_counted: bool,
    /// A worker has had, and may still have, a duplicate of the socket: to drop it closes nothing.
    pub is_shared: bool,
    /// Requests that have begun on it.
    pub requests: u32,
    /// Bytes moved in the present window of its clock.
    pub moved: u64,
    /// Bytes that the client had ever taken when that window began.
    pub taken_before: u64,
    /// Where the request stands.
    pub receiver: Receiver,
    /// Received and not consumed: the beginning of a head, or a pipelined request.
    pub input: Vec<u8>,
    /// To be sent.
    pub output: Output,
    /// The request at hand.
    pub exchange: Exchange,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(socket: Socket, peer: Peer, listener: u16, backlog: Backlog) -> Self {
        Connection {
            socket,
            peer,
            listener,
            is_admin: false,
            readable: false,
            peer_done: false,
            unseen: false,
            lingering: false,
            fresh: true,
            head_begun: false,
            is_behind: false,
            awaits_proxy_header: false,
            is_counted: false,
            is_shared: false,
            requests: 0,
            moved: 0,
            taken_before: 0,
            receiver: Receiver::new(),
            input: Vec::new(),
            output: Output::new(backlog),
            exchange: Exchange::default(),
        }
    }

    /// Bytes of what was sent that the system still holds, because the client has not taken them. For a unix socket
    /// it counts its own memory, which is more.
    pub fn held_by_system(&self) -> u64 {
        let mut held: libc::c_int = 0;
        // SAFETY: an open socket, and room for the number.
        let failed = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut held) } != 0;
        if failed { 0 } else { u64::try_from(held).unwrap_or_default() }
    }

    /// Bytes that the client has ever taken, as far as can be known.
    pub fn taken(&self) -> u64 {
        self.output.sent().saturating_sub(self.held_by_system())
    }

    /// Bytes of the response's body that the client has taken, as far as can be known: what has been passed on, but
    /// for what is still here or with the system. Less by the marks of chunks among that.
    pub fn body_taken(&self) -> u64 {
        self.exchange.body_bytes().saturating_sub(self.output.left() + self.held_by_system())
    }

    /// Draws the conclusions from a read of up to `wanted` bytes; gives how many came.
    ///
    /// A short read means that the socket is empty (epoll(7), on edge-triggered readiness), which saves the read that says so; what comes
    /// later, the end included, is reported anew.
    #[inline]
    pub fn note_read(&mut self, result: io::Result<usize>, wanted: usize) -> io::Result<usize> {
        match result {
            Ok(0) => {
                self.readable = false;
                self.peer_done = true;
                Ok(0)
            }
            Ok(count) => {
                self.readable = count == wanted;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the socket's kernel memory aside, 10,000 of them are to cost a few megabytes.
        assert!(size_of::<Connection>() <= 384, "{} bytes", size_of::<Connection>());
    }
}
