//! A response of the front's own leaves: a refusal, a full or slow queue, what is late, a worker that fails; and those of handlers.
//!
//! Runs on the front's thread.

use std::collections::VecDeque;

use pelton_http::h1::encode::{LAST_CHUNK, encode_head, reason_phrase};
use pelton_http::{Coding, HttpError, ResponseContext};

use crate::clients::slow_clients;
use crate::exchange::{Exchange, State};
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::recording::request_records;
use crate::response::filters::Head;
use crate::response::own::{LAST_RESORT, OwnResponse, Part, Response, SHARED_COPY};
use crate::response::pass::{frame_bytes, is_filtered};

/// Puts a page of the settings in the place of an explanation.
#[cold]
fn put_error_page(front: &Front, id: ExchangeId, response: &mut Response) {
    let asked = front.exchanges.get(id).and_then(|exchange| exchange.asked.as_deref());
    let accept = asked.map_or(&b""[..], |asked| &asked.accept);
    let Some(page) = front.settings.edge.page(response.status, accept) else { return };
    response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-type"));
    response.fields.push((b"Content-Type"[..].into(), page.media_type.clone().into()));
    response.fields.push((b"Cache-Control"[..].into(), b"no-store"[..].into()));
    response.body = VecDeque::from([Part::shared(&page.body)]);
}

pub(crate) fn refuse(front: &mut Front, id: ExchangeId, error: HttpError) {
    respond_itself(front, id, OwnResponse::Refused(error));
}

/// Makes and begins to send a response that says why there is no other. The caller drives the connection on.
pub(crate) fn respond_itself(front: &mut Front, id: ExchangeId, own: OwnResponse) {
    if matches!(own, OwnResponse::Refused(_)) {
        front.shared.counters.requests_refused.up();
    }
    if front.recording.wants_ends || front.recording.meter.is_some() {
        request_records::note_own(front, id, own.for_the_log());
    }
    let response = Response::text(own.status(), own.detail(), own.keeps_connection());
    respond(front, id, with_retry_after(front, response));
}

/// Says to whoever comes too early when to come back.
pub(crate) fn with_retry_after(front: &Front, mut response: Response) -> Response {
    if matches!(response.status, 429 | 503) {
        let seconds = front.settings.retry_after_seconds.to_string().into_bytes();
        response.fields.push((b"Retry-After"[..].into(), seconds.into()));
    }
    response
}

/// Begins to send a response of the front's own. The caller drives the connection on.
pub(crate) fn respond(front: &mut Front, id: ExchangeId, mut response: Response) {
    if response.explains && !front.settings.edge.error_pages.is_empty() {
        put_error_page(front, id, &mut response);
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if let Some(mut pending) = exchange.pending.take() {
        pending.body.discard(&mut front.dispatch.bodies);
    }
    // Of a body that is still coming nothing more will be received.
    exchange.received_whole = response.received_whole && exchange.upload.take().is_none();
    let length = response.body.iter().map(Part::len).sum();
    let mut head = Head { status: response.status, fields: response.fields, known_length: Some(length) };
    if let Some(filters) = &mut exchange.filters {
        filters.head(&mut head);
    }
    if let Some(rules) = &front.settings.edge.response_fields {
        rules.apply(&mut head);
    }
    write_own_head(front, id, &head);
    let Some(exchange) = front.exchanges.get_mut(id).filter(|exchange| exchange.coding.is_some()) else {
        return;
    };
    if let Some(record) = &mut exchange.record {
        record.status = head.status;
    }
    exchange.metered.status = head.status;
    exchange.output.push(&front.wire);
    let is_sent = exchange.coding != Some(Coding::None);
    exchange.body = is_sent.then(|| Box::new(response.body));
    begin_body(exchange, &mut front.wire);
    if exchange.stream == 0 {
        // The clock begins where the client does not take all of it at once.
        front.exchange_timers.clear(id.key);
    } else {
        slow_clients::begin_write_window(front, id);
    }
}

/// Writes a head to the loop's buffer, or as frames; the exchange responds from now on.
fn write_own_head(front: &mut Front, id: ExchangeId, head: &Head<'_>) {
    front.wire.clear();
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(connection) = front.connections.get_mut(exchange.connection) else { return };
    let context = ResponseContext {
        version: exchange.version,
        is_head: exchange.is_head,
        keep_alive: exchange.received_whole && exchange.keep_alive && !front.draining,
        date: front.clock.date.render(front.clock.unix_seconds),
        known_length: head.known_length.filter(|_| !is_filtered(exchange)),
        timing: None,
        transport_security: front.settings.transport_security.as_deref().filter(|_| exchange.is_tls),
    };
    let fields = head.fields.iter().map(|(name, value)| (&**name, &**value));
    exchange.become_state(State::Responding);
    let reason = reason_phrase(head.status).as_bytes();
    let encoded = match connection.driver.http2() {
        None => encode_head(&mut front.wire, head.status, reason, fields, &context),
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
            front.wire.extend_from_slice(LAST_RESORT);
            exchange.coding = Some(Coding::None);
            exchange.keep_alive = false;
        }
    }
}

/// The first part of the body leaves with the head, if it may.
pub(crate) fn begin_body(exchange: &mut Exchange, wire: &mut Vec<u8>) {
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
pub(crate) fn push_part(exchange: &mut Exchange, wire: &mut Vec<u8>) -> bool {
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
