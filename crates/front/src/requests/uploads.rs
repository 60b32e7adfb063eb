//! The clock of clients whose bodies are passed on while they come, and the end of those bodies. Runs on the front's thread.

use pelton_link::BodyEnd;

use crate::clients::slow_clients;
use crate::front::Front;
use crate::ids::ExchangeId;

/// The body has ended, one way or the other.
pub(crate) fn end_upload(front: &mut Front, id: ExchangeId, how: BodyEnd) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if exchange.upload.take().is_none() {
        return;
    }
    if how == BodyEnd::Complete {
        exchange.received_whole = true;
    } else {
        // What follows on the connection cannot be understood.
        exchange.keep_alive = false;
        front.shared.counters.bodies_broken.up();
    }
    if let Some(place) = exchange.slot
        && let Some((end, window, _)) = front.dispatch.stream(place, id)
    {
        window.end(how);
        end.publish_body(u32::from(place.slot), window);
    }
}

/// It is the client's turn: within each window of its clock it has to send a quota (see `slow_clients`).
pub(crate) fn wait_for_client(front: &mut Front, id: ExchangeId) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(upload) = exchange.upload.as_deref_mut() else { return };
    if upload.waits_for_leave || upload.late_at.is_some() {
        return;
    }
    let late_at = front.clock.now_ms + front.settings.body_idle_time.as_millis() as u64;
    upload.late_at = Some(late_at);
    upload.moved = 0;
    if !std::mem::replace(&mut upload.is_listed, true) {
        front.uploads.listed.push((id, upload.number));
    }
    front.uploads.look_at = Some(front.uploads.look_at.map_or(late_at, |look_at| look_at.min(late_at)));
}

pub(crate) fn upload_progress(front: &mut Front, id: ExchangeId, count: usize) {
    let quota = slow_clients::body_quota(front);
    if let Some(exchange) = front.exchanges.get_mut(id)
        && let Some(upload) = exchange.upload.as_deref_mut()
    {
        upload.moved += count as u64;
        if upload.moved >= quota {
            // The next wait begins another window.
            upload.late_at = None;
        }
    }
}

/// Milliseconds until a client may be late with its body.
pub(crate) fn next_upload_ms(front: &Front) -> Option<u64> {
    front.uploads.look_at.map(|look_at| look_at.saturating_sub(front.clock.now_ms))
}
