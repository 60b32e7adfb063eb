//! What happens when the time of a connection of HTTP/2 is over. Runs on the front's thread.

use pelton_http::h2;

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::http2::{ends, send};
use crate::connection::turn::Turn;
use crate::connection::{Driver, closing};
use crate::front::Front;
use crate::ids::ConnectionId;

/// The deadline of a connection has come: of a head, of the pause between requests, or of its leaving.
pub(crate) fn on_http2_deadline(front: &mut Front, id: ConnectionId) {
    let is_draining = front.draining;
    let Some(http2) = front.http2(id) else { return };
    if http2.ending {
        closing::close(front, id, CloseReason::WriteTimeout);
        return;
    }
    if http2.head_begun && !is_draining {
        http2.session.fail(h2::Fault::Late);
        front.shared.counters.heads_late.up();
        ends::give_up_session(front, id, h2::Fault::Late);
        send::send_streams(front, id);
        return;
    }
    let is_idle = http2.is_idle();
    if is_idle && !is_draining && awaits_reader(front, id) {
        return;
    }
    let Some(http2) = front.http2(id) else { return };
    // After this the client knows which of its requests were not taken.
    http2.session.leave();
    let turn = send::send_streams(front, id);
    if is_idle && turn != Turn::Closed && !awaits_reader(front, id) {
        closing::close(front, id, if is_draining { CloseReason::Draining } else { CloseReason::Idle });
    }
}

/// The streams are over, but their client has not taken all of their frames: it has as much time as any reader, window by window, and is closed
/// when it has used that up. False where it has taken everything.
fn awaits_reader(front: &mut Front, id: ConnectionId) -> bool {
    let (quota, now_ms) = (slow_clients::write_quota(front), front.clock.now_ms);
    let Some(connection) = front.connections.get_mut(id) else { return false };
    let unacknowledged = connection.transport.unacknowledged();
    let has_unsent = connection.transport.has_unsent();
    let Driver::Http2(http2) = &mut connection.driver else { return false };
    if http2.unsent() == 0 && !has_unsent {
        return false;
    }
    let taken = http2.sent_in_all.saturating_sub(unacknowledged);
    match http2.write_window {
        Some((_, ends_ms)) if now_ms < ends_ms => front.timers.set(id.key, ends_ms),
        Some((before, _)) if taken.saturating_sub(before) < quota => {
            closing::close(front, id, CloseReason::WriteTimeout);
        }
        _ => {
            let ends_ms = now_ms + front.settings.write_idle_time.as_millis() as u64;
            http2.write_window = Some((taken, ends_ms));
            front.timers.set(id.key, ends_ms);
        }
    }
    true
}
