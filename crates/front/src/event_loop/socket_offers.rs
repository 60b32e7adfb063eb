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
//! is the same. So it is with a stream of HTTP/2 (`connection/http2/tunnels`).

use std::io;
use std::os::fd::OwnedFd;

use crate::connection::Connection;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::exchange::ExchangeId;
use crate::notices::Level;
use crate::response::own::OwnResponse;
use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::{Dispatch, Place};
use crate::transport::tls::Tls;

/// Of the response that the application sends itself.
const SWITCHING_PROTOCOLS: u16 = 101;

impl EventLoop {
    /// Hands on a request whose head is in `self.head`, with its client's socket.
    ///
    /// `client_ended`: of a stream, that nothing will come of it.
    pub(crate) fn submit_with_socket(&mut self, id: ExchangeId, bytes: &[u8], client_ended: bool) {
        match self.share_socket(id, client_ended) {
            Ok(socket) => {
                self.shared.counters.sockets_offered.up();
                self.submit(id, bytes, Load::Socket(socket));
            }
            Err(error) => {
                let message =
                    format!("the socket of a WebSocket cannot be passed on: {error}; its client gets 503");
                self.shared.notices.post(Level::Error, message);
                self.respond_itself(id, OwnResponse::NoDescriptor);
            }
        }
    }

    fn share_socket(&mut self, id: ExchangeId, client_ended: bool) -> io::Result<OwnedFd> {
        let Some(exchange) = self.exchanges.get(id) else { return Err(io::ErrorKind::NotFound.into()) };
        if exchange.stream != 0 {
            return self.offer_tunnel(id, client_ended);
        }
        let connection = self.connections.get_mut(exchange.connection).ok_or(io::ErrorKind::NotFound)?;
        let socket = connection.transport.share()?;
        connection.is_shared = true;
        Ok(socket)
    }

    /// To be called before the front writes to a connection by itself, or closes it: false when a worker was quicker and has taken the socket. Then
    /// the connection is no more.
    #[inline]
    pub(crate) fn keep_socket(&mut self, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return true };
        let Some(connection) = self.connections.get(exchange.connection) else { return true };
        if !connection.is_offered(exchange.stream) {
            return true;
        }
        let Some(place) = exchange.slot else { return true };
        if self.dispatch.worker(place.seat).is_none_or(|worker| worker.withdraw(place.slot)) {
            return true;
        }
        self.hand_over(id, place);
        false
    }

    /// A worker has taken the socket of a connection.
    pub(crate) fn hand_over(&mut self, id: ExchangeId, place: Place) {
        if let Some(worker) = self.dispatch.worker(place.seat) {
            worker.forget_socket(place.slot);
        }
        self.exchange_timers.clear(id.key);
        if let Some(mut exchange) = self.exchanges.remove(id) {
            if exchange.stream != 0 {
                self.begin_stream_relay(exchange);
                self.dispatch.reap(place, self.clock.now_ms);
                return;
            }
            let reason = CloseReason::HandedOver;
            reason.counter(&self.shared.counters).up();
            if let Some(mut record) = exchange.record.take() {
                record.status = SWITCHING_PROTOCOLS;
                record.responded_us = self.clock.now_us();
                self.note_end(record, 0, reason.for_the_log());
            }
            exchange.metered.status = SWITCHING_PROTOCOLS;
            self.meter_end(&exchange);
            if let Some(mut connection) = self.connections.remove(exchange.connection) {
                self.timers.clear(exchange.connection.key);
                self.forget_client(&connection);
                match connection.transport.tls_mut().and_then(Tls::take_relay) {
                    Some(worker) => self.begin_relay(connection.transport, worker),
                    // The worker's descriptor keeps the socket open, and with it the poller's entry.
                    None => self.deregister(&connection.transport),
                }
            }
        }
        self.dispatch.reap(place, self.clock.now_ms);
    }

    /// A connection is about to be dropped of whose socket a worker may have a duplicate: the client is to see the end all the same.
    pub(crate) fn part_with(&self, connection: &Connection) {
        self.deregister(&connection.transport);
        connection.transport.shut_down();
    }
}

impl Dispatch {
    /// Whether the worker has taken the socket of the request in a slot.
    #[inline]
    pub fn has_taken_socket(&mut self, place: Place) -> bool {
        self.worker(place.seat).is_some_and(|worker| worker.has_taken_socket(place.slot))
    }
}
