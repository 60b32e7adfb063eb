//! Drives a connection as far as it goes: bytes in, requests on, responses out. Runs on the front's thread.

use crate::connection::http2::frames;
use crate::connection::turn::Turn;
use crate::connection::{Driver, closing};
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::requests::{receive, streaming};
use crate::response::pump;

/// Takes a connection as far as it goes now.
#[inline]
pub(crate) fn drive(front: &mut Front, id: ConnectionId) {
    loop {
        let Some(connection) = front.connections.get_mut(id) else { return };
        let turn = if connection.lingering {
            closing::linger(front, id)
        } else {
            let exchange_id = match &connection.driver {
                Driver::Http1(http1) => http1.exchange,
                Driver::Http2(_) => {
                    frames::drive_http2(front, id);
                    return;
                }
            };
            let Some(exchange) = front.exchanges.get(exchange_id) else { return };
            match exchange.state() {
                // Bytes of a handshake are none of HTTP (`handshakes`).
                State::Receiving if connection.transport.is_shaking() => Turn::Wait,
                State::Receiving => receive::receive(front, id),
                State::Running if exchange.upload.is_some() => streaming::stream_in(front, exchange_id),
                State::Queued | State::Running => Turn::Wait,
                State::Responding | State::Finished => match pump::send_on(front, exchange_id) {
                    Turn::Wait => receive::receive_more(front, exchange_id),
                    turn => turn,
                },
            }
        };
        if turn != Turn::Again {
            return;
        }
    }
}

/// Takes the connection of an exchange as far as it goes now.
#[inline]
pub(crate) fn drive_exchange(front: &mut Front, id: ExchangeId) {
    if let Some(exchange) = front.exchanges.get(id) {
        drive(front, exchange.connection);
    }
}
