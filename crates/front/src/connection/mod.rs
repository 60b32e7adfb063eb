//! One client's connection: its transport, and the driver of the protocol that is spoken over it.
//!
//! Most connections are idle most of the time, so this is small and owns no buffer then. A connection has any number of exchanges (one at
//! a time with HTTP/1), which are in a table of their own and know it by its id. Runs on the front's thread.

use crate::connection::http1::Http1;
use crate::exchange::Exchange;
use crate::table::{Id, Table};
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Role};
use crate::transport::peer::Peer;

pub(crate) mod close;
pub(crate) mod http1;

/// Names a connection, and never another one that has its place later.
pub type ConnectionId = Id<Connection>;

/// All connections.
pub type Connections = Table<Connection>;

/// The protocol of a connection: bytes become exchanges, and responses bytes.
#[derive(Debug)]
pub enum Driver {
    /// HTTP/1.0 and HTTP/1.1.
    Http1(Http1),
}

impl Driver {
    /// The driver, if the connection speaks HTTP/1.
    #[inline]
    pub fn http1(&mut self) -> Option<&mut Http1> {
        match self {
            Driver::Http1(http1) => Some(http1),
        }
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Connection {
    /// Closed when the connection is dropped.
    pub transport: Transport,
    /// What is spoken over it.
    pub driver: Driver,
    /// Who is at the other end.
    pub peer: Peer,
    /// Which listener it came by: its number among those with the same role.
    pub listener: u16,
    /// What that listener is for.
    pub role: Role,
    /// The last response has been sent; what still comes is thrown away until the client closes.
    pub lingering: bool,
    /// No request has come yet.
    pub fresh: bool,
    /// The first bytes are to be a proxy's word about the client.
    pub awaits_proxy_header: bool,
    /// It counts for its address.
    pub is_counted: bool,
    /// A worker has had, and may still have, a duplicate of the socket: to drop it closes nothing.
    pub is_shared: bool,
    /// Requests that have begun on it.
    pub requests: u32,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(transport: Transport, peer: Peer, listener: ListenerKind, driver: Driver) -> Self {
        Connection {
            transport,
            driver,
            peer: peer.by_tls(listener.tls),
            listener: listener.number,
            role: listener.role,
            lingering: false,
            fresh: true,
            awaits_proxy_header: false,
            is_counted: false,
            is_shared: false,
            requests: 0,
        }
    }

    /// Whether nothing is under way: the next byte begins a request, and nobody waits for anything.
    pub fn is_between_requests(&self, exchanges: &Table<Exchange>) -> bool {
        match &self.driver {
            Driver::Http1(http1) => http1.is_between_requests(exchanges),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the socket's kernel memory aside, 10,000 of them are to cost a few megabytes.
        let bytes = size_of::<Connection>() + size_of::<Exchange>();
        assert!(bytes <= 416, "{bytes} bytes");
    }
}
