//! Bodies of streams that are passed on while they come: what is kept here, and when the client may send more.
//!
//! As much is kept as the stream's window allows, and consumed as the worker reads. Runs on the front's thread.

use pelton_link::BodyEnd;

use crate::connection::http2::ends::http2_exchanges;
use crate::connection::turn::Turn;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::paths::Streams;
use crate::requests::upload_window::Step;
use crate::requests::{upload_window, uploads};

/// Passes on what is kept of bodies that are passed on while they come.
pub(crate) fn feed_streams(front: &mut Front, id: ConnectionId) {
    // Nearly always none: the list is looked at only where bodies are passed on at all.
    if front.settings.streams == Streams::Never {
        return;
    }
    for exchange_id in http2_exchanges(front, id) {
        if front.exchanges.get(exchange_id).is_some_and(|exchange| exchange.upload.is_some()) {
            stream_in_http2(front, exchange_id);
        }
    }
}

/// Puts into the worker's window what there is of a body and room for.
pub(crate) fn stream_in_http2(front: &mut Front, id: ExchangeId) -> Turn {
    loop {
        let room = match upload_window::window_room(front, id) {
            Ok(room) => room,
            Err(Step::On) => continue,
            Err(Step::Stop(turn)) => return turn,
        };
        let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
        let (connection_id, stream) = (exchange.connection, exchange.stream);
        let Some(upload) = exchange.upload.as_deref_mut() else { return Turn::Wait };
        if upload.held.is_empty() {
            if upload.ended {
                uploads::end_upload(front, id, BodyEnd::Complete);
            } else if front.connections.get(connection_id).is_some_and(|one| one.transport.peer_done()) {
                uploads::end_upload(front, id, BodyEnd::Gone);
            } else {
                uploads::wait_for_client(front, id);
            }
            return Turn::Wait;
        }
        let mut held = std::mem::take(&mut upload.held);
        let count = room.min(held.len());
        upload_window::put_into_window(front, id, held.get(..count).unwrap_or_default());
        held.drain(..count);
        if let Some(upload) = front.exchanges.get_mut(id).and_then(|exchange| exchange.upload.as_deref_mut())
        {
            upload.held = held;
        }
        if let Some(http2) = front.http2(connection_id) {
            http2.session.consumed(stream, count);
        }
    }
}
