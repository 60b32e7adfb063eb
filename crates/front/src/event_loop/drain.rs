//! The end in good order: no new connections, requests already received are still answered. Runs on the front's thread.

use mio::unix::SourceFd;

use crate::clients::{accept, kept_connections, room};
use crate::connection::close::CloseReason;
use crate::connection::http2::idle;
use crate::connection::{Driver, closing};
use crate::event_loop::drive;
use crate::front::Front;
use crate::settings::DRAIN_GRACE;

/// Connections that have been idle for longer than this are closed at once: a request in this very moment is unlikely, and the end should not
/// wait for every browser that keeps a connection in stock.
const RECENT_MS: u64 = 5000;

/// Closes listeners and idle connections.
pub(crate) fn begin_drain(front: &mut Front) {
    // Who is in the backlog has connected successfully: to close the listener on them would be a reset. Unless somebody else has it too: then
    // they are served by whoever comes next.
    front.admission.pause_until = 0;
    front.listeners.look_again();
    front.admission.may_accept = true;
    while !kept_connections::has_waiting_room(front) && room::may_accept_some(front) {
        accept::accept_all(front);
        if front.admission.pause_until > 0 {
            break;
        }
    }
    front.draining = true;
    let registry = front.poll.registry();
    front.listeners.close(|raw| {
        let _ = registry.deregister(&mut SourceFd(&raw));
    });
    for id in front.connections.ids() {
        let is_http2 = front.connections.get(id).is_some_and(|one| matches!(one.driver, Driver::Http2(_)));
        if is_http2 {
            idle::leave_http2(front, id);
            continue;
        }
        if !front.is_idle(id) || kept_connections::leave_open(front, id) {
            continue;
        }
        if front.connections.get(id).is_some_and(|connection| connection.transport.is_shaking()) {
            front.set_connection_deadline(id, DRAIN_GRACE);
            continue;
        }
        // A request may have arrived that no event has announced yet: look before closing.
        if let Some(connection) = front.connections.get_mut(id) {
            connection.transport.look_again();
        }
        drive::drive(front, id);
        if !front.is_idle(id) {
            continue;
        }
        let is_fresh = front.connections.get(id).is_some_and(|connection| connection.fresh);
        let ends_ms = front.timers.get(id.key).unwrap_or_default();
        let since_ms = ends_ms.saturating_sub(front.settings.keep_alive_time.as_millis() as u64);
        if is_fresh || front.clock.now_ms.saturating_sub(since_ms) < RECENT_MS {
            front.set_connection_deadline(id, DRAIN_GRACE);
        } else {
            closing::close(front, id, CloseReason::Draining);
        }
    }
}

/// Whether what is left of all connections is WebSockets: nobody waits for a response any more.
pub(crate) fn has_only_websockets(front: &Front) -> bool {
    front.connections.ids().into_iter().all(|id| match front.connections.get(id).map(|one| &one.driver) {
        Some(Driver::Http2(http2)) => http2.has_only_websockets(),
        Some(Driver::Http1(_)) => false,
        None => true,
    })
}
