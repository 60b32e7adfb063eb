//! One client's connection: its transport, what has been received and not understood, what is to be sent, and its exchange.
//!
//! Most connections are idle most of the time, so this is small and owns no buffer then; `table` keeps them.

use pelton_http::Receiver;

use crate::connection::backlog::Backlog;
use crate::connection::exchange::Exchange;
use crate::connection::output::Output;
use crate::transport::Transport;
use crate::transport::listener::{Listener, Protocol, Role};
use crate::transport::peer::Peer;

pub(crate) mod backlog;
pub(crate) mod body;
pub(crate) mod close;
pub(crate) mod exchange;
pub(crate) mod gather;
pub(crate) mod output;
pub(crate) mod spool;
pub(crate) mod table;
pub(crate) mod timers;

/// See the module's head.
#[derive(Debug)]
pub struct Connection {
    /// Closed when the connection is dropped.
    pub transport: Transport,
    /// Who is at the other end.
    pub peer: Peer,
    /// Which listener it came by: its number among those with the same role.
    pub listener: u16,
    /// What that listener is for.
    pub role: Role,
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
    pub fn new(transport: Transport, peer: Peer, listener: &Listener, backlog: Backlog) -> Self {
        Connection {
            transport,
            peer: peer.by_tls(listener.tls),
            listener: listener.number,
            role: listener.role,
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
            receiver: match listener.protocol {
                Protocol::Http1 => Receiver::new(),
            },
            input: Vec::new(),
            output: Output::new(backlog),
            exchange: Exchange::default(),
        }
    }

    /// Bytes that the client has ever taken, as far as can be known.
    pub fn taken(&self) -> u64 {
        self.output.sent().saturating_sub(self.transport.unacknowledged())
    }

    /// Bytes of the response's body that the client has taken, as far as can be known: what has been passed on, but
    /// for what is still here or with the system. Less by the marks of chunks among that.
    pub fn body_taken(&self) -> u64 {
        self.exchange.body_bytes().saturating_sub(self.output.left() + self.transport.unacknowledged())
    }

    /// Whether the client's machine has been given all that was to be sent.
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.output.is_empty() && !self.transport.has_unsent()
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
