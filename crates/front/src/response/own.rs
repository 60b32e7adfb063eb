//! Responses that the front makes itself: refusals, a full or slow queue, what is late, a worker that fails; and those of its handlers.
//!
//! Knows which words each of them has; how they become HTTP is `pelton_http`'s, how they leave is `respond`'s.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use pelton_http::h1::encode::{LAST_CHUNK, encode_head, reason_phrase};
use pelton_http::response::PLAIN_TEXT;
use pelton_http::{Coding, HttpError, ResponseContext};

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::{Exchange, ExchangeId, State};
use crate::response::filters::{Field, Head};
use crate::response::pass::{frame_bytes, is_filtered};
use crate::sent_file::SentFile;

/// A response for a request that no handler and no application answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnResponse {
    /// The request breaks a rule or a limit; nothing after it can be understood.
    Refused(HttpError),
    /// Its address has as many connections as it may.
    TooManyConnections,
    /// As many requests wait as may.
    Shed,
    /// This one waited too long.
    Expired,
    /// Its body cannot be kept.
    NoRoom,
    /// Its socket cannot be offered.
    NoDescriptor,
    /// The rest of its head did not come in time.
    HeadLate,
    /// The rest of its body did not come in time.
    BodyLate,
    /// What the worker wrote is not a response.
    Damaged,
    /// The worker ended without a response.
    Lost,
    /// The application did not answer in time.
    TimedOut,
}

impl OwnResponse {
    fn status(self) -> u16 {
        match self {
            OwnResponse::Refused(error) => error.status(),
            OwnResponse::TooManyConnections => 429,
            OwnResponse::Shed | OwnResponse::Expired | OwnResponse::NoRoom | OwnResponse::NoDescriptor => 503,
            OwnResponse::HeadLate | OwnResponse::BodyLate => 408,
            OwnResponse::Damaged | OwnResponse::Lost => 502,
            OwnResponse::TimedOut => 504,
        }
    }

    /// What an access line says.
    fn for_the_log(self) -> &'static str {
        match self {
            OwnResponse::Refused(_) => "refused",
            OwnResponse::TooManyConnections => "too many connections",
            OwnResponse::Shed => "queue full",
            OwnResponse::Expired => "queue timeout",
            OwnResponse::NoRoom => "no room for the body",
            OwnResponse::NoDescriptor => "no descriptor left",
            OwnResponse::HeadLate => "head too late",
            OwnResponse::BodyLate => "body too late",
            OwnResponse::Damaged => "unusable response",
            OwnResponse::Lost => "worker lost",
            OwnResponse::TimedOut => "request timeout",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            OwnResponse::Refused(error) => error.detail(),
            OwnResponse::TooManyConnections => "Too many connections from your address.",
            OwnResponse::Shed => "Too many requests are waiting. Try again later.",
            OwnResponse::Expired => "The request waited too long for a free thread. Try again later.",
            OwnResponse::NoDescriptor => "The server has too many files open. Try again later.",
            OwnResponse::NoRoom => "The server has no room for the request's body. Try again later.",
            OwnResponse::HeadLate => "The request's head did not arrive in time.",
            OwnResponse::BodyLate => "The request's body did not arrive in time.",
            OwnResponse::Damaged => "The application's response was unusable.",
            OwnResponse::Lost => "The application ended before it had answered.",
            OwnResponse::TimedOut => "The application did not answer in time.",
        }
    }

    /// Whether the connection can go on: the request is complete and understood.
    fn keeps_connection(self) -> bool {
        !matches!(
            self,
            OwnResponse::Refused(_)
                | OwnResponse::TooManyConnections
                | OwnResponse::NoRoom
                | OwnResponse::HeadLate
                | OwnResponse::BodyLate
        )
    }
}

/// A piece of a response's body that the front has.
#[derive(Debug)]
pub enum Part {
    /// Bytes in memory.
    Bytes(Cow<'static, [u8]>),
    /// Bytes that others have, too, from one offset to another.
    Shared(Arc<[u8]>, Range<usize>),
    /// A part of a file, from an offset.
    File(Arc<SentFile>, u64, u64),
}

impl Part {
    /// All of what others have, too.
    pub fn shared(bytes: &Arc<[u8]>) -> Self {
        Part::Shared(Arc::clone(bytes), 0..bytes.len())
    }

    fn len(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Shared(_, range) => range.len() as u64,
            Part::File(_, _, len) => *len,
        }
    }
}

/// A response that a handler makes. Fields about the connection and the framing are not its business; `Date` and `Server` come by themselves.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<Field<'static>>,
    /// The body. To HEAD it is not sent; the length is the same.
    pub body: VecDeque<Part>,
    /// Whether all of the request has been received: otherwise the connection ends.
    pub received_whole: bool,
    /// The body only explains the status: a page of the settings may stand in its place.
    pub explains: bool,
}

impl Response {
    /// One line of text.
    pub fn line(status: u16, media_type: &'static [u8], text: &str, received_whole: bool) -> Self {
        let fields = vec![(b"Content-Type"[..].into(), media_type.into())];
        let body = VecDeque::from([Part::Bytes(format!("{text}\n").into_bytes().into())]);
        Response { status, fields, body, received_whole, explains: false }
    }

    /// One line of plain text.
    pub fn text(status: u16, text: &str, received_whole: bool) -> Self {
        Response { explains: true, ..Response::line(status, PLAIN_TEXT, text, received_whole) }
    }
}

/// Shared bytes up to this size are copied, so that they leave with the head; larger ones are sent from where they are.
const SHARED_COPY: usize = 16 * 1024;

/// What is sent where a head cannot be written.
const LAST_RESORT: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl EventLoop {
    /// Makes and begins to send a response that says why there is no other. The caller drives the connection on.
    pub(crate) fn respond_itself(&mut self, id: ExchangeId, own: OwnResponse) {
        if matches!(own, OwnResponse::Refused(_)) {
            self.shared.counters.requests_refused.up();
        }
        if self.recording.wants_ends || self.recording.meter.is_some() {
            self.note_own(id, own.for_the_log());
        }
        let response = Response::text(own.status(), own.detail(), own.keeps_connection());
        self.respond(id, self.with_retry_after(response));
    }

    /// Says to whoever comes too early when to come back.
    pub(crate) fn with_retry_after(&self, mut response: Response) -> Response {
        if matches!(response.status, 429 | 503) {
            let seconds = self.settings.retry_after_seconds.to_string().into_bytes();
            response.fields.push((b"Retry-After"[..].into(), seconds.into()));
        }
        response
    }

    /// Begins to send a response of the front's own. The caller drives the connection on.
    pub(crate) fn respond(&mut self, id: ExchangeId, mut response: Response) {
        if response.explains && !self.settings.edge.error_pages.is_empty() {
            self.put_error_page(id, &mut response);
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if let Some(mut pending) = exchange.pending.take() {
            pending.body.discard(&mut self.dispatch.bodies);
        }
        // Of a body that is still coming nothing more will be received.
        exchange.received_whole = response.received_whole && exchange.upload.take().is_none();
        let length = response.body.iter().map(Part::len).sum();
        let mut head = Head { status: response.status, fields: response.fields, known_length: Some(length) };
        if let Some(filters) = &mut exchange.filters {
            filters.head(&mut head);
        }
        if let Some(rules) = &self.settings.edge.response_fields {
            rules.apply(&mut head);
        }
        self.write_own_head(id, &head);
        let Some(exchange) = self.exchanges.get_mut(id).filter(|exchange| exchange.coding.is_some()) else {
            return;
        };
        if let Some(record) = &mut exchange.record {
            record.status = head.status;
        }
        exchange.metered.status = head.status;
        exchange.output.push(&self.wire);
        let is_sent = exchange.coding != Some(Coding::None);
        exchange.body = is_sent.then(|| Box::new(response.body));
        begin_body(exchange, &mut self.wire);
        if exchange.stream == 0 {
            // The clock begins where the client does not take all of it at once.
            self.exchange_timers.clear(id.key);
        } else {
            self.begin_write_window(id);
        }
    }

    /// Writes a head to the loop's buffer, or as frames; the exchange responds from now on.
    fn write_own_head(&mut self, id: ExchangeId, head: &Head<'_>) {
        self.wire.clear();
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(connection) = self.connections.get_mut(exchange.connection) else { return };
        let context = ResponseContext {
            version: exchange.version,
            is_head: exchange.is_head,
            keep_alive: exchange.received_whole && exchange.keep_alive && !self.draining,
            date: self.clock.date.render(self.clock.unix_seconds),
            known_length: head.known_length.filter(|_| !is_filtered(exchange)),
            timing: None,
            transport_security: self.settings.transport_security.as_deref().filter(|_| exchange.is_tls),
        };
        let fields = head.fields.iter().map(|(name, value)| (&**name, &**value));
        exchange.become_state(State::Responding);
        let reason = reason_phrase(head.status).as_bytes();
        let encoded = match connection.driver.http2() {
            None => encode_head(&mut self.wire, head.status, reason, fields, &context),
            Some(http2) => {
                http2.has_response(id);
                connection.driver.send_head(exchange, head.status, fields, &context)
            }
        };
        match encoded {
            Ok(encoded) => {
                exchange.coding = Some(encoded.coding);
                exchange.keep_alive = encoded.keep_alive;
            }
            Err(error) => {
                debug_assert!(false, "a response of the front's own, {}: {error}", head.status);
                self.wire.extend_from_slice(LAST_RESORT);
                exchange.coding = Some(Coding::None);
                exchange.keep_alive = false;
            }
        }
    }

    /// Passes on what the front has of a response's body, as far as the client takes it or may lag behind.
    pub(crate) fn pump_own(&mut self, id: ExchangeId) -> Turn {
        loop {
            if self.is_full(id) {
                return self.wait_for_reader(id);
            }
            let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
            if !push_part(exchange, &mut self.wire) {
                self.close_exchange(id, CloseReason::BrokenResponse);
                return Turn::Closed;
            }
            if exchange.body.is_none() || exchange.output.has_file() {
                return Turn::Again;
            }
        }
    }
}

/// The first part of the body leaves with the head, if it may.
fn begin_body(exchange: &mut Exchange, wire: &mut Vec<u8>) {
    if is_filtered(exchange) {
        return;
    }
    match exchange.body.as_ref().and_then(|body| body.front()) {
        Some(Part::Bytes(_) | Part::Shared(..)) => {
            push_part(exchange, wire);
        }
        Some(Part::File(..)) if exchange.stream == 0 => {
            push_part(exchange, wire);
            // Whoever made the response has just looked at it.
            exchange.output.file_is_fresh();
        }
        _ => {}
    }
}

/// Puts the next part of the body into the output, in the form that filters and framing give it; false when that is impossible.
fn push_part(exchange: &mut Exchange, wire: &mut Vec<u8>) -> bool {
    wire.clear();
    let mut out = Vec::new();
    let part = match &mut exchange.filters {
        Some(filters) if filters.has_file() => {
            if filters.file_piece(&mut out).is_err() {
                return false;
            }
            None
        }
        _ => exchange.body.as_mut().and_then(|body| body.pop_front()),
    };
    match part {
        Some(Part::Bytes(bytes)) => match exchange.filters.as_mut().filter(|filters| filters.take_body()) {
            Some(filters) => filters.body(&bytes, &mut out),
            None => out = bytes.into_owned(),
        },
        Some(Part::Shared(bytes, range)) => {
            let piece = bytes.get(range.clone()).unwrap_or_default();
            match exchange.filters.as_mut().filter(|filters| filters.take_body()) {
                Some(filters) => filters.body(piece, &mut out),
                None if piece.len() <= SHARED_COPY || exchange.coding == Some(Coding::Chunked) => {
                    out.extend_from_slice(piece);
                }
                None => {
                    exchange.passed += piece.len() as u64;
                    exchange.output.push_loan(Box::new(bytes), range.start, range.end);
                }
            }
        }
        Some(Part::File(file, offset, len)) => {
            match exchange.filters.as_mut().filter(|filters| filters.take_body()) {
                Some(filters) => filters.begin_file(file, offset, len),
                None => {
                    exchange.passed += len;
                    exchange.output.push_file(file, offset, len);
                }
            }
        }
        None => {}
    }
    let has_more = exchange.filters.as_ref().is_some_and(|filters| filters.has_file())
        || exchange.body.as_ref().is_some_and(|body| !body.is_empty());
    if !has_more {
        exchange.body = None;
        if is_filtered(exchange)
            && let Some(mut filters) = exchange.filters.take()
        {
            filters.end(&mut out);
        }
    }
    let is_framed = frame_bytes(exchange, wire, &out).is_ok();
    if !has_more && exchange.coding == Some(Coding::Chunked) {
        wire.extend_from_slice(LAST_CHUNK);
    }
    exchange.output.push(wire);
    is_framed
}
