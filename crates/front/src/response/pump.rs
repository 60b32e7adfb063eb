//! Drives one response: from its source as far as the client takes it, and to its end. Runs on the front's thread.

use std::io;

use pelton_link::{Damaged, Why, fine_us};

use crate::clients::{kept_connections, slow_clients};
use crate::connection::close::CloseReason;
use crate::connection::turn::Turn;
use crate::connection::{Driver, closing};
use crate::exchange::output::Flushed;
use crate::exchange::{State, Work};
use crate::front::Front;
use crate::handlers::{files, named_files};
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::notices::Level;
use crate::recording::metering::meter_finished;
use crate::recording::request_records;
use crate::requests::streaming;
use crate::response::own::OwnResponse;
use crate::response::reading::Passed;
use crate::response::{beside, own_body, reading, respond};
use crate::settings::{DRAIN_GRACE, LINGER_TIME};
use crate::websockets::socket_offers;

/// Writes on one connection before the others get their turn.
const PASSES: usize = 16;

/// Passes on what the worker has written, as far as the client takes it or may lag behind.
pub(crate) fn pump(front: &mut Front, id: ExchangeId, place: Place) -> Turn {
    for _ in 0..PASSES {
        if front.exchanges.get(id).is_some_and(|exchange| exchange.work != Work::None) {
            return beside::work_beside(front, id);
        }
        if slow_clients::is_full(front, id) {
            return slow_clients::wait_for_reader(front, id);
        }
        let passed = match reading::pass(front, id, place) {
            Ok(Ok(passed)) => passed,
            Ok(Err(Damaged)) => return damaged(front, id, place),
            Err(error) => {
                closing::close_exchange(front, id, CloseReason::of_error(&error, CloseReason::ByClientEarly));
                return Turn::Closed;
            }
        };
        match passed {
            Passed::Full => {}
            Passed::Named(named) => return named_files::send_named(front, id, place, *named),
            Passed::More => return slow_clients::wait_for_reader(front, id),
            Passed::Ended { broken } => return end_of_slot(front, id, place, broken),
        }
    }
    // A worker that writes as fast as its client reads must not keep the front from the others.
    front.drive_again(id);
    slow_clients::wait_for_reader(front, id)
}

/// All that the worker has written is read.
fn end_of_slot(front: &mut Front, id: ExchangeId, place: Place, broken: bool) -> Turn {
    if !socket_offers::keep_socket(front, id) {
        return Turn::Closed;
    }
    front.dispatch.let_go(place, front.clock.now_ms);
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.slot = None;
        if exchange.state() == State::Running {
            respond::respond_itself(front, id, OwnResponse::Lost);
        } else {
            exchange.broken = broken;
            if let Some(record) = &mut exchange.record
                && !exchange.output.is_empty()
            {
                record.done_us = fine_us() - front.clock.started_us;
            }
        }
    }
    Turn::Again
}

/// The worker wrote nonsense, or the application less or more than it announced.
fn damaged(front: &mut Front, id: ExchangeId, place: Place) -> Turn {
    front.shared.notices.post(
        Level::Error,
        "a response was cut off: what the worker handed over did not match its own head".to_owned(),
    );
    if let Some(worker) = front.dispatch.worker(place.seat) {
        worker.discard(place.slot);
    }
    if !socket_offers::keep_socket(front, id) {
        return Turn::Closed;
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    if exchange.state() != State::Running {
        closing::close_exchange(front, id, CloseReason::BrokenResponse);
        return Turn::Closed;
    }
    exchange.slot = None;
    front.dispatch.abandon(place, Why::Gone, front.clock.now_ms);
    respond::respond_itself(front, id, OwnResponse::Damaged);
    Turn::Again
}

/// The socket has room again, or the state has just become Responding.
pub(crate) fn send_on(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    let Some(connection) = front.connections.get_mut(exchange.connection) else { return Turn::Closed };
    if !exchange.output.is_empty() || connection.transport.has_unsent() {
        match exchange.output.flush(&mut connection.transport) {
            Ok(Flushed::All) => {}
            Ok(Flushed::Paused) => {
                front.exchange_timers.clear(id.key);
                front.again.push(exchange.connection);
                return slow_clients::wait_for_reader(front, id);
            }
            Ok(Flushed::Cold) => return files::warm_up(front, id),
            Ok(Flushed::Blocked(count)) => {
                let slot = exchange.slot;
                slow_clients::write_progress(front, id, count);
                // Also without progress: what was left over from the last turn may go to a file.
                return match slot {
                    Some(place) => pump(front, id, place),
                    None => slow_clients::wait_for_reader(front, id),
                };
            }
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof => CloseReason::FileChanged,
                    _ => CloseReason::of_error(&error, CloseReason::ByClientEarly),
                };
                closing::close_exchange(front, id, reason);
                return Turn::Closed;
            }
        }
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    match exchange.slot {
        _ if exchange.work != Work::None => beside::work_beside(front, id),
        Some(place) => pump(front, id, place),
        None if exchange.body.is_some() => own_body::pump_own(front, id),
        None => finish(front, id),
    }
}

/// All of the response has left.
fn finish(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    if exchange.upload.is_some() {
        // Afterwards there is none.
        return streaming::finish_upload(front, id).unwrap_or_else(|| finish(front, id));
    }
    if exchange.broken {
        closing::close_exchange(front, id, CloseReason::BrokenResponse);
        return Turn::Closed;
    }
    exchange.become_state(State::Finished);
    front.shared.counters.responses_finished.up();
    front.exchange_timers.clear(id.key);
    meter_finished(front.recording.meter.as_deref_mut(), exchange, front.clock.turn_us);
    if let Some(record) = exchange.record.take() {
        let bytes = exchange.body_bytes();
        request_records::note_end(front, record, bytes, "complete");
    }
    follow_on(front, id)
}

/// The exchange is over: what becomes of its HTTP/1 connection.
fn follow_on(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    let connection_id = exchange.connection;
    let Some(connection) = front.connections.get_mut(connection_id) else { return Turn::Closed };
    let Driver::Http1(http1) = &mut connection.driver else { return Turn::Wait };
    if !exchange.keep_alive {
        let nothing_unread = http1.input.is_empty() && !connection.transport.is_readable();
        if nothing_unread && exchange.received_whole {
            closing::close(front, connection_id, CloseReason::AfterResponse);
            return Turn::Closed;
        }
        connection.lingering = true;
        connection.transport.end_sending();
        front.set_connection_deadline(connection_id, LINGER_TIME);
        return closing::linger(front, connection_id);
    }
    let Some((next, exchange)) = front.exchanges.renew(id) else { return Turn::Closed };
    exchange.renew();
    http1.next_request(next);
    // A response that began before a drain did not announce the end, so the next request may be on its way.
    if front.draining && kept_connections::leave_open(front, connection_id) {
        return Turn::Closed;
    }
    let time = if front.draining { DRAIN_GRACE } else { front.settings.keep_alive_time };
    front.set_connection_deadline(connection_id, time);
    Turn::Again
}
