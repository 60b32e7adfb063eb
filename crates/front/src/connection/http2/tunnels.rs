//! WebSockets over HTTP/2 (RFC 8441): bytes go to and fro between one stream and the socket that a worker has taken.
//!
//! The worker is offered one end of a pair of sockets, as with TLS (`event_loop/relays`, which keeps those streams, too). When it has taken it the
//! exchange is over but for its line in the log: that waits for the head of the application's response, which becomes one of HTTP/2. Then
//! data is passed on as it is. Windows bound both directions: what the worker does not take is not consumed, and what the client
//! does not take is not read from the worker. Runs on the front's thread.

use std::io;
use std::os::fd::OwnedFd;

use pelton_http::h2::ErrorCode;
use pelton_http::h2::websocket::{UpgradeResponse, read_response};
use pelton_http::{ResponseContext, Version};

use super::tunnel::{MOST_HEAD, Tunnel};
use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::exchange::{Exchange, ExchangeId};
use crate::response::own::OwnResponse;

/// A stream whose worker has taken its socket.
#[derive(Debug)]
pub(crate) struct StreamRelay {
    pub(crate) connection: ConnectionId,
    pub(crate) stream: u32,
    pub(crate) tunnel: Box<Tunnel>,
    /// The exchange, before the application has answered.
    exchange: Option<Box<Exchange>>,
}

impl EventLoop {
    /// A worker has taken the socket of a stream.
    pub(crate) fn begin_stream_relay(&mut self, mut exchange: Exchange) {
        let (connection, stream) = (exchange.connection, exchange.stream);
        let Some(http2) = self.http2(connection) else { return };
        let Some(place) = http2.offers.iter().position(|(number, _)| *number == stream) else { return };
        let (_, tunnel) = http2.offers.swap_remove(place);
        exchange.slot = None;
        let relay = StreamRelay { connection, stream, tunnel, exchange: Some(Box::new(exchange)) };
        let key = match self.insert_stream_relay(relay) {
            Ok(key) => key,
            Err(relay) => return self.refuse_relay(relay),
        };
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.transport.stay_awake();
        }
        if let Some(http2) = self.http2(connection) {
            http2.streams.retain(|(number, _)| *number != stream);
            http2.tunnels.push((stream, key));
        }
        self.shared.counters.http2_websockets.up();
        self.drive_stream_relay(key);
    }

    /// Goes on with one as far as it goes now; frames for its client are made when it is their turn.
    pub(crate) fn drive_stream_relay(&mut self, key: usize) {
        let Some(relay) = self.relays.stream_mut(key) else { return };
        let (connection, stream) = (relay.connection, relay.stream);
        let consumed = relay.tunnel.flush_up();
        if let Some(http2) = self.http2(connection) {
            http2.session.consumed(stream, consumed);
        }
        if !self.pass_on_response(key) {
            return;
        }
        self.settle_stream_relay(key);
        self.again.push(connection);
    }

    /// What follows from what has been passed on.
    fn settle_stream_relay(&mut self, key: usize) {
        let Some(relay) = self.relays.stream(key) else { return };
        let (connection, stream) = (relay.connection, relay.stream);
        let tunnel = &relay.tunnel;
        let (waits, is_over) = (tunnel.has_down(), tunnel.is_over());
        let has_ended = tunnel.worker_ended && tunnel.from_worker.is_empty();
        let is_answered = relay.exchange.is_none();
        let Some(http2) = self.http2(connection) else { return };
        http2.session.set_waiting(stream, waits && is_answered);
        if has_ended && is_answered {
            http2.session.end(stream);
        }
        if is_over {
            self.end_stream_relay(connection, stream, None, CloseReason::HandedOver);
        }
    }

    /// Reads the head of the application's response, and sends it as one of HTTP/2. False: the relay is no more.
    fn pass_on_response(&mut self, key: usize) -> bool {
        loop {
            let Some(relay) = self.relays.stream_mut(key) else { return false };
            let Some(exchange) = &mut relay.exchange else { return true };
            let context = ResponseContext {
                version: Version::Http2,
                is_head: false,
                keep_alive: true,
                date: self.clock.date.render(self.clock.unix_seconds),
                known_length: None,
                timing: None,
                transport_security: self.settings.transport_security.as_deref().filter(|_| exchange.is_tls),
            };
            let tunnel = &mut relay.tunnel;
            match read_response(&tunnel.from_worker) {
                UpgradeResponse::Whole { status, fields, length } => {
                    let Some(connection) = self.connections.get_mut(relay.connection) else { return false };
                    let sent =
                        connection.driver.send_head(exchange, status, fields.iter().copied(), &context);
                    if sent.is_ok() {
                        tunnel.from_worker.drain(..length);
                        if let Some(exchange) = relay.exchange.take() {
                            self.note_relayed(*exchange, status, CloseReason::HandedOver);
                        }
                        return true;
                    }
                }
                UpgradeResponse::Partial => {
                    if tunnel.read_head(&mut self.scratch) {
                        continue;
                    }
                    if tunnel.from_worker.len() < MOST_HEAD && !tunnel.worker_ended {
                        return true;
                    }
                }
                UpgradeResponse::Unusable => {}
            }
            if let Some(relay) = self.relays.remove_stream(key) {
                self.refuse_relay(relay);
            }
            return false;
        }
    }

    /// What the application has said is no response, or nothing can be relayed: the stream is an exchange again, and gets a response of the front's own.
    fn refuse_relay(&mut self, relay: StreamRelay) {
        let StreamRelay { connection, stream, exchange, .. } = relay;
        let Some(exchange) = exchange else { return };
        let id = self.exchanges.insert(*exchange);
        let Some(http2) = self.http2(connection) else { return };
        http2.tunnels.retain(|(number, _)| *number != stream);
        http2.streams.retain(|(number, _)| *number != stream);
        http2.streams.push((stream, id));
        self.respond_itself(id, OwnResponse::Damaged);
        self.again.push(connection);
    }

    /// The line of a request that has become something else.
    fn note_relayed(&mut self, mut exchange: Exchange, status: u16, reason: CloseReason) {
        if let Some(mut record) = exchange.record.take() {
            record.status = status;
            record.responded_us = self.clock.now_us();
            self.note_end(record, 0, reason.for_the_log());
        }
        exchange.metered.status = status;
        self.meter_end(&exchange);
    }

    /// The relay of a stream, if it has one.
    pub(super) fn stream_relay(&mut self, id: ConnectionId, stream: u32) -> Option<usize> {
        let http2 = self.http2(id)?;
        http2.tunnels.iter().find(|(number, _)| *number == stream).map(|(_, key)| *key)
    }

    /// Data of a client for its WebSocket.
    pub(super) fn relay_data(&mut self, id: ConnectionId, stream: u32, key: usize, bytes: &[u8]) {
        let Some(relay) = self.relays.stream_mut(key) else { return };
        let done = relay.tunnel.take_data(bytes);
        if let Some(http2) = self.http2(id) {
            http2.session.consumed(stream, done);
        }
    }

    /// A client has ended its side of a WebSocket.
    pub(super) fn relay_end(&mut self, key: usize) {
        if let Some(relay) = self.relays.stream_mut(key) {
            relay.tunnel.end_client();
            self.settle_stream_relay(key);
        }
    }

    /// One frame of what a worker says to its client.
    pub(super) fn make_relayed_frame(&mut self, id: ConnectionId, stream: u32, key: usize) {
        let Some(most) = self.http2(id).map(|http2| http2.session.may_send(stream)) else { return };
        let Some(relay) = self.relays.stream_mut(key).filter(|_| most > 0) else {
            if let Some(http2) = self.http2(id) {
                http2.session.set_waiting(stream, false);
            }
            return;
        };
        let wire = &mut self.wire;
        wire.clear();
        if relay.tunnel.take_down(most, wire).is_err() {
            // The counterpart of a reset (RFC 8441 section 5).
            self.end_stream_relay(id, stream, Some(ErrorCode::Cancel), CloseReason::HandedOver);
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(http2) = connection.driver.http2()
            && !wire.is_empty()
        {
            http2.session.data(stream, wire.len(), false);
            http2.session.output().extend_from_slice(wire);
        }
        self.settle_stream_relay(key);
    }

    /// A WebSocket is over, in peace or with a code: its worker sees the end, and the stream counts no more.
    pub(super) fn end_stream_relay(
        &mut self,
        id: ConnectionId,
        stream: u32,
        code: Option<ErrorCode>,
        reason: CloseReason,
    ) {
        let Some(key) = self.stream_relay(id, stream) else { return };
        if let Some(relay) = self.relays.remove_stream(key)
            && let Some(exchange) = relay.exchange
        {
            self.note_relayed(*exchange, 0, reason);
        }
        let Some(http2) = self.http2(id) else { return };
        http2.tunnels.retain(|(number, _)| *number != stream);
        if let Some(code) = code {
            http2.session.reset(stream, code);
        }
        http2.release(stream);
        self.idle_from_now(id);
        self.again.push(id);
    }

    /// A client has not taken what its worker said last. False: the stream had ended before.
    pub(crate) fn end_late_stream_relay(&mut self, connection: ConnectionId, stream: u32) -> bool {
        let is_late = self.stream_relay(connection, stream).is_some();
        if is_late {
            let code = Some(ErrorCode::EnhanceYourCalm);
            self.end_stream_relay(connection, stream, code, CloseReason::WriteTimeout);
        }
        is_late
    }

    /// All WebSockets of a connection are over.
    pub(super) fn drop_stream_relays(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(http2) = self.http2(id) else { return };
        for (_, key) in std::mem::take(&mut http2.tunnels) {
            if let Some(relay) = self.relays.remove_stream(key)
                && let Some(exchange) = relay.exchange
            {
                self.note_relayed(*exchange, 0, reason);
            }
        }
    }

    /// The request whose head is in `self.head` asks for a WebSocket: `bytes`, to which it points, get what HTTP/1.1 would have said.
    pub(super) fn as_upgrade(&mut self, bytes: &mut Vec<u8>) {
        if self.head.asks_for_websocket
            && let Some(nonce) = self.recording.ids.next().last_chunk()
        {
            pelton_http::h2::websocket::as_upgrade(bytes, &mut self.head, nonce);
        }
    }

    /// The worker of an exchange is offered one end of a pair.
    pub(crate) fn offer_tunnel(&mut self, id: ExchangeId, client_ended: bool) -> io::Result<OwnedFd> {
        let (tunnel, theirs) = Tunnel::offer(client_ended)?;
        let Some(exchange) = self.exchanges.get(id) else { return Err(io::ErrorKind::NotFound.into()) };
        let (connection, stream) = (exchange.connection, exchange.stream);
        if let Some(http2) = self.http2(connection) {
            http2.offers.push((stream, tunnel));
        }
        Ok(theirs)
    }
}
