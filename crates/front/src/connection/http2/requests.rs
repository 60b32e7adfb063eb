//! From events to exchanges: a head, a body, their ends.
//!
//! Bodies are consumed as they are stored (in the arena, or in a file), so the client may send on; of a body that is passed on while it comes,
//! as much is kept here as the stream's window allows, and consumed as the worker reads. Runs on the front's thread.

use pelton_http::{HttpError, Length, Version};
use pelton_link::BodyEnd;

use super::receive::http2_exchanges;
use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::event_loop::streaming::Step;
use crate::event_loop::upload::Streams;
use crate::exchange::{Exchange, ExchangeId, State};
use crate::scheduling::ask::Load;

impl EventLoop {
    fn exchange_of_stream(&mut self, id: ConnectionId, stream: u32) -> Option<ExchangeId> {
        self.http2(id)?.exchange_of(stream)
    }

    /// An exchange for a stream that has begun.
    fn new_exchange(&mut self, id: ConnectionId, stream: u32) -> ExchangeId {
        let mut exchange = Exchange::new(id, self.backlog.clone());
        exchange.stream = stream;
        exchange.version = Version::Http2;
        exchange.is_tls = self.connections.get(id).is_some_and(|connection| connection.peer.is_tls);
        let exchange_id = self.exchanges.insert(exchange);
        self.count_stream(id);
        if let Some(http2) = self.http2(id) {
            http2.streams.push((stream, exchange_id));
        }
        if !self.draining {
            self.timers.clear(id.key);
        }
        exchange_id
    }

    /// A stream has begun. It may be the last one of its connection.
    fn count_stream(&mut self, id: ConnectionId) {
        self.shared.counters.http2_streams.up();
        let most = self.settings.requests_per_connection;
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.fresh = false;
        connection.requests = connection.requests.saturating_add(1);
        let is_last = most != 0 && connection.requests == most;
        if let Driver::Http2(http2) = &mut connection.driver {
            http2.head_begun = false;
            if is_last {
                http2.session.announce_leaving();
            }
        }
        if self.draining {
            self.leave_http2(id);
        }
    }

    /// A head is complete whose stream is reset by what has come behind it: it counts, and nobody begins with it.
    pub(super) fn pass_over(&mut self, id: ConnectionId) {
        self.shared.counters.http2_streams_passed_over.up();
        self.count_stream(id);
    }

    /// A head is complete and in `self.head`.
    pub(super) fn begin_exchange(&mut self, id: ConnectionId, stream: u32, ended: bool) {
        let exchange_id = self.new_exchange(id, stream);
        let Some(http2) = self.http2(id) else { return };
        let mut text = http2.session.take_text();
        self.as_upgrade(&mut text);
        self.begin_request(id, exchange_id, &text, ended);
        if let Some(http2) = self.http2(id) {
            http2.session.give_text(text);
        }
    }

    fn begin_request(&mut self, id: ConnectionId, exchange_id: ExchangeId, bytes: &[u8], ended: bool) {
        let Some(connection) = self.connections.get(id) else { return };
        let is_special = self.may_be_ours(connection.role);
        if let Some(exchange) = self.exchanges.get_mut(exchange_id) {
            exchange.is_head = self.head.method.of(bytes) == b"HEAD";
            exchange.is_tls = connection.peer.is_tls;
        }
        if is_special && self.respond_by_role(exchange_id, bytes) {
            return;
        }
        let Ok(client) = self.client_of_request(exchange_id, bytes) else { return };
        self.hand_on(exchange_id, bytes, &client, |front, all| front.begin_load(exchange_id, all, ended));
    }

    /// The application gets a request as soon as what it needs of the body is there.
    fn begin_load(&mut self, exchange_id: ExchangeId, all: &[u8], ended: bool) {
        if self.head.asks_for_websocket {
            self.submit_with_socket(exchange_id, all, ended);
        } else if ended || self.head.length == Length::None {
            self.submit(exchange_id, all, Load::Inline(&[]));
        } else if self.is_streamed(all) {
            self.begin_stream(exchange_id, all, false);
        } else {
            let wants_continue = self.head.expect_continue;
            self.begin_body(exchange_id, all);
            if wants_continue {
                self.send_continue(exchange_id);
            }
        }
    }

    /// Data of a body. What is stored is consumed; what waits for the worker is not.
    pub(super) fn take_data(&mut self, id: ConnectionId, stream: u32, bytes: &[u8]) {
        if let Some(relay) = self.stream_relay(id, stream) {
            self.relay_data(id, stream, relay, bytes);
            return;
        }
        if let Some(http2) = self.http2(id)
            && let Some(offer) = http2.offer_mut(stream)
        {
            // Whoever takes it finds it there.
            let done = offer.take_data(bytes);
            http2.session.consumed(stream, done);
            return;
        }
        let Some(exchange_id) = self.exchange_of_stream(id, stream) else { return };
        let Some(exchange) = self.exchanges.get_mut(exchange_id) else { return };
        if let Some(upload) = exchange.upload.as_deref_mut() {
            upload.held.extend_from_slice(bytes);
            self.upload_progress(exchange_id, bytes.len());
            return;
        }
        if exchange.pending.is_some() && self.collect_piece(exchange_id, bytes) {
            self.body_progress(exchange_id, 0);
        }
        if let Some(http2) = self.http2(id) {
            http2.session.consumed(stream, bytes.len());
        }
    }

    pub(super) fn end_of_body(&mut self, id: ConnectionId, stream: u32) {
        if let Some(relay) = self.stream_relay(id, stream) {
            self.relay_end(relay);
            return;
        }
        if let Some(offer) = self.http2(id).and_then(|http2| http2.offer_mut(stream)) {
            offer.end_client();
            return;
        }
        let Some(exchange_id) = self.exchange_of_stream(id, stream) else { return };
        let Some(exchange) = self.exchanges.get_mut(exchange_id) else { return };
        if let Some(upload) = exchange.upload.as_deref_mut() {
            upload.ended = true;
        } else if exchange.pending.is_some() && exchange.state() == State::Receiving {
            self.dispatch_pending(exchange_id);
        }
    }

    /// The head or the body of a request is refused.
    pub(super) fn refuse_stream(&mut self, id: ConnectionId, stream: u32, error: HttpError) {
        let exchange_id = match self.exchange_of_stream(id, stream) {
            Some(exchange_id) => exchange_id,
            None => self.new_exchange(id, stream),
        };
        let Some(exchange) = self.exchanges.get_mut(exchange_id) else { return };
        if exchange.upload.is_some() {
            self.refuse_upload(exchange_id, error);
        } else if exchange.state() == State::Receiving {
            self.note_refused(exchange_id, &[]);
            self.refuse(exchange_id, error);
        }
    }

    pub(super) fn stream_was_reset(&mut self, id: ConnectionId, stream: u32) {
        self.shared.counters.http2_streams_reset.up();
        match self.exchange_of_stream(id, stream) {
            Some(exchange_id) => self.drop_stream(exchange_id, CloseReason::ByClientEarly),
            None if self.stream_relay(id, stream).is_some() => {
                self.end_stream_relay(id, stream, None, CloseReason::ByClientEarly);
            }
            None => {
                let Some(http2) = self.http2(id) else { return };
                http2.session.release(stream);
                self.idle_from_now(id);
            }
        }
    }

    /// Passes on what is kept of bodies that are passed on while they come.
    pub(super) fn feed_streams(&mut self, id: ConnectionId) {
        // Nearly always none: the list is looked at only where bodies are passed on at all.
        if self.settings.streams == Streams::Never {
            return;
        }
        for exchange_id in http2_exchanges(self, id) {
            if self.exchanges.get(exchange_id).is_some_and(|exchange| exchange.upload.is_some()) {
                self.stream_in_http2(exchange_id);
            }
        }
    }

    /// Puts into the worker's window what there is of a body and room for.
    pub(crate) fn stream_in_http2(&mut self, id: ExchangeId) -> Turn {
        loop {
            let room = match self.window_room(id) {
                Ok(room) => room,
                Err(Step::On) => continue,
                Err(Step::Stop(turn)) => return turn,
            };
            let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
            let (connection_id, stream) = (exchange.connection, exchange.stream);
            let Some(upload) = exchange.upload.as_deref_mut() else { return Turn::Wait };
            if upload.held.is_empty() {
                if upload.ended {
                    self.end_upload(id, BodyEnd::Complete);
                } else if self.connections.get(connection_id).is_some_and(|one| one.transport.peer_done()) {
                    self.end_upload(id, BodyEnd::Gone);
                } else {
                    self.wait_for_client(id);
                }
                return Turn::Wait;
            }
            let mut held = std::mem::take(&mut upload.held);
            let count = room.min(held.len());
            self.put_into_window(id, held.get(..count).unwrap_or_default());
            held.drain(..count);
            if let Some(upload) =
                self.exchanges.get_mut(id).and_then(|exchange| exchange.upload.as_deref_mut())
            {
                upload.held = held;
            }
            if let Some(http2) = self.http2(connection_id) {
                http2.session.consumed(stream, count);
            }
        }
    }
}
