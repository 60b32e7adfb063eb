//! New connections: accepted while there is room for them, and left in the kernel's backlog while there is not.

use std::io;

use mio::unix::SourceFd;

use crate::connection::close::CloseReason;
use crate::connection::http1::Http1;
use crate::connection::{Connection, ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::exchange::{Exchange, ExchangeId};
use crate::memory;
use crate::notices::Level;
use crate::response::own::OwnResponse;
use crate::transport::Transport;
use crate::transport::listener::{Listener, ListenerKind, Protocol, Role, Trouble};
use crate::transport::peer::Peer;

/// Connections accepted from one listener before existing ones get their turn.
const ACCEPT_BATCH: usize = 64;
/// Connections at once that ask for health only. Monitors have one or two each.
const ADMIN_CONNECTIONS: usize = 16;
/// How long accepting pauses when descriptors or memory have run out.
const ACCEPT_PAUSE_MS: u64 = 100;

impl EventLoop {
    /// Accepts what the listeners have, a batch of each.
    #[inline]
    pub(crate) fn accept_all(&mut self) {
        // Nearly never, where connections are used again.
        if self.listeners.may_have_more(self.admission.may_accept) {
            self.accept_from_all();
        }
    }

    fn accept_from_all(&mut self) {
        if self.clock.now_ms < self.admission.pause_until {
            return;
        }
        self.want_no_room();
        for index in 0.. {
            let Some(listener) = self.listeners.get(index) else { return };
            if !listener.may_have_more || !self.is_allowed(listener.kind.role) {
                continue;
            }
            for _ in 0..ACCEPT_BATCH {
                if !(self.has_room(index) || self.make_room_for(index)) {
                    break;
                }
                if !memory::has_headroom() && !self.close_idle() {
                    self.pause_accepting(&memory::refused());
                    return;
                }
                let Some(listener) = self.listeners.get_mut(index) else { return };
                match listener.accept(self.encryption.as_deref()) {
                    Ok((transport, _)) if listener.kind.role == Role::Agent => self.tell_agent(transport),
                    Ok((transport, peer)) => {
                        let kind = listener.kind;
                        self.adopt(transport, peer, kind);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        listener.may_have_more = false;
                        break;
                    }
                    Err(error) => match Trouble::of(&error) {
                        Trouble::OneConnection => {}
                        Trouble::NoListener => {
                            self.lose_listener(index, &error);
                            break;
                        }
                        Trouble::NoResources => {
                            if !self.close_idle() {
                                self.pause_accepting(&error);
                                return;
                            }
                        }
                    },
                }
            }
        }
    }

    /// Whether anything can be accepted now.
    pub(crate) fn may_accept_some(&self) -> bool {
        let may = |listener: &Listener| {
            listener.may_have_more
                && self.is_allowed(listener.kind.role)
                && self.has_room_for(listener.kind.role)
        };
        self.listeners.iter().any(may)
    }

    /// Whether it is time to accept from a listener; those for health checks come first.
    fn is_allowed(&self, role: Role) -> bool {
        self.admission.may_accept || role != Role::Application
    }

    /// Whether one more connection may come. Health checks have places of their own: they are asked for just when
    /// there is no other left.
    fn has_room_for(&self, role: Role) -> bool {
        match role {
            Role::Application | Role::Redirect | Role::PlainOnTls => {
                self.connections.public_len() < self.settings.max_connections
            }
            Role::Admin => self.connections.admin_len() < ADMIN_CONNECTIONS,
            // They end at once.
            Role::Agent => true,
        }
    }

    fn has_room(&self, index: usize) -> bool {
        self.listeners.get(index).is_some_and(|listener| self.has_room_for(listener.kind.role))
    }

    /// At the limit: closes an idle connection, if somebody waits at this listener.
    fn make_room_for(&mut self, index: usize) -> bool {
        let may_look = self.may_make_room();
        let Some(listener) = self.listeners.get_mut(index) else { return false };
        if listener.kind.role != Role::Application {
            return false;
        }
        if !may_look {
            self.want_room();
            return false;
        }
        if !listener.has_waiting() {
            // The next one to come is reported by an event.
            listener.may_have_more = false;
            return false;
        }
        self.close_idle()
    }

    /// Whoever else has the socket has shut it down. To go on asking it would keep the front busy for ever.
    #[cold]
    fn lose_listener(&mut self, index: usize, error: &io::Error) {
        let Some(listener) = self.listeners.get_mut(index) else { return };
        let name = listener.name();
        let registry = self.poll.registry();
        listener.close(|raw| {
            let _ = registry.deregister(&mut SourceFd(&raw));
        });
        self.shared.counters.listeners_lost.up();
        self.shared.notices.post(
            Level::Error,
            format!(
                "the listening socket {name} does not accept connections any more ({error}): another process that \
                 has it, too, has shut it down. What is connected is served on; a restart opens it again"
            ),
        );
    }

    fn pause_accepting(&mut self, error: &io::Error) {
        self.shared.counters.accept_failures.up();
        self.admission.pause_until = self.clock.now_ms + ACCEPT_PAUSE_MS;
        if !self.admission.complained {
            self.admission.complained = true;
            let advice = match error.kind() {
                io::ErrorKind::OutOfMemory => "Give it more memory (ulimit -v, the limit of its container)",
                _ => "Raise the limit of open files (ulimit -n)",
            };
            self.shared.notices.post(
                Level::Error,
                format!(
                    "cannot accept connections: {error}; {} are open. New ones wait in the kernel's backlog until \
                     some close. {advice}",
                    self.connections.len()
                ),
            );
        }
    }

    /// Puts a connection into the tables, with the exchange of its first request. None: the poller cannot take it.
    pub(crate) fn take_in(
        &mut self,
        transport: Transport,
        peer: Peer,
        listener: ListenerKind,
    ) -> Option<(ConnectionId, ExchangeId)> {
        let raw = transport.raw();
        let exchange = self.exchanges.insert(Exchange::new(ConnectionId::nobody(), self.backlog.clone()));
        let driver = match listener.protocol {
            // What speaks HTTP/2 begins as what it is taken for until its first bytes have come.
            Protocol::Http1 | Protocol::Either => Driver::Http1(Http1::new(exchange)),
        };
        let mut connection = Connection::new(transport, peer, listener, driver);
        connection.awaits_proxy_header =
            listener.role == Role::Application && self.settings.proxies.expects_header(&connection.peer);
        let id = self.connections.insert(connection);
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.connection = id;
        }
        if self.register(raw, id).is_err() {
            self.connections.remove(id);
            self.exchanges.remove(exchange);
            self.shared.counters.accept_failures.up();
            return None;
        }
        Some((id, exchange))
    }

    /// Takes a client's connection in. None: the poller cannot take it.
    pub(crate) fn adopt(
        &mut self,
        transport: Transport,
        peer: Peer,
        listener: ListenerKind,
    ) -> Option<ConnectionId> {
        let (id, exchange) = self.take_in(transport, peer, listener)?;
        self.shared.counters.connections_accepted.up();
        let is_shaking = self.connections.get(id).is_some_and(|connection| connection.transport.is_shaking());
        if is_shaking {
            if !self.admit_handshake(id) {
                return Some(id);
            }
        } else {
            // A connection that never says anything has no more time than one that is slow with its head.
            self.set_connection_deadline(id, self.settings.head_time);
        }
        if !self.count_client(id) {
            self.shared.counters.connections_refused.up();
            if is_shaking {
                self.close(id, CloseReason::HandshakeRefused);
                return Some(id);
            }
            self.respond_itself(exchange, OwnResponse::TooManyConnections);
            self.drive(id);
        }
        Some(id)
    }

    /// Counts a connection for its address; false when that has too many. Clients of unix sockets and of admin listeners and trusted proxies have
    /// no limit.
    fn count_client(&mut self, id: ConnectionId) -> bool {
        let limit = self.settings.connections_per_client;
        if limit == 0 {
            return true;
        }
        let Some(connection) = self.connections.get_mut(id) else { return true };
        // A proxy has all of its clients' connections.
        let is_proxy = self.settings.proxies.trusted.trusts(connection.peer.address.map(|(ip, _)| ip));
        if connection.role == Role::Admin || connection.peer.text().is_empty() || is_proxy {
            return true;
        }
        let count = self.admission.clients.entry(connection.peer.text().into()).or_default();
        *count += 1;
        connection.is_counted = true;
        *count <= limit
    }

    /// The other end of `count_client`.
    pub(crate) fn forget_client(&mut self, connection: &Connection) {
        if connection.is_counted
            && let Some(count) = self.admission.clients.get_mut(connection.peer.text())
        {
            *count -= 1;
            if *count == 0 {
                self.admission.clients.remove(connection.peer.text());
            }
        }
    }
}

/// The process's limit of open files, raised as far as it may be: each connection needs one.
pub(crate) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write `limit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1024;
        }
        if limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
    }
    limit.rlim_cur
}
