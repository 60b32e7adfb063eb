//! One client's connection: its transport, and the driver of the protocol that is spoken over it.
//!
//! Most connections are idle most of the time, so this is small and owns no buffer then. A connection has any number of exchanges (one at
//! a time with HTTP/1), which are in a table of their own and know it by its id. Runs on the front's thread.

use pelton_http::{Encoded, ResponseContext, ResponseError};

use crate::connection::http1::Http1;
use crate::connection::http2::Http2;
use crate::exchange::{Exchange, Exchanges};
use crate::ids::ConnectionId;
use crate::ids::ConnectionKind;
use crate::table::Table;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};
use crate::transport::peer::Peer;

pub(crate) mod close;
pub(crate) mod closing;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod turn;

/// All connections.
#[derive(Debug, Default)]
pub struct Connections {
    table: Table<Connection, ConnectionKind>,
    /// How many of them are for health checks only.
    admin: usize,
}

impl Connections {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Of those, the ones for health checks only.
    pub fn admin_len(&self) -> usize {
        self.admin
    }

    /// The others: those that count as connections of clients.
    pub fn public_len(&self) -> usize {
        self.table.len() - self.admin
    }

    /// Adds one.
    pub fn insert(&mut self, connection: Connection) -> ConnectionId {
        self.admin += usize::from(connection.role == Role::Admin);
        self.table.insert(connection)
    }

    /// The connection, if it is still the one meant.
    #[inline]
    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.table.get(id)
    }

    /// See [`Connections::get`].
    #[inline]
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.table.get_mut(id)
    }

    /// Takes it out.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.table.remove(id)?;
        self.admin -= usize::from(connection.role == Role::Admin);
        Some(connection)
    }

    /// The id of whatever is at `key` now.
    pub fn id_at(&self, key: usize) -> Option<ConnectionId> {
        self.table.id_at(key)
    }

    /// All ids.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.table.ids()
    }
}

/// The protocol of a connection: bytes become exchanges, and responses bytes.
#[derive(Debug)]
pub enum Driver {
    /// HTTP/1.0 and HTTP/1.1.
    Http1(Http1),
    /// HTTP/2. Elsewhere, so that a connection of HTTP/1 is no larger.
    Http2(Box<Http2>),
}

impl Driver {
    /// Writes the head of a response in frames.
    #[inline]
    pub(crate) fn send_head<'f>(
        &mut self,
        exchange: &Exchange,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        context: &ResponseContext<'_>,
    ) -> Result<Encoded, ResponseError> {
        match self {
            Driver::Http2(http2) => http2.session.send_head(exchange.stream, status, fields, context),
            Driver::Http1(_) => Err(ResponseError::Status),
        }
    }

    /// The driver, if the connection speaks HTTP/1.
    #[inline]
    pub fn http1(&mut self) -> Option<&mut Http1> {
        match self {
            Driver::Http1(http1) => Some(http1),
            Driver::Http2(_) => None,
        }
    }

    /// The driver, if the connection speaks HTTP/2.
    #[inline]
    pub fn http2(&mut self) -> Option<&mut Http2> {
        match self {
            Driver::Http2(http2) => Some(http2),
            Driver::Http1(_) => None,
        }
    }
}

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
    /// What it speaks is not known before its first bytes have come.
    pub may_be_http2: bool,
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
            may_be_http2: listener.protocol == Protocol::Either,
            is_counted: false,
            is_shared: false,
            requests: 0,
        }
    }

    /// Whether a worker has, or has had, a duplicate of the socket of an exchange.
    #[inline]
    pub fn is_offered(&self, stream: u32) -> bool {
        match &self.driver {
            Driver::Http1(_) => self.is_shared,
            Driver::Http2(http2) => http2.offers(stream),
        }
    }

    /// Whether nothing has been received that was not understood.
    pub fn has_no_input(&self) -> bool {
        match &self.driver {
            Driver::Http1(http1) => http1.input.is_empty(),
            Driver::Http2(http2) => http2.has_no_input(),
        }
    }

    /// Whether nothing is under way: the next byte begins a request, and nobody waits for anything.
    pub fn is_between_requests(&self, exchanges: &Exchanges) -> bool {
        match &self.driver {
            Driver::Http1(http1) => http1.is_between_requests(exchanges),
            Driver::Http2(http2) => http2.is_between_requests(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::listener::Protocol;

    #[test]
    fn connections_for_health_checks_are_counted_apart() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let transport = Transport::plain(std::os::fd::OwnedFd::from(ours).into());
        let listener = ListenerKind { number: 0, role: Role::Admin, protocol: Protocol::Http1, tls: false };
        let driver = Driver::Http1(Http1::new(crate::ids::ExchangeId::nobody()));
        let mut connections = Connections::default();
        let id = connections.insert(Connection::new(transport, Peer::unknown(), listener, driver));
        assert_eq!((connections.len(), connections.public_len(), connections.admin_len()), (1, 0, 1));
        assert!(connections.remove(id).is_some() && connections.remove(id).is_none());
        assert_eq!((connections.len(), connections.admin_len()), (0, 0));
    }

    #[test]
    fn an_idle_connection_is_small() {
        // With the socket's kernel memory aside, 10,000 of them are to cost a few megabytes.
        let bytes = size_of::<Connection>() + size_of::<Exchange>();
        assert!(bytes <= 456, "{bytes} bytes");
    }
}
