//! What happens when a connection's time is over; what it was for follows from its state. Runs on the front's thread.

use pelton_link::{BodyEnd, Phase, Why, coarse_ms};

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::time_outs;
use crate::event_loop::drive;
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::notices::Level;
use crate::obituary::{describe, name};
use crate::requests::upload_ends;
use crate::response::own::OwnResponse;
use crate::response::respond;
use crate::websockets::socket_offers;

/// The deadline of the connection at `key` has come: of its head, of the pause between requests, or of the end.
pub(crate) fn on_connection_deadline(front: &mut Front, key: usize) {
    let Some(id) = front.connections.id_at(key) else { return };
    let Some(connection) = front.connections.get_mut(id) else { return };
    if connection.lingering {
        closing::close(front, id, CloseReason::AfterResponse);
        return;
    }
    if connection.transport.is_shaking() {
        front.shared.counters.handshakes_late.up();
        closing::close(front, id, CloseReason::HandshakeLate);
        return;
    }
    let Some(http1) = connection.driver.http1() else {
        time_outs::on_http2_deadline(front, id);
        return;
    };
    let exchange_id = http1.exchange;
    let is_awaited = front
        .exchanges
        .get(exchange_id)
        .is_some_and(|exchange| exchange.state() == State::Receiving && exchange.pending.is_none());
    if !is_awaited {
        // Of a request that has come meanwhile; from then on the exchange has deadlines of its own.
        return;
    }
    if http1.head_begun {
        respond::respond_itself(front, exchange_id, OwnResponse::HeadLate);
        front.shared.counters.heads_late.up();
        drive::drive(front, id);
    } else {
        closing::close(front, id, if front.draining { CloseReason::Draining } else { CloseReason::Idle });
    }
}

/// The deadline of the exchange at `key` has come; what it was for follows from its state.
pub(crate) fn on_exchange_deadline(front: &mut Front, key: usize) {
    let Some(id) = front.exchanges.id_at(key) else { return };
    let Some(exchange) = front.exchanges.get(id) else { return };
    let connection_id = exchange.connection;
    match exchange.state() {
        State::Queued => {
            front.dispatch.leave_queue(id);
            expire(front, id);
        }
        State::Responding => {
            if !slow_clients::reader_goes_on(front, id) {
                closing::close_exchange(front, id, CloseReason::WriteTimeout);
            }
        }
        State::Receiving if exchange.pending.is_some() => {
            respond::respond_itself(front, id, OwnResponse::BodyLate);
            front.shared.counters.bodies_late.up();
            drive::drive(front, connection_id);
        }
        State::Running => {
            if let Some(place) = exchange.slot {
                on_running_deadline(front, id, place);
            }
        }
        // No deadline is set in these states.
        State::Receiving | State::Finished => {}
    }
}

/// A request in a slot: one that no thread has started has waited too long, one that runs may have run too long. The clock was set when it
/// was handed over; when it started is known only now.
fn on_running_deadline(front: &mut Front, id: ExchangeId, place: Place) {
    let Some(worker) = front.dispatch.worker(place.seat) else { return };
    let slot = u32::from(place.slot);
    match worker.end.phase(slot) {
        Some(Phase::Ready) => {
            let since = worker.slot_use(place.slot).map_or(0, |slot_use| slot_use.since_ms);
            let end = since + front.settings.queue_time.as_millis() as u64;
            if front.clock.now_ms < end {
                front.exchange_timers.set(id.key, end);
            } else if front.dispatch.discard(place) {
                if let Some(exchange) = front.exchanges.get_mut(id) {
                    exchange.slot = None;
                }
                expire(front, id);
            } else {
                // It has started in this very moment.
                front.exchange_timers.set(id.key, front.clock.now_ms + 1);
            }
        }
        Some(Phase::Running) => {
            let Some(limit) = front.settings.request_time.map(|time| time.as_millis() as u64) else {
                return;
            };
            let now = coarse_ms();
            let started = worker.end.started_ms(slot).unwrap_or(now);
            // A worker stands still where the front does.
            let age = now.saturating_sub(started).saturating_sub(front.clock.absences.since(started));
            if age < limit {
                front.exchange_timers.set(id.key, front.clock.now_ms + (limit - age));
                return;
            }
            if !worker.withdraw(place.slot) {
                socket_offers::hand_over(front, id, place);
                return;
            }
            let message = format!(
                "{} has run for {:.1} s in {}: answered 504",
                describe(worker, place.slot),
                age as f64 / 1000.0,
                name(worker)
            );
            front.shared.notices.post(Level::Info, message);
            front.shared.counters.requests_timed_out.up();
            if let Some(exchange) = front.exchanges.get_mut(id) {
                exchange.slot = None;
            }
            front.dispatch.abandon(place, Why::Overdue, front.clock.now_ms);
            respond::respond_itself(front, id, OwnResponse::TimedOut);
            drive::drive_exchange(front, id);
        }
        // Its response is there and will be seen in this turn.
        Some(Phase::Done | Phase::Free) | None => {}
    }
}

fn expire(front: &mut Front, id: ExchangeId) {
    front.shared.counters.requests_expired.up();
    respond::respond_itself(front, id, OwnResponse::Expired);
    drive::drive_exchange(front, id);
}

/// Ends the bodies of clients that are late.
pub(crate) fn end_late_uploads(front: &mut Front) {
    if front.uploads.look_at.is_none_or(|look_at| front.clock.now_ms < look_at) {
        return;
    }
    front.uploads.look_at = None;
    let mut next: Option<u64> = None;
    for (id, number) in std::mem::take(&mut front.uploads.listed) {
        let Some(exchange) = front.exchanges.get_mut(id) else { continue };
        let is_queued = exchange.state() == State::Queued;
        let Some(upload) = exchange.upload.as_deref_mut() else { continue };
        if upload.number != number {
            continue;
        }
        if is_queued {
            // It came back from a worker: nothing is received until another one has it.
            upload.late_at = None;
        }
        match upload.late_at {
            None => upload.is_listed = false,
            Some(late_at) if late_at > front.clock.now_ms => {
                next = Some(next.map_or(late_at, |next| next.min(late_at)));
                front.uploads.listed.push((id, number));
            }
            Some(_) => {
                front.shared.counters.bodies_late.up();
                upload_ends::fail_upload(front, id, BodyEnd::Late, OwnResponse::BodyLate);
                drive::drive_exchange(front, id);
            }
        }
    }
    // Driving others may have set an earlier time.
    front.uploads.look_at = match (front.uploads.look_at, next) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
