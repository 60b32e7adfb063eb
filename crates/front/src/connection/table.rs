//! All connections, found by a key that says which life of its place is meant.
//!
//! Events and slots refer to connections by [`ConnectionId`]. A place is used again after a close, so the id carries a generation: an
//! event for the former connection finds nothing.

use slab::Slab;

use crate::connection::Connection;
use crate::transport::listener::Role;

/// Place and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// Index into the table.
    pub key: usize,
    generation: u32,
}

impl ConnectionId {
    /// As one number, for the poller. Keys are below 2^31 because descriptors are.
    pub fn to_token(self) -> usize {
        (self.generation as usize) << 32 | self.key
    }

    /// From the poller's number.
    pub fn from_token(token: usize) -> Self {
        ConnectionId { key: token & 0xFFFF_FFFF, generation: (token >> 32) as u32 }
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    connections: Slab<(u32, Connection)>,
    next_generation: u32,
    /// How many of them are for health checks only.
    admin: usize,
}

impl ConnectionTable {
    /// Connections open.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Of those, the ones for health checks only.
    pub fn admin_len(&self) -> usize {
        self.admin
    }

    /// The others: those that count as connections of clients.
    pub fn public_len(&self) -> usize {
        self.connections.len() - self.admin
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Adds a connection.
    pub fn insert(&mut self, connection: Connection) -> ConnectionId {
        self.next_generation = self.next_generation.wrapping_add(1) & 0x3FFF_FFFF;
        let generation = self.next_generation;
        self.admin += usize::from(connection.role == Role::Admin);
        ConnectionId { key: self.connections.insert((generation, connection)), generation }
    }

    /// The connection, if it is still the one meant.
    #[inline]
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match self.connections.get_mut(id.key) {
            Some((generation, connection)) if *generation == id.generation => Some(connection),
            _ => None,
        }
    }

    /// Takes the connection out.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get_mut(id)?;
        let (_, connection) = self.connections.remove(id.key);
        self.admin -= usize::from(connection.role == Role::Admin);
        Some(connection)
    }

    /// The id of whatever is at `key` now.
    pub fn id_at(&self, key: usize) -> Option<ConnectionId> {
        self.connections.get(key).map(|(generation, _)| ConnectionId { key, generation: *generation })
    }

    /// All ids.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.connections
            .iter()
            .map(|(key, (generation, _))| ConnectionId { key, generation: *generation })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::backlog::Backlog;
    use crate::transport::listener::{Listener, ListenerSettings, Protocol};
    use std::net::{TcpListener, TcpStream};

    fn listener(role: Role, clients: usize) -> (Listener, Vec<TcpStream>) {
        let std = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = std.local_addr().unwrap();
        let protocol = Protocol::Http1;
        let settings = ListenerSettings { socket: std.into(), role, protocol, tls: false };
        let clients = (0..clients).map(|_| TcpStream::connect(address).unwrap()).collect();
        (Listener::new(settings, 0).unwrap(), clients)
    }

    #[test]
    fn an_id_outlives_its_connection_without_meaning_another() {
        let (listener, _clients) = listener(Role::Application, 2);
        let mut table = ConnectionTable::default();
        let accept = || {
            let (transport, peer) = listener.accept().unwrap();
            Connection::new(transport, peer, &listener, Backlog::default())
        };
        let first = table.insert(accept());
        assert_eq!(ConnectionId::from_token(first.to_token()), first);
        assert!(table.remove(first).is_some() && table.remove(first).is_none());
        let second = table.insert(accept());
        assert_eq!(second.key, first.key);
        assert!(table.get_mut(first).is_none() && table.get_mut(second).is_some());
        assert_eq!(table.id_at(second.key), Some(second));
        assert_eq!((table.len(), table.public_len(), table.admin_len()), (1, 1, 0));
    }

    #[test]
    fn connections_for_health_checks_are_counted_apart() {
        let (listener, _clients) = listener(Role::Admin, 1);
        let mut table = ConnectionTable::default();
        let (transport, peer) = listener.accept().unwrap();
        let connection = Connection::new(transport, peer, &listener, Backlog::default());
        let id = table.insert(connection);
        assert_eq!((table.len(), table.public_len(), table.admin_len()), (1, 0, 1));
        assert!(table.remove(id).is_some());
        assert_eq!((table.len(), table.admin_len()), (0, 0));
    }
}
