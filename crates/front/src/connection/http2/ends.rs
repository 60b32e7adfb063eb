//! How streams end before their time, and all of a connection with them. Runs on the front's thread.

use pelton_http::h2;
use pelton_http::h2::ErrorCode;

use crate::connection::close::CloseReason;
use crate::connection::http2::{idle, wire};
use crate::exchange::abandon;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::notices::Level;
use crate::websockets::{socket_offers, stream_relays};

/// Reads of what a client has sent to which the end has been announced.
const GOODBYE_READS: usize = 16;

/// The exchanges of a connection.
pub(crate) fn http2_exchanges(front: &mut Front, id: ConnectionId) -> Vec<ExchangeId> {
    front.http2(id).map(|http2| http2.exchanges()).unwrap_or_default()
}

/// Nobody waits for any response of a connection any more.
pub(crate) fn drop_all_streams(front: &mut Front, id: ConnectionId, reason: CloseReason) {
    for exchange_id in http2_exchanges(front, id) {
        if socket_offers::keep_socket(front, exchange_id) {
            abandon::abandon(front, exchange_id, None, reason);
        }
    }
    stream_relays::drop_stream_relays(front, id, reason);
    if let Some(http2) = front.http2(id) {
        http2.streams.clear();
    }
}

/// The connection is about to be closed for a reason that is not the client's: a GOAWAY says which of its requests were taken, as far as its socket
/// has room for that.
pub(crate) fn say_goodbye(front: &mut Front, id: ConnectionId, reason: CloseReason) {
    if !matches!(reason, CloseReason::Draining | CloseReason::Idle | CloseReason::MadeRoom) {
        return;
    }
    let Some(http2) = front.http2(id).filter(|http2| !http2.ending) else { return };
    http2.session.leave();
    if wire::send_wire(front, id, &mut 0).is_err() {
        return;
    }
    let Some(connection) = front.connections.get_mut(id) else { return };
    connection.transport.end_sending();
    // To close with bytes unread would be a reset, which may overtake what was said.
    for _ in 0..GOODBYE_READS {
        connection.transport.look_again();
        connection.transport.discard(&mut front.scratch);
        if !connection.transport.is_readable() {
            break;
        }
    }
}

/// The client has broken a rule, or costs too much: GOAWAY says which, and nobody waits for the responses any more.
pub(crate) fn give_up_session(front: &mut Front, id: ConnectionId, fault: h2::Fault) {
    let counters = &front.shared.counters;
    match fault.code() {
        h2::ErrorCode::EnhanceYourCalm => counters.http2_calmed.up(),
        _ => counters.http2_faults.up(),
    }
    let peer =
        front.connections.get(id).map(|connection| connection.peer.text().to_vec()).unwrap_or_default();
    let from = String::from_utf8_lossy(&peer);
    let message = format!("a connection of HTTP/2 from {from} was given up: {}", fault.detail());
    front.shared.notices.post(Level::Debug, message);
    drop_all_streams(front, id, CloseReason::ByClientEarly);
    if let Some(http2) = front.http2(id) {
        http2.ending = true;
        // Until the client has taken the GOAWAY.
        front.set_connection_deadline(id, front.settings.write_idle_time);
    }
}

/// Breaks a stream off: nobody waits for its exchange any more.
pub(crate) fn drop_stream(front: &mut Front, id: ExchangeId, reason: CloseReason) {
    let Some(exchange) = front.exchanges.get(id) else { return };
    let (connection_id, stream) = (exchange.connection, exchange.stream);
    let is_kept = socket_offers::keep_socket(front, id);
    let code = match reason {
        CloseReason::BrokenResponse => ErrorCode::InternalError,
        CloseReason::WriteTimeout | CloseReason::Stalled => ErrorCode::EnhanceYourCalm,
        _ => ErrorCode::Cancel,
    };
    reason.counter(&front.shared.counters).up();
    if !is_kept {
        // A worker was quicker.
        stream_relays::end_stream_relay(front, connection_id, stream, Some(code), reason);
        return;
    }
    abandon::abandon(front, id, None, reason);
    let Some(http2) = front.http2(connection_id) else { return };
    http2.session.reset(stream, code);
    http2.release(stream);
    idle::idle_from_now(front, connection_id);
}
