//! From bytes to frames, and what each of them calls for. Runs on the front's thread.

use std::io;

use pelton_http::h2::Event;

use crate::connection::close::CloseReason;
use crate::connection::http2::ends::http2_exchanges;
use crate::connection::http2::{MOST_WIRE, ends, idle, send, stream_bodies, streams};
use crate::connection::turn::{READ_BUDGET, SCRATCH, Turn};
use crate::connection::{Driver, closing};
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::memory;
use crate::websockets::stream_relays;

/// Takes a connection as far as it goes now.
pub(crate) fn drive_http2(front: &mut Front, id: ConnectionId) -> Turn {
    let turn = receive_frames(front, id);
    if turn == Turn::Closed {
        return Turn::Closed;
    }
    stream_bodies::feed_streams(front, id);
    send::send_streams(front, id)
}

/// Reads and understands until the socket has nothing more, the client has too much to read first, or the budget is spent.
fn receive_frames(front: &mut Front, id: ConnectionId) -> Turn {
    let mut budget = READ_BUDGET;
    loop {
        let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
        let Driver::Http2(http2) = &mut connection.driver else { return Turn::Wait };
        if http2.ending || http2.unsent() > MOST_WIRE {
            return Turn::Wait;
        }
        if http2.unseen {
            http2.unseen = false;
            let mut input = std::mem::take(&mut http2.input);
            let consumed = look_at_frames(front, id, &input);
            input.drain(..consumed.min(input.len()));
            if let Some(http2) = front.http2(id) {
                // An idle connection keeps no buffer.
                http2.input = if input.is_empty() { Vec::new() } else { input };
            }
            continue;
        }
        if !connection.transport.is_readable() {
            if connection.transport.peer_done() {
                return end_of_frames(front, id);
            }
            return Turn::Wait;
        }
        if budget == 0 {
            front.again.push(id);
            return Turn::Wait;
        }
        if let Err(error) = read_frames(front, id, &mut budget) {
            closing::close(front, id, CloseReason::of_error(&error, CloseReason::TransportError));
            return Turn::Closed;
        }
    }
}

/// One read.
fn read_frames(front: &mut Front, id: ConnectionId, budget: &mut usize) -> io::Result<()> {
    let Some(connection) = front.connections.get_mut(id) else { return Ok(()) };
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
    let mut scratch = std::mem::take(&mut front.scratch);
    let result = connection.transport.read(&mut scratch).and_then(|count| {
        *budget = budget.saturating_sub(count);
        let input = scratch.get(..count).unwrap_or_default();
        let consumed = look_at_frames(front, id, input);
        let rest = input.get(consumed..).unwrap_or_default();
        front.http2(id).map_or(Ok(()), |http2| memory::append(&mut http2.input, rest))
    });
    front.scratch = scratch;
    result
}

/// Shows `input` to the session and does what its events say. Gives how much was consumed.
fn look_at_frames(front: &mut Front, id: ConnectionId, input: &[u8]) -> usize {
    let mut at = 0;
    let doomed = front.http2(id).map(|http2| http2.session.ended_within(input)).unwrap_or_default();
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let Some(connection) = front.connections.get_mut(id) else { return input.len() };
        let Driver::Http2(http2) = &mut connection.driver else { return input.len() };
        let step = http2.session.advance(rest, &front.limits, front.clock.now_ms, &mut front.head);
        at += step.consumed;
        let (refused, caused) = http2.session.take_tally();
        if refused + caused > 0 {
            front.shared.counters.http2_streams_refused.add(refused);
            front.shared.counters.http2_resets_caused.add(caused);
        }
        match step.event {
            Event::NeedMore => {
                await_frame(front, id, at < input.len());
                return at;
            }
            // Only without a body: of one, somebody has to say that it is consumed.
            Event::Head { stream, ended: true } if doomed.binary_search(&stream).is_ok() => {
                streams::pass_over(front, id);
            }
            Event::Head { stream, ended } => streams::begin_exchange(front, id, stream, ended),
            Event::Body { stream, range } => {
                streams::take_data(front, id, stream, rest.get(range).unwrap_or_default());
            }
            Event::End { stream } => streams::end_of_body(front, id, stream),
            Event::Refused { stream, error } => streams::refuse_stream(front, id, stream, error),
            Event::Reset { stream } => streams::stream_was_reset(front, id, stream),
            Event::Windows => {}
            Event::GoingAway => {
                if let Some(http2) = front.http2(id) {
                    http2.session.leave();
                }
            }
            Event::Failed(fault) => {
                ends::give_up_session(front, id, fault);
                return input.len();
            }
        }
    }
}

/// A part of a frame or of a header block is on the clock of heads; between requests it is another one.
fn await_frame(front: &mut Front, id: ConnectionId, has_part: bool) {
    let Some(http2) = front.http2(id) else { return };
    let has_begun = has_part || http2.session.is_in_head();
    let is_new = has_begun != std::mem::replace(&mut http2.head_begun, has_begun);
    if !is_new {
        return;
    }
    let is_idle = http2.is_idle();
    if has_begun {
        front.set_connection_deadline(id, front.settings.head_time);
    } else if is_idle || front.draining {
        front.set_connection_deadline(id, idle::idle_time(front));
    } else {
        front.timers.clear(id.key);
    }
}

/// The client has closed its side: it asks for nothing more, but may still read.
fn end_of_frames(front: &mut Front, id: ConnectionId) -> Turn {
    let Some(http2) = front.http2(id) else { return Turn::Closed };
    if http2.is_between_requests() {
        closing::close(front, id, CloseReason::ByClient);
        return Turn::Closed;
    }
    for exchange_id in http2_exchanges(front, id) {
        let Some(exchange) = front.exchanges.get(exchange_id) else { continue };
        if exchange.pending.is_some() {
            // The rest of it will never come.
            ends::drop_stream(front, exchange_id, CloseReason::ByClientEarly);
        }
    }
    let relays = front.http2(id).map(|http2| http2.tunnels.clone()).unwrap_or_default();
    for (_, relay) in relays {
        stream_relays::relay_end(front, relay);
    }
    let Some(http2) = front.http2(id) else { return Turn::Closed };
    if http2.is_quiet() && http2.unsent() == 0 {
        closing::close(front, id, CloseReason::ByClientEarly);
        return Turn::Closed;
    }
    Turn::Wait
}
