//! From responses to frames.
//!
//! Each exchange keeps in its own output what its client has not taken, in memory or in a file, as with HTTP/1; here it becomes frames, a few at a time:
//! no more than the windows allow, the most urgent stream first, equals in turns. So a window that stays closed holds up only its own
//! stream, whose clock of slow readers runs. Runs on the front's thread.

use std::io;

use pelton_http::h2::ErrorCode;
use pelton_http::{Encoded, ResponseContext, ResponseError};

use super::WIRE;
use super::receive::http2_exchanges;
use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::{Exchange, ExchangeId, State};
use crate::scheduling::dispatch::Place;
use crate::settings::LINGER_TIME;

/// Bytes sent on one connection before the others get their turn.
const TURN: usize = 4 << 20;

/// How a write went.
pub(super) enum Wire {
    Empty,
    Blocked,
}

impl Driver {
    /// Writes the head of a response in frames.
    #[inline]
    pub(crate) fn send_head<'f>(
        &mut self,
        exchange: &Exchange,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        context: &ResponseContext<'_>,
    ) -> Result<Encoded, ResponseError> {
        match self {
            Driver::Http2(http2) => http2.session.send_head(exchange.stream, status, fields, context),
            Driver::Http1(_) => Err(ResponseError::Status),
        }
    }
}

impl EventLoop {
    /// Makes frames of what the streams have to send, and sends them, as far as socket and windows go.
    pub(super) fn send_streams(&mut self, id: ConnectionId) -> Turn {
        if let Some(http2) = self.http2(id) {
            for exchange in std::mem::take(&mut http2.responded) {
                self.go_on_with(exchange);
            }
        }
        let mut sent = 0;
        loop {
            match self.send_wire(id, &mut sent) {
                Ok(Wire::Empty) => {}
                Ok(Wire::Blocked) => return Turn::Wait,
                Err(_) => {
                    self.close(id, CloseReason::ByClientEarly);
                    return Turn::Closed;
                }
            }
            if sent > TURN {
                self.again.push(id);
                return Turn::Wait;
            }
            if !self.make_frames(id) {
                break;
            }
        }
        self.end_if_over(id)
    }

    /// Sends the frames that are made.
    pub(super) fn send_wire(&mut self, id: ConnectionId, sent: &mut usize) -> io::Result<Wire> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(Wire::Blocked) };
        let Driver::Http2(http2) = &mut connection.driver else { return Ok(Wire::Blocked) };
        loop {
            let out = http2.session.output();
            let rest = out.get(http2.sent..).unwrap_or_default();
            if rest.is_empty() {
                // Memory is kept for as much as a busy connection needs; an idle one needs none.
                if (http2.streams.is_empty() && http2.tunnels.is_empty()) || out.capacity() > 2 * WIRE {
                    *out = Vec::new();
                } else {
                    out.clear();
                }
                http2.sent = 0;
                return Ok(if connection.transport.has_unsent() { Wire::Blocked } else { Wire::Empty });
            }
            match connection.transport.send(rest) {
                Ok(count) => {
                    http2.sent += count;
                    http2.sent_in_all += count as u64;
                    *sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Wire::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes frames until there are enough, or nobody may send more; whether there are any.
    fn make_frames(&mut self, id: ConnectionId) -> bool {
        loop {
            let Some(http2) = self.http2(id) else { return false };
            if http2.session.output().len() >= WIRE {
                return true;
            }
            let Some(stream) = http2.session.next_sender() else {
                return !http2.session.output().is_empty();
            };
            if let Some(exchange_id) = http2.exchange_of(stream) {
                self.make_frame(id, exchange_id, stream);
            } else if let Some(relay) = self.stream_relay(id, stream) {
                self.make_relayed_frame(id, stream, relay);
            } else if let Some(http2) = self.http2(id) {
                http2.session.set_waiting(stream, false);
            }
        }
    }

    /// One frame of one stream.
    fn make_frame(&mut self, id: ConnectionId, exchange_id: ExchangeId, stream: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Driver::Http2(http2) = &mut connection.driver else { return };
        let Some(exchange) = self.exchanges.get_mut(exchange_id) else { return };
        let most = http2.session.may_send(stream);
        let wire = &mut self.wire;
        wire.clear();
        if exchange.output.take(most, wire).is_err() {
            // A file that has become shorter, or a disk that fails.
            self.drop_stream(exchange_id, CloseReason::BrokenResponse);
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
            self.warm_up(exchange_id);
            return;
        }
        self.write_progress(exchange_id, count);
        self.go_on_with(exchange_id);
    }

    /// A worker has written something, or has room for more of a body.
    pub(crate) fn on_http2_news(&mut self, id: ExchangeId, place: Place) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let connection_id = exchange.connection;
        if self.pump(id, place) != Turn::Closed {
            self.go_on_with(id);
            if self.exchanges.get(id).is_some_and(|exchange| exchange.upload.is_some()) {
                self.stream_in_http2(id);
            }
        }
        self.drive(connection_id);
    }

    /// Looks what is next for an exchange that responds: more of its response, or its end. Frames are made afterwards.
    pub(crate) fn go_on_with(&mut self, id: ExchangeId) {
        loop {
            let Some(exchange) = self.exchanges.get_mut(id) else { return };
            let has_output = !exchange.output.is_empty();
            if !matches!(exchange.state(), State::Responding) {
                return;
            }
            let (connection_id, stream) = (exchange.connection, exchange.stream);
            let turn = match exchange.slot {
                Some(place) => self.pump(id, place),
                None if exchange.body.is_some() => self.pump_own(id),
                None if has_output => Turn::Wait,
                None => {
                    self.finish_stream(id);
                    return;
                }
            };
            let waits = self.exchanges.get(id).is_some_and(|exchange| !exchange.output.is_empty());
            if let Some(http2) = self.http2(connection_id) {
                http2.session.set_waiting(stream, waits);
            }
            if waits {
                // Whatever the worker does: the client's clock runs, also where its last window has just been fulfilled.
                self.wait_for_reader(id);
                return;
            }
            if turn != Turn::Again {
                return;
            }
        }
    }

    /// All of a response has become frames.
    fn finish_stream(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.broken {
            self.drop_stream(id, CloseReason::BrokenResponse);
            return;
        }
        let (connection_id, stream) = (exchange.connection, exchange.stream);
        exchange.become_state(State::Finished);
        self.shared.counters.responses_finished.up();
        self.exchange_timers.clear(id.key);
        self.end_upload(id, pelton_link::BodyEnd::Abandoned);
        let Some(mut exchange) = self.exchanges.remove(id) else { return };
        if let Some(mut pending) = exchange.pending.take() {
            pending.body.discard(&mut self.dispatch.bodies);
        }
        if let Some(record) = exchange.record.take() {
            let bytes = exchange.body_bytes();
            self.note_end(record, bytes, "complete");
        }
        self.meter_end(&exchange);
        let Some(http2) = self.http2(connection_id) else { return };
        http2.session.end(stream);
        http2.release(stream);
        self.idle_from_now(connection_id);
    }

    /// The client has closed its side, so no window will open any more: what waits for one is given up.
    fn drop_what_cannot_move(&mut self, id: ConnectionId) {
        for exchange_id in http2_exchanges(self, id) {
            let Some(exchange) = self.exchanges.get(exchange_id) else { continue };
            let stream = exchange.stream;
            if self.http2(id).is_some_and(|http2| http2.session.is_stalled(stream)) {
                self.drop_stream(exchange_id, CloseReason::ByClientEarly);
                self.again.push(id);
            }
        }
        let stalled = |http2: &mut super::Http2| {
            let session = &http2.session;
            let all = http2.tunnels.iter().map(|(stream, _)| *stream);
            all.filter(|stream| session.is_stalled(*stream)).collect::<Vec<_>>()
        };
        for stream in self.http2(id).map(stalled).unwrap_or_default() {
            self.end_stream_relay(id, stream, Some(ErrorCode::Cancel), CloseReason::ByClientEarly);
        }
    }

    /// Everything is sent: what becomes of the connection.
    fn end_if_over(&mut self, id: ConnectionId) -> Turn {
        if self.http2(id).is_some_and(|http2| http2.write_window.take().is_some()) {
            self.idle_from_now(id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
        if connection.transport.peer_done() && !connection.transport.is_readable() {
            self.drop_what_cannot_move(id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
        let Driver::Http2(http2) = &mut connection.driver else { return Turn::Wait };
        let is_quiet = http2.is_quiet();
        let is_over = http2.ending || (is_quiet && http2.session.has_left());
        if is_quiet && connection.transport.peer_done() && !connection.transport.is_readable() {
            self.close(id, CloseReason::AfterResponse);
            return Turn::Closed;
        }
        if !is_over || connection.lingering {
            return Turn::Wait;
        }
        connection.lingering = true;
        connection.transport.end_sending();
        self.set_connection_deadline(id, LINGER_TIME);
        self.linger(id)
    }

    /// Breaks a stream off: nobody waits for its exchange any more.
    pub(crate) fn drop_stream(&mut self, id: ExchangeId, reason: CloseReason) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (connection_id, stream) = (exchange.connection, exchange.stream);
        let is_kept = self.keep_socket(id);
        let code = match reason {
            CloseReason::BrokenResponse => ErrorCode::InternalError,
            CloseReason::WriteTimeout | CloseReason::Stalled => ErrorCode::EnhanceYourCalm,
            _ => ErrorCode::Cancel,
        };
        reason.counter(&self.shared.counters).up();
        if !is_kept {
            // A worker was quicker.
            self.end_stream_relay(connection_id, stream, Some(code), reason);
            return;
        }
        self.abandon(id, None, reason);
        let Some(http2) = self.http2(connection_id) else { return };
        http2.session.reset(stream, code);
        http2.release(stream);
        self.idle_from_now(connection_id);
    }
}
