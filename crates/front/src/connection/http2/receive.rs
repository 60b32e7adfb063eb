//! From frames to exchanges.
//!
//! Bodies are consumed as they are stored (in the arena, or in a file), so the client may send on; of a body that is passed on while it comes,
//! as much is kept here as the stream's window allows, and consumed as the worker reads. Runs on the front's thread.

use std::io;

use pelton_http::h2::{self, Event};
use pelton_http::{HttpError, Length, Version};
use pelton_link::BodyEnd;

use super::MOST_WIRE;
use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::receive::{READ_BUDGET, SCRATCH, Turn};
use crate::event_loop::streaming::Step;
use crate::event_loop::upload::Streams;
use crate::exchange::{Exchange, ExchangeId, State};
use crate::memory;
use crate::notices::Level;
use crate::scheduling::ask::Load;

impl EventLoop {
    /// A connection that speaks HTTP/2 from its first byte on; `input` is what of it has come.
    pub(crate) fn http2_driver(&self, input: Vec<u8>) -> Driver {
        let session = h2::Connection::new(self.settings.http2.clone(), &self.limits, self.now_ms);
        self.shared.counters.http2_connections.up();
        Driver::Http2(Box::new(super::Http2::new(session, input)))
    }

    /// What the client of an encrypted connection has agreed on is known now.
    pub(crate) fn follow_agreement(&mut self, id: ConnectionId) {
        if !self.connections.get(id).is_some_and(|connection| connection.transport.has_agreed_on(b"h2")) {
            return;
        }
        let driver = self.http2_driver(Vec::new());
        self.change_driver(id, driver);
    }

    fn change_driver(&mut self, id: ConnectionId, driver: Driver) {
        if let Some(connection) = self.connections.get_mut(id)
            && let Driver::Http1(http1) = std::mem::replace(&mut connection.driver, driver)
        {
            self.exchanges.remove(http1.exchange);
        }
    }

    /// The first bytes of a connection that may speak either version (RFC 9113 section 3.3): whether they are HTTP/2's; None where that cannot be
    /// said yet.
    pub(crate) fn look_for_preface(&mut self, id: ConnectionId, input: &[u8]) -> Option<bool> {
        let seen = input.len().min(h2::PREFACE.len());
        let is_like = input.get(..seen) == h2::PREFACE.get(..seen);
        if is_like && seen < h2::PREFACE.len() {
            return None;
        }
        if !is_like && is_neither(input) {
            // Which of the two would be understood, nobody knows: the connection ends without a word (section 3.4).
            self.shared.counters.http2_faults.up();
            self.close(id, CloseReason::ByClientEarly);
            return Some(true);
        }
        self.connections.get_mut(id)?.may_be_http2 = false;
        if is_like {
            let driver = self.http2_driver(input.to_vec());
            self.change_driver(id, driver);
        }
        Some(is_like)
    }

    /// Takes a connection as far as it goes now.
    pub(crate) fn drive_http2(&mut self, id: ConnectionId) -> Turn {
        let turn = self.receive_frames(id);
        if turn == Turn::Closed {
            return Turn::Closed;
        }
        self.feed_streams(id);
        self.send_streams(id)
    }

    /// Reads and understands until the socket has nothing more, the client has too much to read first, or the budget is spent.
    fn receive_frames(&mut self, id: ConnectionId) -> Turn {
        let mut budget = READ_BUDGET;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
            let Driver::Http2(http2) = &mut connection.driver else { return Turn::Wait };
            if http2.ending || http2.unsent() > MOST_WIRE {
                return Turn::Wait;
            }
            if http2.unseen {
                http2.unseen = false;
                let mut input = std::mem::take(&mut http2.input);
                let consumed = self.look_at_frames(id, &input);
                input.drain(..consumed.min(input.len()));
                if let Some(http2) = self.http2(id) {
                    // An idle connection keeps no buffer.
                    http2.input = if input.is_empty() { Vec::new() } else { input };
                }
                continue;
            }
            if !connection.transport.is_readable() {
                if connection.transport.peer_done() {
                    return self.end_of_frames(id);
                }
                return Turn::Wait;
            }
            if budget == 0 {
                self.again.push(id);
                return Turn::Wait;
            }
            if let Err(error) = self.read_frames(id, &mut budget) {
                self.close(id, CloseReason::of_error(&error, CloseReason::TransportError));
                return Turn::Closed;
            }
        }
    }

    /// One read.
    fn read_frames(&mut self, id: ConnectionId, budget: &mut usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Driver::Http2(http2) = &mut connection.driver else { return Ok(()) };
        if !http2.input.is_empty() {
            // A part of a frame is there, which is wanted in one piece with what follows.
            let start = http2.input.len();
            memory::grow(&mut http2.input, SCRATCH / 4)?;
            let result = connection.transport.read(http2.input.get_mut(start..).unwrap_or_default());
            http2.input.truncate(start + result.as_ref().map_or(0, |count| *count));
            let count = result?;
            http2.unseen = count > 0;
            *budget = budget.saturating_sub(count);
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = connection.transport.read(&mut scratch).and_then(|count| {
            *budget = budget.saturating_sub(count);
            let input = scratch.get(..count).unwrap_or_default();
            let consumed = self.look_at_frames(id, input);
            let rest = input.get(consumed..).unwrap_or_default();
            self.http2(id).map_or(Ok(()), |http2| memory::append(&mut http2.input, rest))
        });
        self.scratch = scratch;
        result
    }

    pub(super) fn http2(&mut self, id: ConnectionId) -> Option<&mut super::Http2> {
        self.connections.get_mut(id)?.driver.http2()
    }

    /// Shows `input` to the session and does what its events say. Gives how much was consumed.
    fn look_at_frames(&mut self, id: ConnectionId, input: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(connection) = self.connections.get_mut(id) else { return input.len() };
            let Driver::Http2(http2) = &mut connection.driver else { return input.len() };
            let step = http2.session.advance(rest, &self.limits, self.now_ms, &mut self.head);
            at += step.consumed;
            let (refused, caused) = http2.session.take_tally();
            if refused + caused > 0 {
                self.shared.counters.http2_streams_refused.add(refused);
                self.shared.counters.http2_resets_caused.add(caused);
            }
            match step.event {
                Event::NeedMore => {
                    self.await_frame(id, at < input.len());
                    return at;
                }
                Event::Head { stream, ended } => self.begin_exchange(id, stream, ended),
                Event::Body { stream, range } => {
                    self.take_data(id, stream, rest.get(range).unwrap_or_default());
                }
                Event::End { stream } => self.end_of_body(id, stream),
                Event::Refused { stream, error } => self.refuse_stream(id, stream, error),
                Event::Reset { stream } => self.stream_was_reset(id, stream),
                Event::Windows => {}
                Event::GoingAway => {
                    if let Some(http2) = self.http2(id) {
                        http2.session.leave();
                    }
                }
                Event::Failed(fault) => {
                    self.give_up_session(id, fault);
                    return input.len();
                }
            }
        }
    }

    /// A part of a frame or of a header block is on the clock of heads; between requests it is another one.
    fn await_frame(&mut self, id: ConnectionId, has_part: bool) {
        let Some(http2) = self.http2(id) else { return };
        let has_begun = has_part || http2.session.is_in_head();
        let is_new = has_begun != std::mem::replace(&mut http2.head_begun, has_begun);
        if !is_new {
            return;
        }
        let is_idle = http2.is_idle();
        if has_begun {
            self.set_connection_deadline(id, self.settings.head_time);
        } else if is_idle || self.draining {
            self.set_connection_deadline(id, self.idle_time());
        } else {
            self.timers.clear(id.key);
        }
    }

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
        self.shared.counters.http2_streams.up();
        let most = self.settings.requests_per_connection;
        let Some(connection) = self.connections.get_mut(id) else { return exchange_id };
        connection.fresh = false;
        connection.requests = connection.requests.saturating_add(1);
        let is_last = most != 0 && connection.requests == most;
        if let Driver::Http2(http2) = &mut connection.driver {
            http2.streams.push((stream, exchange_id));
            if is_last {
                http2.session.announce_leaving();
            }
        }
        if self.draining {
            self.leave_http2(id);
        } else {
            self.timers.clear(id.key);
        }
        exchange_id
    }

    /// A head is complete and in `self.head`.
    fn begin_exchange(&mut self, id: ConnectionId, stream: u32, ended: bool) {
        let exchange_id = self.new_exchange(id, stream);
        let Some(http2) = self.http2(id) else { return };
        http2.head_begun = false;
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
        if is_special && self.answer_by_role(exchange_id, bytes) {
            return;
        }
        let Ok(client) = self.client_of_request(exchange_id, bytes) else { return };
        // With the request's id behind it, where it got one.
        let mut identified = std::mem::take(&mut self.identified);
        identified.clear();
        self.note_request(exchange_id, bytes, &client, &mut identified);
        self.keep_asked(exchange_id, bytes);
        if (self.has_edge || !self.static_files.is_idle())
            && self.meet_edge(exchange_id, &client, bytes, &mut identified)
        {
            self.identified = identified;
            return;
        }
        if self.cache.is_none() {
            self.add_compression(exchange_id, bytes);
        }
        let all = if identified.is_empty() { bytes } else { &identified };
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
        self.identified = identified;
    }

    /// Data of a body. What is stored is consumed; what waits for the worker is not.
    fn take_data(&mut self, id: ConnectionId, stream: u32, bytes: &[u8]) {
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

    fn end_of_body(&mut self, id: ConnectionId, stream: u32) {
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
    fn refuse_stream(&mut self, id: ConnectionId, stream: u32, error: HttpError) {
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

    fn stream_was_reset(&mut self, id: ConnectionId, stream: u32) {
        self.shared.counters.http2_streams_reset.up();
        match self.exchange_of_stream(id, stream) {
            Some(exchange_id) => self.drop_stream(exchange_id, CloseReason::ByClientEarly),
            None if self.stream_relay(id, stream).is_some() => {
                self.end_stream_relay(id, stream, None, CloseReason::ByClientEarly);
            }
            None => {
                if let Some(http2) = self.http2(id) {
                    http2.session.release(stream);
                }
            }
        }
    }

    /// The client has broken a rule, or costs too much: GOAWAY says which, and nobody waits for the responses any more.
    pub(super) fn give_up_session(&mut self, id: ConnectionId, fault: h2::Fault) {
        let counters = &self.shared.counters;
        match fault.code() {
            h2::ErrorCode::EnhanceYourCalm => counters.http2_calmed.up(),
            _ => counters.http2_faults.up(),
        }
        let peer =
            self.connections.get(id).map(|connection| connection.peer.text().to_vec()).unwrap_or_default();
        let from = String::from_utf8_lossy(&peer);
        let message = format!("a connection of HTTP/2 from {from} was given up: {}", fault.detail());
        self.shared.notices.post(Level::Debug, message);
        self.drop_all_streams(id, CloseReason::ByClientEarly);
        if let Some(http2) = self.http2(id) {
            http2.ending = true;
        }
    }

    /// Passes on what is kept of bodies that are passed on while they come.
    fn feed_streams(&mut self, id: ConnectionId) {
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

    /// The client has closed its side: it asks for nothing more, but may still read.
    fn end_of_frames(&mut self, id: ConnectionId) -> Turn {
        let Some(http2) = self.http2(id) else { return Turn::Closed };
        if http2.is_idle() && http2.unsent() == 0 {
            self.close(id, CloseReason::ByClient);
            return Turn::Closed;
        }
        for exchange_id in http2_exchanges(self, id) {
            let Some(exchange) = self.exchanges.get(exchange_id) else { continue };
            if exchange.pending.is_some() {
                // The rest of it will never come.
                self.drop_stream(exchange_id, CloseReason::ByClientEarly);
            }
        }
        let relays = self.http2(id).map(|http2| http2.tunnels.clone()).unwrap_or_default();
        for (_, relay) in relays {
            self.relay_end(relay);
        }
        let Some(http2) = self.http2(id) else { return Turn::Closed };
        if http2.is_quiet() {
            self.close(id, CloseReason::ByClientEarly);
            return Turn::Closed;
        }
        Turn::Wait
    }
}

/// Whether the first bytes of a connection have a whole line that is no request of HTTP/1 either, in form.
fn is_neither(input: &[u8]) -> bool {
    let line = input.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    line.ends_with(b"\n") && line.is_ascii() && line.len() > 2 && !line.windows(6).any(|six| six == b" HTTP/")
}

/// The exchanges of a connection.
pub(super) fn http2_exchanges(event_loop: &mut EventLoop, id: ConnectionId) -> Vec<ExchangeId> {
    event_loop.http2(id).map(|http2| http2.exchanges()).unwrap_or_default()
}
