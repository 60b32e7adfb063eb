//! The sockets of clients who ask for a WebSocket: offered to a worker, and taken by it or not. Runs on the front's thread.
//!
//! The application speaks the protocol itself, on the socket. So a duplicate of the descriptor goes along with the request; who has the socket is
//! decided once, by a word of the slot (`link/socket`). While it is offered the front reads nothing from it: what the client sends meanwhile
//! stays in the kernel, for whoever will read. It writes nothing either before the offer is withdrawn.
//!
//! A socket that was taken is no connection any more: the front forgets it without a shutdown, and nothing of it counts here, neither for the
//! limits of connections nor for a drain. Each worker bounds how many it has. If the application answers instead, all goes on as
//! usual, but the worker may have its duplicate for a moment more: so such a connection is shut down before it is closed.
//!
//! With TLS in front the socket is not the client's own but one end of a socket pair, and the front relays between the two (`relays`); the rest
//! is the same. So it is with a stream of HTTP/2 (`websockets/stream_relays`).

use std::io;
use std::os::fd::OwnedFd;

use crate::clients::registry;
use crate::connection::close::CloseReason;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::recording::{metering, request_records};
use crate::scheduling::dispatch::Dispatch;
use crate::transport::tls::Tls;
use crate::websockets::{socket_relays, stream_relays};

/// Of the response that the application sends itself.
const SWITCHING_PROTOCOLS: u16 = 101;

pub(crate) fn share_socket(front: &mut Front, id: ExchangeId, client_ended: bool) -> io::Result<OwnedFd> {
    let Some(exchange) = front.exchanges.get(id) else { return Err(io::ErrorKind::NotFound.into()) };
    if exchange.stream != 0 {
        return stream_relays::offer_tunnel(front, id, client_ended);
    }
    let connection = front.connections.get_mut(exchange.connection).ok_or(io::ErrorKind::NotFound)?;
    let socket = connection.transport.share()?;
    connection.is_shared = true;
    Ok(socket)
}

/// To be called before the front writes to a connection by itself, or closes it: false when a worker was quicker and has taken the socket. Then
/// the connection is no more.
#[inline]
pub(crate) fn keep_socket(front: &mut Front, id: ExchangeId) -> bool {
    let Some(exchange) = front.exchanges.get(id) else { return true };
    let Some(connection) = front.connections.get(exchange.connection) else { return true };
    if !connection.is_offered(exchange.stream) {
        return true;
    }
    let Some(place) = exchange.slot else { return true };
    if front.dispatch.worker(place.seat).is_none_or(|worker| worker.withdraw(place.slot)) {
        return true;
    }
    hand_over(front, id, place);
    false
}

/// A worker has taken the socket of a connection.
pub(crate) fn hand_over(front: &mut Front, id: ExchangeId, place: Place) {
    if let Some(worker) = front.dispatch.worker(place.seat) {
        worker.forget_socket(place.slot);
    }
    front.exchange_timers.clear(id.key);
    if let Some(mut exchange) = front.exchanges.remove(id) {
        if exchange.stream != 0 {
            stream_relays::begin_stream_relay(front, exchange);
            front.dispatch.reap(place, front.clock.now_ms);
            return;
        }
        let reason = CloseReason::HandedOver;
        reason.counter(&front.shared.counters).up();
        if let Some(mut record) = exchange.record.take() {
            record.status = SWITCHING_PROTOCOLS;
            record.responded_us = front.clock.now_us();
            request_records::note_end(front, record, 0, reason.for_the_log());
        }
        exchange.metered.status = SWITCHING_PROTOCOLS;
        metering::meter_end(front, &exchange);
        if let Some(mut connection) = front.connections.remove(exchange.connection) {
            front.timers.clear(exchange.connection.key);
            registry::forget_client(front, &connection);
            match connection.transport.tls_mut().and_then(Tls::take_relay) {
                Some(worker) => socket_relays::begin_relay(front, connection.transport, worker),
                // The worker's descriptor keeps the socket open, and with it the poller's entry.
                None => front.deregister(&connection.transport),
            }
        }
    }
    front.dispatch.reap(place, front.clock.now_ms);
}

impl Dispatch {
    /// Whether the worker has taken the socket of the request in a slot.
    #[inline]
    pub fn has_taken_socket(&mut self, place: Place) -> bool {
        self.worker(place.seat).is_some_and(|worker| worker.has_taken_socket(place.slot))
    }
}
