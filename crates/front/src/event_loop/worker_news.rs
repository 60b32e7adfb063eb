//! A worker has published something: its response goes on. Runs on the front's thread.

use crate::connection::http2::{send, stream_bodies};
use crate::connection::turn::Turn;
use crate::event_loop::drive;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::requests::receive;
use crate::response::pump;
use crate::websockets::socket_offers;

/// A worker has written something, or has room for more of a body.
pub(crate) fn on_http2_news(front: &mut Front, id: ExchangeId, place: Place) {
    let Some(exchange) = front.exchanges.get(id) else { return };
    let connection_id = exchange.connection;
    if pump::pump(front, id, place) != Turn::Closed {
        send::go_on_with(front, id);
        if front.exchanges.get(id).is_some_and(|exchange| exchange.upload.is_some()) {
            stream_bodies::stream_in_http2(front, id);
        }
    }
    drive::drive(front, connection_id);
}

/// A worker has reported news in a slot.
#[inline]
pub(crate) fn on_news(front: &mut Front, place: Place) {
    front.dispatch.look(place, front.clock.now_ms);
    match front.dispatch.owner(place) {
        Some(id) if front.dispatch.has_taken_socket(place) => socket_offers::hand_over(front, id, place),
        Some(id) if front.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) => {
            on_http2_news(front, id, place);
        }
        Some(id) => match pump::pump(front, id, place) {
            Turn::Again => drive::drive_exchange(front, id),
            // The news may be that there is room for more of its body.
            Turn::Wait => {
                if receive::receive_more(front, id) == Turn::Again {
                    drive::drive_exchange(front, id);
                }
            }
            Turn::Closed => {}
        },
        None => front.dispatch.reap(place, front.clock.now_ms),
    }
}
