//! Connections that stay open while a reloader starts the program again. Runs on the front's thread.
//!
//! Without it a drain has to guess whether on an idle connection a request is on its way: to close it then would lose the request, and to wait for it
//! would hold up the reload. So an idle connection is put into the waiting room ([`pelton_link::WaitingRoom`]) as it is, unread bytes included, and the next
//! front takes it out. The listeners' backlog needs nothing: their sockets stay open elsewhere.

use crate::clients::registry;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::transport::listener::Role;

/// Whether connections have somewhere to wait.
pub(crate) fn has_waiting_room(front: &Front) -> bool {
    front.settings.waiting_room.is_some()
}

/// Puts an idle connection into the waiting room, if there is one; whether that is done.
pub(crate) fn leave_open(front: &mut Front, id: ConnectionId) -> bool {
    let Some(room) = &front.settings.waiting_room else { return false };
    let Some(connection) = front.connections.get_mut(id) else { return false };
    let is_between = connection.is_between_requests(&front.exchanges);
    let Some(http1) = connection.driver.http1() else { return false };
    let exchange_id = http1.exchange;
    let is_idle =
        is_between && http1.input.is_empty() && !connection.lingering && !connection.transport.peer_done();
    // Of one that began with a PROXY header, the next front would want another.
    let is_plain = connection.role == Role::Application && !front.settings.proxies.proxy_protocol;
    if !is_idle || !is_plain {
        return false;
    }
    let Some(socket) = connection.transport.as_handover() else { return false };
    if room.put(connection.listener, socket).is_err() {
        return false;
    }
    // The poller goes on with a socket as long as anybody has it open.
    front.timers.clear(id.key);
    front.exchanges.remove(exchange_id);
    if let Some(connection) = front.connections.remove(id) {
        front.deregister(&connection.transport);
        registry::forget_client(front, &connection);
    }
    front.shared.counters.connections_left_open.up();
    true
}
