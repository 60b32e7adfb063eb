//! When a connection of HTTP/2 is idle, and how it is left: the client learns that no more requests are taken. Runs on the front's thread.

use std::time::Duration;

use crate::front::Front;
use crate::ids::ConnectionId;
use crate::settings::DRAIN_GRACE;

/// A GOAWAY asks the client for no more requests; those that it has sent are answered. Whatever is on its way is still taken until it has acknowledged that, or
/// the grace is over.
pub(crate) fn leave_http2(front: &mut Front, id: ConnectionId) {
    if let Some(http2) = front.http2(id) {
        http2.session.announce_leaving();
        front.set_connection_deadline(id, DRAIN_GRACE);
        front.again.push(id);
    }
}

/// A stream has ended: if it was the last one, and no other has begun, the clock of idle connections runs.
pub(crate) fn idle_from_now(front: &mut Front, id: ConnectionId) {
    if front.http2(id).is_some_and(|http2| http2.is_idle() && !http2.head_begun) {
        front.set_connection_deadline(id, idle_time(front));
    }
}

/// How long a connection may be idle.
pub(crate) fn idle_time(front: &Front) -> Duration {
    if front.draining { DRAIN_GRACE } else { front.settings.keep_alive_time }
}
