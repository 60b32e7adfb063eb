//! From events to exchanges: a head, a body, their ends.
//!
//! Bodies are consumed as they are stored (in the arena, or in a file), so the client may send on; of a body that is passed on while it comes,
//! as much is kept here as the stream's window allows, and consumed as the worker reads. Runs on the front's thread.

use pelton_http::{HttpError, Length, Version};

use crate::clients::slow_clients;
use crate::connection::Driver;
use crate::connection::close::CloseReason;
use crate::connection::http2::{ends, idle};
use crate::exchange::{Exchange, State};
use crate::front::Front;
use crate::handlers::redirect;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::recording::request_records;
use crate::requests::{begin, bodies, dispatching, streaming, upload_ends, uploads};
use crate::response::{interim, respond};
use crate::scheduling::ask::Load;
use crate::websockets::stream_relays;

/// An exchange for a stream that has begun.
fn new_exchange(front: &mut Front, id: ConnectionId, stream: u32) -> ExchangeId {
    let mut exchange = Exchange::new(id, front.backlog.clone());
    exchange.stream = stream;
    exchange.version = Version::Http2;
    exchange.is_tls = front.connections.get(id).is_some_and(|connection| connection.peer.is_tls);
    let exchange_id = front.exchanges.insert(exchange);
    count_stream(front, id);
    if let Some(http2) = front.http2(id) {
        http2.streams.push((stream, exchange_id));
    }
    if !front.draining {
        front.timers.clear(id.key);
    }
    exchange_id
}

/// A stream has begun. It may be the last one of its connection.
fn count_stream(front: &mut Front, id: ConnectionId) {
    front.shared.counters.http2_streams.up();
    let most = front.settings.requests_per_connection;
    let Some(connection) = front.connections.get_mut(id) else { return };
    connection.fresh = false;
    connection.requests = connection.requests.saturating_add(1);
    let is_last = most != 0 && connection.requests == most;
    if let Driver::Http2(http2) = &mut connection.driver {
        http2.head_begun = false;
        if is_last {
            http2.session.announce_leaving();
        }
    }
    if front.draining {
        idle::leave_http2(front, id);
    }
}

/// A head is complete whose stream is reset by what has come behind it: it counts, and nobody begins with it.
pub(crate) fn pass_over(front: &mut Front, id: ConnectionId) {
    front.shared.counters.http2_streams_passed_over.up();
    count_stream(front, id);
}

/// A head is complete and in `front.head`.
pub(crate) fn begin_exchange(front: &mut Front, id: ConnectionId, stream: u32, ended: bool) {
    let exchange_id = new_exchange(front, id, stream);
    let Some(http2) = front.http2(id) else { return };
    let mut text = http2.session.take_text();
    stream_relays::as_upgrade(front, &mut text);
    begin_request(front, id, exchange_id, &text, ended);
    if let Some(http2) = front.http2(id) {
        http2.session.give_text(text);
    }
}

fn begin_request(front: &mut Front, id: ConnectionId, exchange_id: ExchangeId, bytes: &[u8], ended: bool) {
    let Some(connection) = front.connections.get(id) else { return };
    let is_special = begin::may_be_ours(front, connection.role);
    if let Some(exchange) = front.exchanges.get_mut(exchange_id) {
        exchange.is_head = front.head.method.of(bytes) == b"HEAD";
        exchange.is_tls = connection.peer.is_tls;
    }
    if is_special && redirect::respond_by_role(front, exchange_id, bytes) {
        return;
    }
    let Ok(client) = begin::client_of_request(front, exchange_id, bytes) else { return };
    begin::hand_on(front, exchange_id, bytes, &client, |front, all| {
        begin_load(front, exchange_id, all, ended)
    });
}

/// The application gets a request as soon as what it needs of the body is there.
fn begin_load(front: &mut Front, exchange_id: ExchangeId, all: &[u8], ended: bool) {
    if front.head.asks_for_websocket {
        dispatching::submit_with_socket(front, exchange_id, all, ended);
    } else if ended || front.head.length == Length::None {
        dispatching::submit(front, exchange_id, all, Load::Inline(&[]));
    } else if streaming::is_streamed(front, all) {
        streaming::begin_stream(front, exchange_id, all, false);
    } else {
        let wants_continue = front.head.expect_continue;
        bodies::begin_body(front, exchange_id, all);
        if wants_continue {
            interim::send_continue(front, exchange_id);
        }
    }
}

/// Data of a body. What is stored is consumed; what waits for the worker is not.
pub(crate) fn take_data(front: &mut Front, id: ConnectionId, stream: u32, bytes: &[u8]) {
    if let Some(relay) = stream_relays::stream_relay(front, id, stream) {
        stream_relays::relay_data(front, id, stream, relay, bytes);
        return;
    }
    if let Some(http2) = front.http2(id)
        && let Some(offer) = http2.offer_mut(stream)
    {
        // Whoever takes it finds it there.
        let done = offer.take_data(bytes);
        http2.session.consumed(stream, done);
        return;
    }
    let Some(exchange_id) = front.exchange_of_stream(id, stream) else { return };
    let Some(exchange) = front.exchanges.get_mut(exchange_id) else { return };
    if let Some(upload) = exchange.upload.as_deref_mut() {
        upload.held.extend_from_slice(bytes);
        uploads::upload_progress(front, exchange_id, bytes.len());
        return;
    }
    if exchange.pending.is_some() && bodies::collect_piece(front, exchange_id, bytes) {
        slow_clients::body_progress(front, exchange_id, 0);
    }
    if let Some(http2) = front.http2(id) {
        http2.session.consumed(stream, bytes.len());
    }
}

pub(crate) fn end_of_body(front: &mut Front, id: ConnectionId, stream: u32) {
    if let Some(relay) = stream_relays::stream_relay(front, id, stream) {
        stream_relays::relay_end(front, relay);
        return;
    }
    if let Some(offer) = front.http2(id).and_then(|http2| http2.offer_mut(stream)) {
        offer.end_client();
        return;
    }
    let Some(exchange_id) = front.exchange_of_stream(id, stream) else { return };
    let Some(exchange) = front.exchanges.get_mut(exchange_id) else { return };
    if let Some(upload) = exchange.upload.as_deref_mut() {
        upload.ended = true;
    } else if exchange.pending.is_some() && exchange.state() == State::Receiving {
        dispatching::dispatch_pending(front, exchange_id);
    }
}

/// The head or the body of a request is refused.
pub(crate) fn refuse_stream(front: &mut Front, id: ConnectionId, stream: u32, error: HttpError) {
    let exchange_id = match front.exchange_of_stream(id, stream) {
        Some(exchange_id) => exchange_id,
        None => new_exchange(front, id, stream),
    };
    let Some(exchange) = front.exchanges.get_mut(exchange_id) else { return };
    if exchange.upload.is_some() {
        upload_ends::refuse_upload(front, exchange_id, error);
    } else if exchange.state() == State::Receiving {
        request_records::note_refused(front, exchange_id, &[]);
        respond::refuse(front, exchange_id, error);
    }
}

pub(crate) fn stream_was_reset(front: &mut Front, id: ConnectionId, stream: u32) {
    front.shared.counters.http2_streams_reset.up();
    match front.exchange_of_stream(id, stream) {
        Some(exchange_id) => ends::drop_stream(front, exchange_id, CloseReason::ByClientEarly),
        None if stream_relays::stream_relay(front, id, stream).is_some() => {
            stream_relays::end_stream_relay(front, id, stream, None, CloseReason::ByClientEarly);
        }
        None => {
            let Some(http2) = front.http2(id) else { return };
            http2.session.release(stream);
            idle::idle_from_now(front, id);
        }
    }
}
