//! Room for newcomers where as many connections are open as may be: whoever has been idle for longest goes. Runs on the front's thread.

use crate::clients::room;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::event_loop::drive;
use crate::front::Front;

/// Closes one idle connection; false where there is none, or it is not time to look again.
pub(crate) fn close_idle(front: &mut Front) -> bool {
    loop {
        while let Some((id, since)) = front.admission.idle_connections.found.pop_front() {
            if room::idle_since(front, id) != Some(since) {
                continue;
            }
            // A request may have arrived that no event has announced yet: look before closing.
            if let Some(connection) = front.connections.get_mut(id) {
                connection.transport.look_again();
            }
            drive::drive(front, id);
            if room::idle_since(front, id) == Some(since) {
                closing::close(front, id, CloseReason::MadeRoom);
            }
            if front.connections.get(id).is_none() {
                front.admission.idle_connections.is_wanted = false;
                return true;
            }
        }
        if front.clock.now_ms < front.admission.idle_connections.look_at_ms || !room::look_for_idle(front) {
            room::want_room(front);
            return false;
        }
    }
}
