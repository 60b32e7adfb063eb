//! WebSockets over HTTP/2 (RFC 8441): bytes go to and fro between one stream and the socket that a worker has taken.
//!
//! The worker is offered one end of a pair of sockets, as with TLS (`websockets/socket_relays`, which keeps those streams, too). When it has taken it the
//! exchange is over but for its line in the log: that waits for the head of the application's response, which becomes one of HTTP/2. Then
//! data is passed on as it is. Windows bound both directions: what the worker does not take is not consumed, and what the client
//! does not take is not read from the worker. Runs on the front's thread.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use pelton_http::h2::ErrorCode;
use pelton_http::h2::websocket::{UpgradeResponse, read_response};
use pelton_http::{ResponseContext, Version};

use crate::connection::close::CloseReason;
use crate::connection::http2::idle;
use crate::exchange::Exchange;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::recording::{metering, request_records};
use crate::response::own::OwnResponse;
use crate::response::respond;
use crate::websockets::relays::{RELAY, STREAM};
use crate::websockets::tunnel::{MOST_HEAD, StreamRelay, Tunnel};

/// A worker has taken the socket of a stream.
pub(crate) fn begin_stream_relay(front: &mut Front, mut exchange: Exchange) {
    let (connection, stream) = (exchange.connection, exchange.stream);
    let Some(http2) = front.http2(connection) else { return };
    let Some(place) = http2.offers.iter().position(|(number, _)| *number == stream) else { return };
    let (_, tunnel) = http2.offers.swap_remove(place);
    exchange.slot = None;
    let relay = StreamRelay { connection, stream, tunnel, exchange: Some(Box::new(exchange)) };
    let key = match insert_stream_relay(front, relay) {
        Ok(key) => key,
        Err(relay) => return refuse_relay(front, relay),
    };
    if let Some(connection) = front.connections.get_mut(connection) {
        connection.transport.stay_awake();
    }
    if let Some(http2) = front.http2(connection) {
        http2.streams.retain(|(number, _)| *number != stream);
        http2.tunnels.push((stream, key));
    }
    front.shared.counters.http2_websockets.up();
    drive_stream_relay(front, key);
}

/// Goes on with one as far as it goes now; frames for its client are made when it is their turn.
pub(crate) fn drive_stream_relay(front: &mut Front, key: usize) {
    let Some(relay) = front.relays.stream_mut(key) else { return };
    let (connection, stream) = (relay.connection, relay.stream);
    let consumed = relay.tunnel.flush_up();
    if let Some(http2) = front.http2(connection) {
        http2.session.consumed(stream, consumed);
    }
    if !pass_on_response(front, key) {
        return;
    }
    settle_stream_relay(front, key);
    front.again.push(connection);
}

/// What follows from what has been passed on.
fn settle_stream_relay(front: &mut Front, key: usize) {
    let Some(relay) = front.relays.stream(key) else { return };
    let (connection, stream) = (relay.connection, relay.stream);
    let tunnel = &relay.tunnel;
    let (waits, is_over) = (tunnel.has_down(), tunnel.is_over());
    let has_ended = tunnel.worker_ended && tunnel.from_worker.is_empty();
    let is_answered = relay.exchange.is_none();
    let Some(http2) = front.http2(connection) else { return };
    http2.session.set_waiting(stream, waits && is_answered);
    if has_ended && is_answered {
        http2.session.end(stream);
    }
    if is_over {
        end_stream_relay(front, connection, stream, None, CloseReason::HandedOver);
    }
}

/// Reads the head of the application's response, and sends it as one of HTTP/2. False: the relay is no more.
fn pass_on_response(front: &mut Front, key: usize) -> bool {
    loop {
        let Some(relay) = front.relays.stream_mut(key) else { return false };
        let Some(exchange) = &mut relay.exchange else { return true };
        let context = ResponseContext {
            version: Version::Http2,
            is_head: false,
            keep_alive: true,
            date: front.clock.date.render(front.clock.unix_seconds),
            known_length: None,
            timing: None,
            transport_security: front.settings.transport_security.as_deref().filter(|_| exchange.is_tls),
        };
        let tunnel = &mut relay.tunnel;
        match read_response(&tunnel.from_worker) {
            UpgradeResponse::Whole { status, fields, length } => {
                let Some(connection) = front.connections.get_mut(relay.connection) else { return false };
                let sent = connection.driver.send_head(exchange, status, fields.iter().copied(), &context);
                if sent.is_ok() {
                    tunnel.from_worker.drain(..length);
                    if let Some(exchange) = relay.exchange.take() {
                        note_relayed(front, *exchange, status, CloseReason::HandedOver);
                    }
                    return true;
                }
            }
            UpgradeResponse::Partial => {
                if tunnel.read_head(&mut front.scratch) {
                    continue;
                }
                if tunnel.from_worker.len() < MOST_HEAD && !tunnel.worker_ended {
                    return true;
                }
            }
            UpgradeResponse::Unusable => {}
        }
        if let Some(relay) = front.relays.remove_stream(key) {
            refuse_relay(front, relay);
        }
        return false;
    }
}

/// What the application has said is no response, or nothing can be relayed: the stream is an exchange again, and gets a response of the front's own.
fn refuse_relay(front: &mut Front, relay: StreamRelay) {
    let StreamRelay { connection, stream, exchange, .. } = relay;
    let Some(exchange) = exchange else { return };
    let id = front.exchanges.insert(*exchange);
    let Some(http2) = front.http2(connection) else { return };
    http2.tunnels.retain(|(number, _)| *number != stream);
    http2.streams.retain(|(number, _)| *number != stream);
    http2.streams.push((stream, id));
    respond::respond_itself(front, id, OwnResponse::Damaged);
    front.again.push(connection);
}

/// The line of a request that has become something else.
fn note_relayed(front: &mut Front, mut exchange: Exchange, status: u16, reason: CloseReason) {
    if let Some(mut record) = exchange.record.take() {
        record.status = status;
        record.responded_us = front.clock.now_us();
        request_records::note_end(front, record, 0, reason.for_the_log());
    }
    exchange.metered.status = status;
    metering::meter_end(front, &exchange);
}

/// The relay of a stream, if it has one.
pub(crate) fn stream_relay(front: &mut Front, id: ConnectionId, stream: u32) -> Option<usize> {
    let http2 = front.http2(id)?;
    http2.tunnels.iter().find(|(number, _)| *number == stream).map(|(_, key)| *key)
}

/// Data of a client for its WebSocket.
pub(crate) fn relay_data(front: &mut Front, id: ConnectionId, stream: u32, key: usize, bytes: &[u8]) {
    let Some(relay) = front.relays.stream_mut(key) else { return };
    let done = relay.tunnel.take_data(bytes);
    if let Some(http2) = front.http2(id) {
        http2.session.consumed(stream, done);
    }
}

/// A client has ended its side of a WebSocket.
pub(crate) fn relay_end(front: &mut Front, key: usize) {
    if let Some(relay) = front.relays.stream_mut(key) {
        relay.tunnel.end_client();
        settle_stream_relay(front, key);
    }
}

/// One frame of what a worker says to its client.
pub(crate) fn make_relayed_frame(front: &mut Front, id: ConnectionId, stream: u32, key: usize) {
    let Some(most) = front.http2(id).map(|http2| http2.session.may_send(stream)) else { return };
    let Some(relay) = front.relays.stream_mut(key).filter(|_| most > 0) else {
        if let Some(http2) = front.http2(id) {
            http2.session.set_waiting(stream, false);
        }
        return;
    };
    let wire = &mut front.wire;
    wire.clear();
    if relay.tunnel.take_down(most, wire).is_err() {
        // The counterpart of a reset (RFC 8441 section 5).
        end_stream_relay(front, id, stream, Some(ErrorCode::Cancel), CloseReason::HandedOver);
        return;
    }
    let Some(connection) = front.connections.get_mut(id) else { return };
    if let Some(http2) = connection.driver.http2()
        && !wire.is_empty()
    {
        http2.session.data(stream, wire.len(), false);
        http2.session.output().extend_from_slice(wire);
    }
    settle_stream_relay(front, key);
}

/// A WebSocket is over, in peace or with a code: its worker sees the end, and the stream counts no more.
pub(crate) fn end_stream_relay(
    front: &mut Front,
    id: ConnectionId,
    stream: u32,
    code: Option<ErrorCode>,
    reason: CloseReason,
) {
    let Some(key) = stream_relay(front, id, stream) else { return };
    if let Some(relay) = front.relays.remove_stream(key)
        && let Some(exchange) = relay.exchange
    {
        note_relayed(front, *exchange, 0, reason);
    }
    let Some(http2) = front.http2(id) else { return };
    http2.tunnels.retain(|(number, _)| *number != stream);
    if let Some(code) = code {
        http2.session.reset(stream, code);
    }
    http2.release(stream);
    idle::idle_from_now(front, id);
    front.again.push(id);
}

/// A client has not taken what its worker said last. False: the stream had ended before.
pub(crate) fn end_late_stream_relay(front: &mut Front, connection: ConnectionId, stream: u32) -> bool {
    let is_late = stream_relay(front, connection, stream).is_some();
    if is_late {
        let code = Some(ErrorCode::EnhanceYourCalm);
        end_stream_relay(front, connection, stream, code, CloseReason::WriteTimeout);
    }
    is_late
}

/// All WebSockets of a connection are over.
pub(crate) fn drop_stream_relays(front: &mut Front, id: ConnectionId, reason: CloseReason) {
    let Some(http2) = front.http2(id) else { return };
    for (_, key) in std::mem::take(&mut http2.tunnels) {
        if let Some(relay) = front.relays.remove_stream(key)
            && let Some(exchange) = relay.exchange
        {
            note_relayed(front, *exchange, 0, reason);
        }
    }
}

/// The request whose head is in `front.head` asks for a WebSocket: `bytes`, to which it points, get what HTTP/1.1 would have said.
pub(crate) fn as_upgrade(front: &mut Front, bytes: &mut Vec<u8>) {
    if front.head.asks_for_websocket
        && let Some(nonce) = front.recording.ids.next().last_chunk()
    {
        pelton_http::h2::websocket::as_upgrade(bytes, &mut front.head, nonce);
    }
}

/// The worker of an exchange is offered one end of a pair.
pub(crate) fn offer_tunnel(front: &mut Front, id: ExchangeId, client_ended: bool) -> io::Result<OwnedFd> {
    let (tunnel, theirs) = Tunnel::offer(client_ended)?;
    let Some(exchange) = front.exchanges.get(id) else { return Err(io::ErrorKind::NotFound.into()) };
    let (connection, stream) = (exchange.connection, exchange.stream);
    if let Some(http2) = front.http2(connection) {
        http2.offers.push((stream, tunnel));
    }
    Ok(theirs)
}

/// Keeps one over HTTP/2, and has the poller tell of its worker's end.
fn insert_stream_relay(front: &mut Front, relay: StreamRelay) -> Result<usize, StreamRelay> {
    let raw = relay.tunnel.worker().as_raw_fd();
    let key = front.relays.streams.insert(relay);
    let both = Interest::READABLE | Interest::WRITABLE;
    let token = Token(RELAY | STREAM | key << 1 | 1);
    if front.poll.registry().register(&mut SourceFd(&raw), token, both).is_err() {
        return Err(front.relays.streams.remove(key));
    }
    if let Some(relay) = front.relays.streams.get(key).filter(|_| front.relays.announced_end) {
        relay.tunnel.tell_end();
    }
    Ok(key)
}
