//! Bodies that end too early, and what their requests get for it. Runs on the front's thread.

use pelton_http::HttpError;
use pelton_link::{BodyEnd, Why};

use crate::clients::gone_clients;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::turn::Turn;
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::requests::uploads;
use crate::response::own::OwnResponse;
use crate::response::respond;

/// The body ends too early by the client's fault. Whoever waits for a response of the application gets one of ours; one that has begun goes on.
pub(crate) fn fail_upload(front: &mut Front, id: ExchangeId, how: BodyEnd, own: OwnResponse) -> Turn {
    uploads::end_upload(front, id, how);
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    if exchange.state() != State::Running {
        return Turn::Wait;
    }
    if let Some(place) = exchange.slot.take() {
        front.dispatch.abandon(place, Why::Gone, front.clock.now_ms);
    }
    respond::respond_itself(front, id, own);
    // What could not be received is not to be kept for the next request either.
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.keep_alive = false;
        exchange.received_whole = false;
    }
    Turn::Again
}

pub(crate) fn refuse_upload(front: &mut Front, id: ExchangeId, error: HttpError) -> Turn {
    let how = if error == HttpError::BodyTooLarge { BodyEnd::TooLarge } else { BodyEnd::Malformed };
    fail_upload(front, id, how, OwnResponse::Refused(error))
}

/// The client has closed its side before the end of its body.
pub(crate) fn cut_upload(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    if exchange.state() == State::Running
        && let Some(place) = exchange.slot
        && front.dispatch.discard(place)
    {
        exchange.slot = None;
        front.shared.counters.bodies_broken.up();
        closing::close_exchange(front, id, CloseReason::ByClientEarly);
        return Turn::Closed;
    }
    uploads::end_upload(front, id, BodyEnd::Gone);
    gone_clients::client_left(front, id);
    Turn::Wait
}
