//! Whether there is room for another client, and who has been idle for longest where there is none.
//!
//! Only at the limit, and only while somebody waits to be accepted, all connections are looked through, at most forty times a second, however many
//! newcomers there are. Who is closed for it is `making_room`'s business. Runs on the front's thread.

use crate::front::Front;
use crate::ids::ConnectionId;
use crate::transport::listener::{Listener, Role};

/// Connections at once that ask for health only. Monitors have one or two each.
const ADMIN_CONNECTIONS: usize = 16;

/// For so long an idle connection is left alone: the client's next request may be on its way. No longer, since
/// whoever waits for the room waits as long: where 16 connections fit and 300 idle ones come, with a second
/// here the next client would wait for 18.
const LEAST_IDLE_MS: u64 = 50;

/// How often all connections are looked through.
const LOOK_EVERY_MS: u64 = 25;

/// How many idle ones are remembered of one look.
const FOUND_AT_ONCE: usize = 1024;

/// Whether anything can be accepted now.
pub(crate) fn may_accept_some(front: &Front) -> bool {
    let may = |listener: &Listener| {
        listener.may_have_more
            && is_allowed(front, listener.kind.role)
            && has_room_for(front, listener.kind.role)
    };
    front.listeners.iter().any(may)
}

/// Whether it is time to accept from a listener; those for health checks come first.
pub(crate) fn is_allowed(front: &Front, role: Role) -> bool {
    front.admission.may_accept || role != Role::Application
}

/// Whether one more connection may come. Health checks have places of their own: they are asked for just when
/// there is no other left.
fn has_room_for(front: &Front, role: Role) -> bool {
    match role {
        Role::Application | Role::Redirect | Role::PlainOnTls => {
            front.connections.public_len() < front.settings.max_connections
        }
        Role::Admin => front.connections.admin_len() < ADMIN_CONNECTIONS,
        // They end at once.
        Role::Agent => true,
    }
}

pub(crate) fn has_room(front: &Front, index: usize) -> bool {
    front.listeners.get(index).is_some_and(|listener| has_room_for(front, listener.kind.role))
}

/// Milliseconds until `making_room` may succeed; None while nobody waits for it.
pub(crate) fn next_room_ms(front: &Front) -> Option<u64> {
    let idle = &front.admission.idle_connections;
    idle.is_wanted.then(|| idle.look_at_ms.saturating_sub(front.clock.now_ms))
}

/// Whether it makes sense to ask for room now.
pub(crate) fn may_make_room(front: &Front) -> bool {
    !front.admission.idle_connections.found.is_empty()
        || front.clock.now_ms >= front.admission.idle_connections.look_at_ms
}

/// Somebody waits for room, and may have to wait a little longer.
pub(crate) fn want_room(front: &mut Front) {
    front.admission.idle_connections.is_wanted = true;
}

/// Nobody waits for room.
pub(crate) fn want_no_room(front: &mut Front) {
    front.admission.idle_connections.is_wanted = false;
}

/// Looks through all connections; whether any of them may go.
pub(crate) fn look_for_idle(front: &mut Front) -> bool {
    front.admission.idle_connections.look_at_ms = front.clock.now_ms + LOOK_EVERY_MS;
    let latest = front.clock.now_ms.checked_sub(LEAST_IDLE_MS);
    let mut found: Vec<_> = front
        .connections
        .ids()
        .into_iter()
        .filter_map(|id| idle_since(front, id).map(|since| (id, since)))
        .filter(|(_, since)| latest.is_some_and(|latest| *since <= latest))
        .collect();
    found.sort_unstable_by_key(|(_, since)| *since);
    found.truncate(FOUND_AT_ONCE);
    front.admission.idle_connections.found = found.into();
    !front.admission.idle_connections.found.is_empty()
}

/// Since when nothing has come on a connection that waits for a request; None where it does not.
pub(crate) fn idle_since(front: &Front, id: ConnectionId) -> Option<u64> {
    let connection = front.connections.get(id)?;
    let is_idle = connection.is_between_requests(&front.exchanges)
        && connection.has_no_input()
        && !connection.lingering
        && connection.role == Role::Application;
    let given = if connection.fresh { front.settings.head_time } else { front.settings.keep_alive_time };
    let ends = front.timers.get(id.key).filter(|_| is_idle)?;
    Some(ends.saturating_sub(given.as_millis() as u64))
}
