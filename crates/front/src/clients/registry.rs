//! How connections come into the table and leave it: what is counted of them, and what the poller knows. Runs on the front's thread.

use crate::connection::http1::Http1;
use crate::connection::{Connection, Driver};
use crate::exchange::Exchange;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};
use crate::transport::peer::Peer;

/// Puts a connection into the tables, with the exchange of its first request. None: the poller cannot take it.
pub(crate) fn take_in(
    front: &mut Front,
    transport: Transport,
    peer: Peer,
    listener: ListenerKind,
) -> Option<(ConnectionId, ExchangeId)> {
    let raw = transport.raw();
    let exchange = front.exchanges.insert(Exchange::new(ConnectionId::nobody(), front.backlog.clone()));
    let driver = match listener.protocol {
        // What speaks HTTP/2 begins as what it is taken for until its first bytes have come.
        Protocol::Http1 | Protocol::Either => Driver::Http1(Http1::new(exchange)),
    };
    let mut connection = Connection::new(transport, peer, listener, driver);
    connection.awaits_proxy_header =
        listener.role == Role::Application && front.settings.proxies.expects_header(&connection.peer);
    let id = front.connections.insert(connection);
    if let Some(exchange) = front.exchanges.get_mut(exchange) {
        exchange.connection = id;
    }
    if front.register(raw, id).is_err() {
        front.connections.remove(id);
        front.exchanges.remove(exchange);
        front.shared.counters.accept_failures.up();
        return None;
    }
    Some((id, exchange))
}

/// Counts a connection for its address; false when that has too many. Clients of unix sockets and of admin listeners and trusted proxies have
/// no limit.
pub(crate) fn count_client(front: &mut Front, id: ConnectionId) -> bool {
    let limit = front.settings.connections_per_client;
    if limit == 0 {
        return true;
    }
    let Some(connection) = front.connections.get_mut(id) else { return true };
    // A proxy has all of its clients' connections.
    let is_proxy = front.settings.proxies.trusted.trusts(connection.peer.address.map(|(ip, _)| ip));
    if connection.role == Role::Admin || connection.peer.text().is_empty() || is_proxy {
        return true;
    }
    let count = front.admission.clients.entry(connection.peer.text().into()).or_default();
    *count += 1;
    connection.is_counted = true;
    *count <= limit
}

/// The other end of `count_client`.
pub(crate) fn forget_client(front: &mut Front, connection: &Connection) {
    if connection.is_counted
        && let Some(count) = front.admission.clients.get_mut(connection.peer.text())
    {
        *count -= 1;
        if *count == 0 {
            front.admission.clients.remove(connection.peer.text());
        }
    }
}

/// A handshake has ended, one way or the other.
pub(crate) fn end_handshake(front: &mut Front) {
    front.handshakes.under_way = front.handshakes.under_way.saturating_sub(1);
}
