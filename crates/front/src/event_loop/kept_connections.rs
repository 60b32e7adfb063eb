//! Connections that stay open while a reloader starts the program again. Runs on the front's thread.
//!
//! Without it a drain has to guess whether on an idle connection a request is on its way: to close it then would lose the request, and to wait for it
//! would hold up the reload. So an idle connection is put into the waiting room ([`pelton_link::WaitingRoom`]) as it is, unread bytes included, and the next
//! front takes it out. The listeners' backlog needs nothing: their sockets stay open elsewhere.

use socket2::Socket;

use crate::connection::ConnectionId;
use crate::event_loop::EventLoop;
use crate::transport::listener::Role;
use crate::transport::peer::Peer;

impl EventLoop {
    /// Whether connections have somewhere to wait.
    pub(crate) fn has_waiting_room(&self) -> bool {
        self.settings.waiting_room.is_some()
    }

    /// Takes over what the front before this one has left. Before the first accept: these clients came earlier.
    pub(crate) fn take_over_connections(&mut self) {
        let Some(room) = self.settings.waiting_room.clone() else { return };
        while self.connections.public_len() < self.settings.max_connections
            && let Some((listener, descriptor)) = room.take()
        {
            let socket = Socket::from(descriptor);
            // One whose client has gone meanwhile has no name any more.
            if let Some(listener) = self.listeners.find(Role::Application, listener)
                && socket.set_nonblocking(true).is_ok()
                && let Ok(address) = socket.peer_addr()
                // Nobody puts one there that is encrypted.
                && let Ok(transport) = listener.transport(socket, None)
            {
                let kind = listener.kind;
                if let Some(id) = self.adopt(transport, Peer::new(&address), kind)
                    && let Some(connection) = self.connections.get_mut(id)
                {
                    connection.fresh = false;
                    self.set_connection_deadline(id, self.settings.keep_alive_time);
                }
            }
        }
    }

    /// Puts an idle connection into the waiting room, if there is one; whether that is done.
    pub(crate) fn leave_open(&mut self, id: ConnectionId) -> bool {
        let Some(room) = &self.settings.waiting_room else { return false };
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let is_between = connection.is_between_requests(&self.exchanges);
        let Some(http1) = connection.driver.http1() else { return false };
        let exchange_id = http1.exchange;
        let is_idle = is_between
            && http1.input.is_empty()
            && !connection.lingering
            && !connection.transport.peer_done();
        // Of one that began with a PROXY header, the next front would want another.
        let is_plain = connection.role == Role::Application && !self.settings.proxies.proxy_protocol;
        if !is_idle || !is_plain {
            return false;
        }
        let Some(socket) = connection.transport.as_handover() else { return false };
        if room.put(connection.listener, socket).is_err() {
            return false;
        }
        // The poller goes on with a socket as long as anybody has it open.
        self.timers.clear(id.key);
        self.exchanges.remove(exchange_id);
        if let Some(connection) = self.connections.remove(id) {
            self.deregister(&connection.transport);
            self.forget_client(&connection);
        }
        self.shared.counters.connections_left_open.up();
        true
    }
}
