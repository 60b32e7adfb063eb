//! From bytes to frames, and what each of them calls for. Runs on the front's thread.

use std::io;

use pelton_http::h2::{self, Event};

use super::MOST_WIRE;
use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;
use crate::event_loop::receive::{READ_BUDGET, SCRATCH, Turn};
use crate::exchange::ExchangeId;
use crate::memory;
use crate::notices::Level;

impl EventLoop {
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
        let doomed = self.http2(id).map(|http2| http2.session.ended_within(input)).unwrap_or_default();
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(connection) = self.connections.get_mut(id) else { return input.len() };
            let Driver::Http2(http2) = &mut connection.driver else { return input.len() };
            let step = http2.session.advance(rest, &self.limits, self.clock.now_ms, &mut self.head);
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
                // Only without a body: of one, somebody has to say that it is consumed.
                Event::Head { stream, ended: true } if doomed.binary_search(&stream).is_ok() => {
                    self.pass_over(id);
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
            // Until the client has taken the GOAWAY.
            self.set_connection_deadline(id, self.settings.write_idle_time);
        }
    }

    /// The client has closed its side: it asks for nothing more, but may still read.
    fn end_of_frames(&mut self, id: ConnectionId) -> Turn {
        let Some(http2) = self.http2(id) else { return Turn::Closed };
        if http2.is_between_requests() {
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
        if http2.is_quiet() && http2.unsent() == 0 {
            self.close(id, CloseReason::ByClientEarly);
            return Turn::Closed;
        }
        Turn::Wait
    }
}

/// The exchanges of a connection.
pub(super) fn http2_exchanges(event_loop: &mut EventLoop, id: ConnectionId) -> Vec<ExchangeId> {
    event_loop.http2(id).map(|http2| http2.exchanges()).unwrap_or_default()
}
