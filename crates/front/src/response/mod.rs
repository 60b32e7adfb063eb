//! Responses: from their source through filters and framing to the transport.
//!
//! ```text
//!   source: a worker's ring (`pass`), the front itself (`own`)
//!      └► filters (`filters`; none for most)
//!           └► framing: HTTP/1 text and chunks (`pelton_http::h1::encode`), or frames of HTTP/2
//!                └► the exchange's output (what is not taken at once) ► the connection's transport
//! ```
//!
//! Runs on the front's thread. A response that the socket takes at once is never copied except for small pieces that are gathered into one
//! write; of what the socket does not take, a bounded part is kept so that the worker's thread is free again.

use std::io;

use pelton_http::ResponseContext;
use pelton_http::h1::encode::CONTINUE;
use pelton_link::{Damaged, Why, fine_us};

use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::metering::meter_finished;
use crate::event_loop::receive::Turn;
use crate::exchange::output::Flushed;
use crate::exchange::{ExchangeId, State, Work};
use crate::notices::Level;
use crate::response::own::OwnResponse;
use crate::response::reading::Passed;
use crate::scheduling::dispatch::Place;
use crate::settings::LINGER_TIME;

mod attached;
mod beside;
pub(crate) mod filters;
pub(crate) mod gather;
pub(crate) mod head;
pub(crate) mod own;
mod pass;
mod reading;

/// Writes on one connection before the others get their turn.
const PASSES: usize = 16;

impl EventLoop {
    /// Passes on what the worker has written, as far as the client takes it or may lag behind.
    pub(crate) fn pump(&mut self, id: ExchangeId, place: Place) -> Turn {
        for _ in 0..PASSES {
            if self.exchanges.get(id).is_some_and(|exchange| exchange.work != Work::None) {
                return self.work_beside(id);
            }
            if self.is_full(id) {
                return self.wait_for_reader(id);
            }
            let passed = match self.pass(id, place) {
                Ok(Ok(passed)) => passed,
                Ok(Err(Damaged)) => return self.damaged(id, place),
                Err(error) => {
                    self.close_exchange(id, CloseReason::of_error(&error, CloseReason::ByClientEarly));
                    return Turn::Closed;
                }
            };
            match passed {
                Passed::Full => {}
                Passed::Named(named) => return self.send_named(id, place, *named),
                Passed::More => return self.wait_for_reader(id),
                Passed::Ended { broken } => return self.end_of_slot(id, place, broken),
            }
        }
        // A worker that writes as fast as its client reads must not keep the front from the others.
        self.drive_again(id);
        self.wait_for_reader(id)
    }

    /// All that the worker has written is read.
    fn end_of_slot(&mut self, id: ExchangeId, place: Place, broken: bool) -> Turn {
        if !self.keep_socket(id) {
            return Turn::Closed;
        }
        self.dispatch.let_go(place, self.clock.now_ms);
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.slot = None;
            if exchange.state() == State::Running {
                self.respond_itself(id, OwnResponse::Lost);
            } else {
                exchange.broken = broken;
                if let Some(record) = &mut exchange.record
                    && !exchange.output.is_empty()
                {
                    record.done_us = fine_us() - self.clock.started_us;
                }
            }
        }
        Turn::Again
    }

    /// The worker wrote nonsense, or the application less or more than it announced.
    fn damaged(&mut self, id: ExchangeId, place: Place) -> Turn {
        self.shared.notices.post(
            Level::Error,
            "a response was cut off: what the worker handed over did not match its own head".to_owned(),
        );
        if let Some(worker) = self.dispatch.worker(place.seat) {
            worker.discard(place.slot);
        }
        if !self.keep_socket(id) {
            return Turn::Closed;
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        if exchange.state() != State::Running {
            self.close_exchange(id, CloseReason::BrokenResponse);
            return Turn::Closed;
        }
        exchange.slot = None;
        self.dispatch.abandon(place, Why::Gone, self.clock.now_ms);
        self.respond_itself(id, OwnResponse::Damaged);
        Turn::Again
    }

    /// The socket has room again, or the state has just become Responding.
    pub(crate) fn send_on(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        let Some(connection) = self.connections.get_mut(exchange.connection) else { return Turn::Closed };
        if !exchange.output.is_empty() || connection.transport.has_unsent() {
            match exchange.output.flush(&mut connection.transport) {
                Ok(Flushed::All) => {}
                Ok(Flushed::Paused) => {
                    self.exchange_timers.clear(id.key);
                    self.again.push(exchange.connection);
                    return self.wait_for_reader(id);
                }
                Ok(Flushed::Cold) => return self.warm_up(id),
                Ok(Flushed::Blocked(count)) => {
                    let slot = exchange.slot;
                    self.write_progress(id, count);
                    // Also without progress: what was left over from the last turn may go to a file.
                    return match slot {
                        Some(place) => self.pump(id, place),
                        None => self.wait_for_reader(id),
                    };
                }
                Err(error) => {
                    let reason = match error.kind() {
                        io::ErrorKind::UnexpectedEof => CloseReason::FileChanged,
                        _ => CloseReason::of_error(&error, CloseReason::ByClientEarly),
                    };
                    self.close_exchange(id, reason);
                    return Turn::Closed;
                }
            }
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        match exchange.slot {
            _ if exchange.work != Work::None => self.work_beside(id),
            Some(place) => self.pump(id, place),
            None if exchange.body.is_some() => self.pump_own(id),
            None => self.finish(id),
        }
    }

    /// All of the response has left.
    fn finish(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        if exchange.upload.is_some() {
            // Afterwards there is none.
            return self.finish_upload(id).unwrap_or_else(|| self.finish(id));
        }
        if exchange.broken {
            self.close_exchange(id, CloseReason::BrokenResponse);
            return Turn::Closed;
        }
        exchange.become_state(State::Finished);
        self.shared.counters.responses_finished.up();
        self.exchange_timers.clear(id.key);
        meter_finished(self.recording.meter.as_deref_mut(), exchange, self.clock.turn_us);
        if let Some(record) = exchange.record.take() {
            let bytes = exchange.body_bytes();
            self.note_end(record, bytes, "complete");
        }
        self.follow_on(id)
    }

    /// The exchange is over: what becomes of its HTTP/1 connection.
    fn follow_on(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        let connection_id = exchange.connection;
        let Some(connection) = self.connections.get_mut(connection_id) else { return Turn::Closed };
        let Driver::Http1(http1) = &mut connection.driver else { return Turn::Wait };
        if !exchange.keep_alive {
            let nothing_unread = http1.input.is_empty() && !connection.transport.is_readable();
            if nothing_unread && exchange.received_whole {
                self.close(connection_id, CloseReason::AfterResponse);
                return Turn::Closed;
            }
            connection.lingering = true;
            connection.transport.end_sending();
            self.set_connection_deadline(connection_id, LINGER_TIME);
            return self.linger(connection_id);
        }
        let Some((next, exchange)) = self.exchanges.renew(id) else { return Turn::Closed };
        exchange.renew();
        http1.next_request(next);
        // A response that began before a drain did not announce the end, so the next request may be on its way.
        if self.draining && self.leave_open(connection_id) {
            return Turn::Closed;
        }
        let time = if self.draining { DRAIN_GRACE } else { self.settings.keep_alive_time };
        self.set_connection_deadline(connection_id, time);
        Turn::Again
    }

    /// Throws away what a client still sends after its last response.
    pub(crate) fn linger(&mut self, id: ConnectionId) -> Turn {
        let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
        // A turn at a time; a client that never stops is cut off at the end of the linger time.
        for _ in 0..16 {
            if !connection.transport.is_readable() {
                break;
            }
            connection.transport.discard(&mut self.scratch);
        }
        if connection.transport.is_readable() {
            self.again.push(id);
        } else if connection.transport.peer_done() {
            self.close(id, CloseReason::AfterResponse);
            return Turn::Closed;
        }
        Turn::Wait
    }

    /// The client waits for leave to send its body (RFC 9110 section 10.1.1).
    pub(crate) fn send_continue(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(id)
            && let Some(connection) = self.connections.get_mut(exchange.connection)
        {
            if exchange.stream != 0 {
                let context = ResponseContext {
                    version: exchange.version,
                    is_head: false,
                    keep_alive: true,
                    date: self.clock.date.render(self.clock.unix_seconds),
                    known_length: None,
                    timing: None,
                    transport_security: None,
                };
                let sent = connection.driver.send_head(exchange, 100, [], &context);
                debug_assert!(sent.is_ok());
            } else if exchange.output.is_empty() {
                // A failure shows at the next read.
                let pieces = [io::IoSlice::new(CONTINUE)];
                let _ = exchange.output.send_or_keep(&mut connection.transport, &pieces);
            } else {
                exchange.output.push(CONTINUE);
            }
        }
    }
}
