//! From bytes to requests: reads sockets and drives the parser.
//!
//! Runs on the front's thread. Decides nothing about HTTP (that is `pelton_http`) and nothing about slots (that is `scheduling`);
//! knows only in which order bytes, events and states follow each other.

use std::io;

use pelton_http::{Event, Length};
use pelton_link::CHUNK_BYTES;

use crate::clients::{handshakes, slow_clients};
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::preface;
use crate::connection::turn::{READ_BUDGET, SCRATCH, Turn};
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::memory;
use crate::recording::request_records;
use crate::requests::{begin, bodies, dispatching, proxy_header, streaming};
use crate::response::respond;

/// What looking at some input led to.
enum Seen {
    /// All of it is understood so far; more is needed.
    More,
    /// The state of the exchange has changed; the rest of the input is for later.
    Turned,
}

/// Reads and parses until the request is complete, the socket has nothing more, or the budget is spent.
pub(crate) fn receive(front: &mut Front, id: ConnectionId) -> Turn {
    let mut budget = READ_BUDGET;
    loop {
        let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
        let Some(http1) = connection.driver.http1() else { return Turn::Again };
        if http1.unseen {
            http1.unseen = false;
            let input = std::mem::take(&mut http1.input);
            let (consumed, seen) = look(front, id, &input);
            let Some(connection) = front.connections.get_mut(id) else { return Turn::Closed };
            let Some(http1) = connection.driver.http1() else { return Turn::Again };
            http1.consume(input, consumed);
            if matches!(seen, Seen::Turned) {
                http1.unseen = !http1.input.is_empty();
                return Turn::Again;
            }
            continue;
        }
        if !connection.transport.is_readable() {
            let is_end = connection.transport.peer_done();
            return if is_end { end_of_input(front, id) } else { Turn::Wait };
        }
        if budget == 0 {
            front.again.push(id);
            return Turn::Wait;
        }
        match read_once(front, id, &mut budget) {
            Ok(Seen::More) => {}
            Ok(Seen::Turned) => return Turn::Again,
            Err(error) => {
                closing::close(front, id, CloseReason::of_error(&error, CloseReason::TransportError));
                return Turn::Closed;
            }
        }
    }
}

/// One read: into the body's memory where there is a body of known length, else into the loop's buffer.
fn read_once(front: &mut Front, id: ConnectionId, budget: &mut usize) -> io::Result<Seen> {
    let Some(connection) = front.connections.get_mut(id) else { return Ok(Seen::Turned) };
    let Some(http1) = connection.driver.http1() else { return Ok(Seen::Turned) };
    if !http1.input.is_empty() {
        // A part of a head or of a chunk's framing is there: the parser wants it in one piece with what follows.
        let start = http1.input.len();
        memory::grow(&mut http1.input, SCRATCH / 4)?;
        let result = connection.transport.read(http1.input.get_mut(start..).unwrap_or_default());
        http1.input.truncate(start + result.as_ref().map_or(0, |count| *count));
        let count = result?;
        http1.unseen = count > 0;
        *budget = budget.saturating_sub(count);
        return Ok(Seen::More);
    }
    let exchange_id = http1.exchange;
    if let Some(exchange) = front.exchanges.get_mut(exchange_id)
        && let Some(pending) = exchange.pending.as_mut()
        && let Length::Exact(length) = pending.head.length
    {
        let left = usize::try_from(length - pending.body.len()).unwrap_or(usize::MAX);
        // What has just been received was all that was asked for, so there is more.
        if *budget < READ_BUDGET && left > CHUNK_BYTES {
            let memory = front.settings.body_memory_bytes;
            let mut rooms = pending.body.rooms(&mut front.dispatch.bodies, memory, left);
            if !rooms.is_empty() {
                let count = connection.transport.read_vectored(&mut rooms)?;
                drop(rooms);
                *budget = budget.saturating_sub(count);
                return Ok(if count > 0 { account(front, id, exchange_id, count) } else { Seen::More });
            }
        }
        if let Some(room) = pending.body.room(&mut front.dispatch.bodies, front.settings.body_memory_bytes) {
            let want = room.len().min(left);
            let count = connection.transport.read(room.get_mut(..want).unwrap_or_default())?;
            *budget = budget.saturating_sub(count);
            return Ok(if count > 0 { account(front, id, exchange_id, count) } else { Seen::More });
        }
    }
    let mut scratch = std::mem::take(&mut front.scratch);
    let seen = connection.transport.read(&mut scratch).and_then(|count| {
        if count == 0 {
            return Ok(Seen::More);
        }
        *budget = budget.saturating_sub(count);
        let input = scratch.get(..count).unwrap_or_default();
        let (consumed, seen) = look(front, id, input);
        keep_rest(front, id, input.get(consumed..).unwrap_or_default(), &seen)?;
        Ok(seen)
    });
    front.scratch = scratch;
    seen
}

fn keep_rest(front: &mut Front, id: ConnectionId, rest: &[u8], seen: &Seen) -> io::Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    if let Some(http1) = front.connections.get_mut(id).and_then(|connection| connection.driver.http1()) {
        memory::append(&mut http1.input, rest)?;
        http1.unseen = matches!(seen, Seen::Turned);
    }
    Ok(())
}

/// Tells the parser of body bytes that were received in place.
fn account(front: &mut Front, id: ConnectionId, exchange_id: ExchangeId, count: usize) -> Seen {
    let Some(connection) = front.connections.get_mut(id) else { return Seen::Turned };
    let Some(http1) = connection.driver.http1() else { return Seen::Turned };
    let Some(exchange) = front.exchanges.get_mut(exchange_id) else { return Seen::Turned };
    let Some(pending) = exchange.pending.as_mut() else { return Seen::More };
    let (mut left, mut is_ok) = (count, true);
    while left > 0 && is_ok {
        let bytes = pending.body.received(&mut front.dispatch.bodies, left);
        let piece = bytes.len();
        // All of it is body: no more than what is missing was asked for.
        let step = http1.receiver.advance(bytes, &front.limits, &mut front.head);
        debug_assert!(piece > 0 && step.as_ref().is_ok_and(|step| step.consumed == piece));
        is_ok = step.is_ok() && piece > 0;
        pending.body.advance(piece);
        left -= piece;
    }
    if is_ok
        && let Ok(step) = http1.receiver.advance(&[], &front.limits, &mut front.head)
        && step.event == Event::End
    {
        dispatching::dispatch_pending(front, exchange_id);
        return Seen::Turned;
    }
    slow_clients::body_progress(front, exchange_id, count);
    Seen::More
}

/// Shows `input` to the parser and does what its events say. Gives how much was consumed.
#[inline]
fn look(front: &mut Front, id: ConnectionId, input: &[u8]) -> (usize, Seen) {
    let mut at = 0;
    loop {
        let Some(connection) = front.connections.get_mut(id) else { return (at, Seen::Turned) };
        let rest = input.get(at..).unwrap_or_default();
        if connection.awaits_proxy_header {
            match proxy_header::look_for_proxy_header(front, id, rest) {
                Some(0) => return (at, Seen::More),
                Some(consumed) => at += consumed,
                None => return (input.len(), Seen::Turned),
            }
            continue;
        }
        if connection.may_be_http2 {
            match preface::look_for_preface(front, id, rest) {
                Some(true) => return (input.len(), Seen::Turned),
                Some(false) => continue,
                None => return (at, Seen::More),
            }
        }
        let Some(http1) = connection.driver.http1() else { return (at, Seen::Turned) };
        let exchange_id = http1.exchange;
        let step = match http1.receiver.advance(rest, &front.limits, &mut front.head) {
            Ok(step) => step,
            Err(error) => {
                if rest.starts_with(&[0x16, 3]) {
                    handshakes::tell_of_tls(front, id);
                }
                request_records::note_refused(front, exchange_id, rest);
                respond::refuse(front, exchange_id, error);
                return (input.len(), Seen::Turned);
            }
        };
        at += step.consumed;
        match step.event {
            Event::NeedMore => {
                waiting_for_more(front, id, exchange_id);
                return (at, Seen::More);
            }
            Event::Head => {
                let bytes = rest.get(..step.consumed).unwrap_or_default();
                let after = input.get(at..).unwrap_or_default();
                match begin::begin(front, id, exchange_id, bytes, after) {
                    Some(consumed) => return (at + consumed, Seen::Turned),
                    None => continue,
                }
            }
            Event::Body(range) => {
                if !bodies::collect_piece(front, exchange_id, rest.get(range).unwrap_or_default()) {
                    return (input.len(), Seen::Turned);
                }
            }
            Event::End => {
                dispatching::dispatch_pending(front, exchange_id);
                return (at, Seen::Turned);
            }
        }
    }
}

/// Nothing else is to be done for an exchange at present: if its body is passed on while it comes, here is where it does.
#[inline]
pub(crate) fn receive_more(front: &mut Front, id: ExchangeId) -> Turn {
    match front.exchanges.get(id) {
        Some(exchange) if exchange.upload.is_some() => streaming::stream_in(front, id),
        _ => Turn::Wait,
    }
}

/// The parser wants more: a head that has begun is on the clock.
fn waiting_for_more(front: &mut Front, id: ConnectionId, exchange_id: ExchangeId) {
    let Some(http1) = front.connections.get_mut(id).and_then(|connection| connection.driver.http1()) else {
        return;
    };
    if front.exchanges.get(exchange_id).is_some_and(|exchange| exchange.pending.is_some()) {
        slow_clients::body_progress(front, exchange_id, 0);
    } else if !http1.receiver.is_between_requests() && !http1.head_begun {
        http1.head_begun = true;
        front.set_connection_deadline(id, front.settings.head_time);
    }
}

/// The client will send nothing more, and the request is not complete.
fn end_of_input(front: &mut Front, id: ConnectionId) -> Turn {
    let Some(http1) = front.connections.get_mut(id).and_then(|connection| connection.driver.http1()) else {
        return Turn::Closed;
    };
    let between = http1.receiver.is_between_requests();
    closing::close(front, id, if between { CloseReason::ByClient } else { CloseReason::ByClientEarly });
    Turn::Closed
}
