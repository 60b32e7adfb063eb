//! How a connection ends, whatever it was doing. Runs on the front's thread.

use crate::clients::registry;
use crate::connection::Driver;
use crate::connection::close::CloseReason;
use crate::connection::http2::ends;
use crate::connection::turn::Turn;
use crate::exchange::{Exchange, abandon};
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::websockets::socket_offers;

/// Ends a connection, whatever it was doing.
pub(crate) fn close(front: &mut Front, id: ConnectionId, reason: CloseReason) {
    let Some(connection) = front.connections.get_mut(id) else { return };
    let exchange = match &connection.driver {
        Driver::Http1(http1) => Some(http1.exchange),
        Driver::Http2(_) => None,
    };
    match exchange {
        Some(exchange) if !socket_offers::keep_socket(front, exchange) => return,
        Some(_) => {}
        None => {
            ends::drop_all_streams(front, id, reason);
            ends::say_goodbye(front, id, reason);
        }
    }
    let Some(mut connection) = front.connections.remove(id) else { return };
    if connection.transport.is_shaking() {
        registry::end_handshake(front);
    }
    if connection.is_shared {
        front.part_with(&connection);
    }
    let looks_whole = exchange.and_then(|id| front.exchanges.get(id)).is_some_and(Exchange::would_look_whole);
    if looks_whole {
        connection.transport.reset_at_close();
    }
    front.timers.clear(id.key);
    registry::forget_client(front, &connection);
    reason.counter(&front.shared.counters).up();
    if let Some(exchange) = exchange {
        abandon::abandon(front, exchange, Some(&connection.transport), reason);
    }
}

/// Ends the connection of an exchange that cannot be brought to an end of its own.
pub(crate) fn close_exchange(front: &mut Front, id: ExchangeId, reason: CloseReason) {
    let Some(exchange) = front.exchanges.get(id) else { return };
    let connection_id = exchange.connection;
    if exchange.stream == 0 {
        close(front, connection_id, reason);
    } else {
        // Only its stream; the others go on. What is to be said of it leaves with the next turn.
        ends::drop_stream(front, id, reason);
        front.again.push(connection_id);
    }
}

/// Throws away what a client still sends after its last response.
pub(crate) fn linger(front: &mut Front, id: ConnectionId) -> Turn {
    let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
    // A turn at a time; a client that never stops is cut off at the end of the linger time.
    for _ in 0..16 {
        if !connection.transport.is_readable() {
            break;
        }
        connection.transport.discard(&mut front.scratch);
    }
    if connection.transport.is_readable() {
        front.again.push(id);
    } else if connection.transport.peer_done() {
        close(front, id, CloseReason::AfterResponse);
        return Turn::Closed;
    }
    Turn::Wait
}
