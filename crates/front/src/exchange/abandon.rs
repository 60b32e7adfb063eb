//! An exchange that nobody waits for any more: what of it is given back, and who has to know. Runs on the front's thread.

use pelton_link::Why;

use crate::connection::close::CloseReason;
use crate::exchange::departure::{Departure, INTERRUPT_MS, is_endless, leave};
use crate::exchange::{Exchange, State};
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::recording::{metering, request_records};
use crate::transport::Transport;

/// A connection is about to be closed, and its request abandoned.
fn note_departure(front: &mut Front, exchange: &Exchange) {
    if let Some(place) = exchange.slot
        && is_endless(exchange)
        && let Some(turn) = leave(&mut front.dispatch, place)
    {
        let due_ms = front.clock.now_ms + INTERRUPT_MS;
        front.departures.push(Departure { due_ms, place, turn, client: None });
    }
}

/// Nobody waits for an exchange any more, whatever it was doing.
pub(crate) fn abandon(front: &mut Front, id: ExchangeId, transport: Option<&Transport>, reason: CloseReason) {
    front.exchange_timers.clear(id.key);
    let Some(mut exchange) = front.exchanges.remove(id) else { return };
    note_departure(front, &exchange);
    if let Some(place) = exchange.slot {
        front.dispatch.abandon(place, Why::Gone, front.clock.now_ms);
    }
    if exchange.state() == State::Queued {
        front.dispatch.leave_queue(id);
    }
    if matches!(exchange.state(), State::Queued | State::Running | State::Responding) {
        front.shared.counters.clients_gone.up();
    }
    if let Some(mut pending) = exchange.pending.take() {
        pending.body.discard(&mut front.dispatch.bodies);
    }
    if let Some(record) = exchange.record.take() {
        let bytes = exchange.body_taken(transport);
        request_records::note_end(front, record, bytes, reason.for_the_log());
    }
    metering::meter_end(front, &exchange);
}
