//! From responses to frames.
//!
//! Each exchange keeps in its own output what its client has not taken, in memory or in a file, as with HTTP/1; here it becomes frames, a few at a time:
//! no more than the windows allow, the most urgent stream first, equals in turns. So a window that stays closed holds up only its own
//! stream, whose clock of slow readers runs. Runs on the front's thread.

use pelton_http::h2::ErrorCode;

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::http2::ends::http2_exchanges;
use crate::connection::http2::wire::Wire;
use crate::connection::http2::{WIRE, ends, idle, wire};
use crate::connection::turn::Turn;
use crate::connection::{Driver, closing};
use crate::exchange::State;
use crate::front::Front;
use crate::handlers::files;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::recording::{metering, request_records};
use crate::requests::uploads;
use crate::response::{own_body, pump};
use crate::settings::LINGER_TIME;
use crate::websockets::stream_relays;

/// Bytes sent on one connection before the others get their turn.
const TURN: usize = 4 << 20;

/// Makes frames of what the streams have to send, and sends them, as far as socket and windows go.
pub(crate) fn send_streams(front: &mut Front, id: ConnectionId) -> Turn {
    if let Some(http2) = front.http2(id) {
        for exchange in std::mem::take(&mut http2.responded) {
            go_on_with(front, exchange);
        }
    }
    let mut sent = 0;
    loop {
        match wire::send_wire(front, id, &mut sent) {
            Ok(Wire::Empty) => {}
            Ok(Wire::Blocked) => return Turn::Wait,
            Err(_) => {
                closing::close(front, id, CloseReason::ByClientEarly);
                return Turn::Closed;
            }
        }
        if sent > TURN {
            front.again.push(id);
            return Turn::Wait;
        }
        if !make_frames(front, id) {
            break;
        }
    }
    end_if_over(front, id)
}

/// Makes frames until there are enough, or nobody may send more; whether there are any.
fn make_frames(front: &mut Front, id: ConnectionId) -> bool {
    loop {
        let Some(http2) = front.http2(id) else { return false };
        if http2.session.output().len() >= WIRE {
            return true;
        }
        let Some(stream) = http2.session.next_sender() else {
            return !http2.session.output().is_empty();
        };
        if let Some(exchange_id) = http2.exchange_of(stream) {
            make_frame(front, id, exchange_id, stream);
        } else if let Some(relay) = stream_relays::stream_relay(front, id, stream) {
            stream_relays::make_relayed_frame(front, id, stream, relay);
        } else if let Some(http2) = front.http2(id) {
            http2.session.set_waiting(stream, false);
        }
    }
}

/// One frame of one stream.
fn make_frame(front: &mut Front, id: ConnectionId, exchange_id: ExchangeId, stream: u32) {
    let Some(connection) = front.connections.get_mut(id) else { return };
    let Driver::Http2(http2) = &mut connection.driver else { return };
    let Some(exchange) = front.exchanges.get_mut(exchange_id) else { return };
    let most = http2.session.may_send(stream);
    let wire = &mut front.wire;
    wire.clear();
    if exchange.output.take(most, wire).is_err() {
        // A file that has become shorter, or a disk that fails.
        ends::drop_stream(front, exchange_id, CloseReason::BrokenResponse);
        return;
    }
    let is_last = exchange.output.is_empty() && exchange.slot.is_none() && exchange.body.is_none();
    let ends = is_last && !exchange.broken;
    if !wire.is_empty() || ends {
        http2.session.data(stream, wire.len(), ends);
        http2.session.output().extend_from_slice(wire);
    }
    let count = wire.len();
    if count == 0 && !is_last {
        // The next piece is of a file that a helper has to read first.
        http2.session.set_waiting(stream, false);
        files::warm_up(front, exchange_id);
        return;
    }
    slow_clients::write_progress(front, exchange_id, count);
    go_on_with(front, exchange_id);
}

/// Looks what is next for an exchange that responds: more of its response, or its end. Frames are made afterwards.
pub(crate) fn go_on_with(front: &mut Front, id: ExchangeId) {
    loop {
        let Some(exchange) = front.exchanges.get_mut(id) else { return };
        let has_output = !exchange.output.is_empty();
        if !matches!(exchange.state(), State::Responding) {
            return;
        }
        let (connection_id, stream) = (exchange.connection, exchange.stream);
        let turn = match exchange.slot {
            Some(place) => pump::pump(front, id, place),
            None if exchange.body.is_some() => own_body::pump_own(front, id),
            None if has_output => Turn::Wait,
            None => {
                finish_stream(front, id);
                return;
            }
        };
        let waits = front.exchanges.get(id).is_some_and(|exchange| !exchange.output.is_empty());
        if let Some(http2) = front.http2(connection_id) {
            http2.session.set_waiting(stream, waits);
        }
        if waits {
            // Whatever the worker does: the client's clock runs, also where its last window has just been fulfilled.
            slow_clients::wait_for_reader(front, id);
            return;
        }
        if turn != Turn::Again {
            return;
        }
    }
}

/// All of a response has become frames.
fn finish_stream(front: &mut Front, id: ExchangeId) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if exchange.broken {
        ends::drop_stream(front, id, CloseReason::BrokenResponse);
        return;
    }
    let (connection_id, stream) = (exchange.connection, exchange.stream);
    exchange.become_state(State::Finished);
    front.shared.counters.responses_finished.up();
    front.exchange_timers.clear(id.key);
    uploads::end_upload(front, id, pelton_link::BodyEnd::Abandoned);
    let Some(mut exchange) = front.exchanges.remove(id) else { return };
    if let Some(mut pending) = exchange.pending.take() {
        pending.body.discard(&mut front.dispatch.bodies);
    }
    if let Some(record) = exchange.record.take() {
        let bytes = exchange.body_bytes();
        request_records::note_end(front, record, bytes, "complete");
    }
    metering::meter_end(front, &exchange);
    let Some(http2) = front.http2(connection_id) else { return };
    http2.session.end(stream);
    http2.release(stream);
    idle::idle_from_now(front, connection_id);
}

/// The client has closed its side, so no window will open any more: what waits for one is given up. A response that has just used its window up
/// may still end: an end needs no window.
fn drop_what_cannot_move(front: &mut Front, id: ConnectionId) {
    for exchange_id in http2_exchanges(front, id) {
        let Some(exchange) = front.exchanges.get(exchange_id) else { continue };
        let (stream, has_output) = (exchange.stream, !exchange.output.is_empty());
        if has_output && front.http2(id).is_some_and(|http2| http2.session.is_stalled(stream)) {
            ends::drop_stream(front, exchange_id, CloseReason::ByClientEarly);
            front.again.push(id);
        }
    }
    let stalled = |http2: &mut super::Http2| {
        let session = &http2.session;
        let all = http2.tunnels.iter().map(|(stream, _)| *stream);
        all.filter(|stream| session.is_stalled(*stream)).collect::<Vec<_>>()
    };
    for stream in front.http2(id).map(stalled).unwrap_or_default() {
        stream_relays::end_stream_relay(
            front,
            id,
            stream,
            Some(ErrorCode::Cancel),
            CloseReason::ByClientEarly,
        );
    }
}

/// Everything is sent: what becomes of the connection.
fn end_if_over(front: &mut Front, id: ConnectionId) -> Turn {
    if front.http2(id).is_some_and(|http2| http2.write_window.take().is_some()) {
        idle::idle_from_now(front, id);
    }
    let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
    if connection.transport.peer_done() && !connection.transport.is_readable() {
        drop_what_cannot_move(front, id);
    }
    let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
    let Driver::Http2(http2) = &mut connection.driver else { return Turn::Wait };
    let is_quiet = http2.is_quiet();
    let is_over = http2.ending || (is_quiet && http2.session.has_left());
    if is_quiet && connection.transport.peer_done() && !connection.transport.is_readable() {
        closing::close(front, id, CloseReason::AfterResponse);
        return Turn::Closed;
    }
    if !is_over || connection.lingering {
        return Turn::Wait;
    }
    connection.lingering = true;
    connection.transport.end_sending();
    front.set_connection_deadline(id, LINGER_TIME);
    closing::linger(front, id)
}
