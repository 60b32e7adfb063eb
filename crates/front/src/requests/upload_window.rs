//! The window through which a worker reads a body while it comes: how much fits, and how it is filled.
//!
//! It belongs to the request, wherever that is (`scheduling::attachments`), and is reached through the slot by whoever owns that, so that nothing is
//! written to memory that has been given back. Runs on the front's thread.

use pelton_link::{BodyEnd, CHUNK_BYTES};

use crate::connection::turn::Turn;
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::requests::uploads;
use crate::response::interim;

/// What a step led to.
pub(crate) enum Step {
    /// There may be more to do.
    On,
    /// Nothing at present.
    Stop(Turn),
}

/// Chunks of a window. Larger ones make nothing faster: the worker empties a quarter of this in the time of a wake-up.
const WINDOW_CHUNKS: usize = 4;

/// With less room than this the rest of the worker's reading is waited for. More than a line of chunked framing can have.
const LEAST_ROOM: usize = 4096;

/// Small windows while memory is scarce: that many requests can share it is worth more than few wake-ups.
pub(crate) fn chunks_for(front: &Front, left: Option<u64>) -> usize {
    let bodies = &front.dispatch.bodies;
    if bodies.free() < bodies.capacity() / 2 {
        return 1;
    }
    let needed = left.map_or(u64::MAX, |left| left.div_ceil(CHUNK_BYTES as u64));
    usize::try_from(needed).unwrap_or(usize::MAX).min(WINDOW_CHUNKS).next_power_of_two()
}

/// How many bytes of the body may come now; an error says what to do instead of receiving.
pub(crate) fn window_room(front: &mut Front, id: ExchangeId) -> Result<usize, Step> {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Err(Step::Stop(Turn::Closed)) };
    let state = exchange.state();
    let Some(upload) = exchange.upload.as_deref_mut() else { return Err(Step::Stop(Turn::Wait)) };
    if !matches!(state, State::Running | State::Responding) {
        // In the queue nothing is received: what has come so far is in the window, the rest can wait where it is.
        upload.late_at = None;
        return Err(Step::Stop(Turn::Wait));
    }
    let stream = exchange.slot.and_then(|place| Some((place, front.dispatch.stream(place, id)?)));
    let Some((place, (end, window, _))) = stream else {
        // Without a window nobody will read the rest: it is thrown away.
        return Ok(usize::MAX);
    };
    let slot = u32::from(place.slot);
    let wants_leave = upload.waits_for_leave && end.is_body_asked_for(slot);
    let must_wait = end.see_body(slot, window).and_then(|()| {
        if window.free() >= LEAST_ROOM { Ok(false) } else { end.await_body_room(slot, window) }
    });
    let room = window.free();
    match must_wait {
        Err(_) => {
            uploads::end_upload(front, id, BodyEnd::Abandoned);
            return Err(Step::Stop(Turn::Wait));
        }
        Ok(true) => {
            upload.late_at = None;
            return Err(Step::Stop(Turn::Wait));
        }
        Ok(false) => {}
    }
    if wants_leave {
        upload.waits_for_leave = false;
        // Once the response has begun there is no place for an interim one. The client may send of itself, or be late.
        if state == State::Running {
            interim::send_continue(front, id);
            return Err(Step::On);
        }
    }
    Ok(room)
}

/// Bytes of a body that is passed on while it comes; where nobody reads it any more they are thrown away.
pub(crate) fn put_into_window(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(upload) = exchange.upload.as_deref_mut() else { return };
    upload.left = upload.left.map(|left| left.saturating_sub(bytes.len() as u64));
    let Some(place) = exchange.slot else { return };
    if let Some((end, window, bodies)) = front.dispatch.stream(place, id) {
        let put = window.push(bodies, bytes);
        debug_assert_eq!(put, bytes.len(), "more was read than there was room for");
        if put < bytes.len() {
            window.end(BodyEnd::Malformed);
        }
        end.publish_body(u32::from(place.slot), window);
    }
}
