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
use pelton_link::{Damaged, Frame, Progress, Why, fine_us};

use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::limiting::spend_more;
use crate::event_loop::named_files::{NamedFile, named_file};
use crate::event_loop::receive::Turn;
use crate::exchange::output::Flushed;
use crate::exchange::{ExchangeId, State, Work};
use crate::memory;
use crate::notices::Level;
use crate::response::head::HeadWriter;
use crate::response::own::OwnResponse;
use crate::response::pass::{Attachment, Pass, keep_attached};
use crate::scheduling::dispatch::Place;
use crate::settings::LINGER_TIME;

mod beside;
pub(crate) mod filters;
pub(crate) mod gather;
pub(crate) mod head;
pub(crate) mod own;
mod pass;

/// Writes on one connection before the others get their turn.
const PASSES: usize = 16;

/// How a pass over a slot's frames ended.
enum Passed {
    /// Everything published is read; more may follow.
    More,
    /// The head names a file that is to be sent; the rest of the response is not.
    Named(Box<NamedFile>),
    /// There are more frames than fit one write.
    Full,
    /// All of the response is read; a broken one is not whole and never will be.
    Ended {
        /// Whether it is.
        broken: bool,
    },
}

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
        self.dispatch.let_go(place, self.now_ms);
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.slot = None;
            if exchange.state() == State::Running {
                self.respond_itself(id, OwnResponse::Lost);
            } else {
                exchange.broken = broken;
                if let Some(record) = &mut exchange.record
                    && !exchange.output.is_empty()
                {
                    record.done_us = fine_us() - self.started_us;
                }
            }
        }
        Turn::Again
    }

    /// One pass: reads frames, sends or keeps them, frees the ring.
    fn pass(&mut self, id: ExchangeId, place: Place) -> io::Result<Result<Passed, Damaged>> {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Ok(Err(Damaged)) };
        let Some(connection) = self.connections.get_mut(exchange.connection) else {
            return Ok(Err(Damaged));
        };
        let Some(worker) = self.dispatch.worker(place.seat) else { return Ok(Err(Damaged)) };
        let (slot, link) = (u32::from(place.slot), &mut worker.end);
        let wire = &mut self.wire;
        wire.clear();
        let mut pass = Pass::new();
        let sends_named = !self.named_files.is_idle();
        let is_offered = connection.is_offered(exchange.stream);
        let (mut cursor, mut progress) = link.answer(slot);
        if worker.is_dead && progress == Progress::Open {
            // What there is of it is all there will ever be.
            progress = Progress::Broken;
        }
        while pass.has_room(wire) && exchange.work == Work::None {
            if exchange.filters.as_ref().is_some_and(|filters| filters.has_file()) {
                match pass.filter_file(exchange, wire) {
                    Ok(()) => continue,
                    Err(Damaged) => return Ok(Err(Damaged)),
                }
            }
            let taken = match link.next_frame(slot, &mut cursor) {
                Ok(None) => break,
                Err(Damaged) => Err(Damaged),
                Ok(Some(Frame::Data(first, second))) => pass.data(exchange, wire, first, second),
                Ok(Some(Frame::Head(head))) => {
                    if is_offered && head.is_early_hints() {
                        // Whoever may still take the socket over does not respond yet.
                        continue;
                    }
                    // Who responds has given the socket up; a worker that has taken it nevertheless is not to be believed.
                    let is_ours = !is_offered || link.withdraw_socket(slot);
                    let mut writer = HeadWriter {
                        settings: &self.settings,
                        access_log: self.access_log.as_ref(),
                        date: self.date.render(self.unix_seconds),
                        draining: self.draining,
                        started_us: self.started_us,
                        answered_us: &mut self.answered_us,
                        meter: self.meter.as_deref_mut(),
                    };
                    let from = wire.len();
                    let started_ms = link.started_ms(slot).unwrap_or_default();
                    let written = match head.read(&mut self.head_copy).filter(|_| is_ours) {
                        Some(head)
                            if sends_named
                                && exchange.coding.is_none()
                                && let Some(named) = named_file(&head, started_ms) =>
                        {
                            self.exchange_timers.clear(id.key);
                            return Ok(Ok(Passed::Named(named)));
                        }
                        Some(head) => writer.write(exchange, &mut connection.driver, &head, started_ms, wire),
                        None => Err(Damaged),
                    };
                    if exchange.coding.is_some() {
                        // The clock of the queue, which means nothing for a response.
                        self.exchange_timers.clear(id.key);
                    }
                    pass.gather.add_wire(wire, from);
                    written
                }
                Ok(Some(Frame::File { token, offset, len })) => {
                    pass.file(exchange, wire, (token, offset, len))
                }
                Ok(Some(Frame::Lent { token, len })) => pass.loan(exchange, wire, link.take_loan(token), len),
                Ok(Some(Frame::Spend(cost))) => {
                    let spent = spend_more(&mut self.rate_limits, exchange.spender(), cost, self.turn_us);
                    link.tell_spent(slot, &cursor, spent);
                    continue;
                }
            };
            if taken.is_err() {
                return Ok(Err(Damaged));
            }
        }
        let has_file = exchange.filters.as_ref().is_some_and(|filters| filters.has_file());
        let has_work = exchange.work != Work::None;
        let at_end = cursor.is_at_end() && !has_file && !pass.defers(exchange) && !has_work;
        let is_whole = at_end && progress == Progress::Complete;
        if at_end && progress == Progress::Open && exchange.filters.is_some() && exchange.coding.is_some() {
            let _ = pass.flush_filters(exchange, wire);
        }
        if is_whole && pass.end(exchange, wire).is_err() {
            return Ok(Err(Damaged));
        }
        let sent = pass.send(exchange, &mut connection.transport, wire);
        let Pass { gather, attached, .. } = pass;
        let rest_sent = sent.as_ref().map_or(0, |sent| exchange.output.keep(gather.bytes(wire), *sent));
        // Even after a failure: what was read of the ring (descriptors among it) must not be read again.
        link.consume(slot, cursor, progress);
        let file = match attached {
            Some(Attachment::File { token, .. }) => link.take_file(slot, token),
            _ => None,
        };
        sent?;
        if exchange.output.has_failed() {
            return Err(memory::refused());
        }
        if let Some(attached) = attached {
            if keep_attached(exchange, attached, file, rest_sent, is_whole).is_err() {
                return Ok(Err(Damaged));
            }
            // The socket may have room for it: readiness has been reported and will not be again. Frames are made elsewhere.
            if exchange.stream == 0
                && matches!(
                    exchange.output.flush(&mut connection.transport)?,
                    Flushed::Paused | Flushed::Cold
                )
            {
                self.again.push(exchange.connection);
            }
        }
        Ok(Ok(match progress {
            _ if !at_end => Passed::Full,
            Progress::Complete => Passed::Ended { broken: false },
            Progress::Broken => Passed::Ended { broken: true },
            Progress::Open => Passed::More,
        }))
    }

    /// The worker wrote nonsense, or the application less or more than it announced.
    fn damaged(&mut self, id: ExchangeId, place: Place) -> Turn {
        self.shared.notices.post(
            Level::Error,
            "an answer was cut off: what the worker handed over did not match its own head".to_owned(),
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
        self.dispatch.abandon(place, Why::Gone, self.now_ms);
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
        self.shared.counters.answers_finished.up();
        self.exchange_timers.clear(id.key);
        if let Some(record) = exchange.record.take() {
            let bytes = exchange.body_bytes();
            self.note_end(record, bytes, "complete");
        }
        self.meter_finished(id);
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
                    date: self.date.render(self.unix_seconds),
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
