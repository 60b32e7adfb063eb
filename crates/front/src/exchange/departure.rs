//! A client who has gone, as it is remembered until something is done about its request; see `clients/gone_clients`. Runs on the front's thread.

use pelton_http::Coding;
use pelton_link::Why;

use crate::exchange::{Exchange, State};
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::dispatch::Dispatch;

/// How long an abandoned one may take to yield a piece. Both together leave some time of the second within which it is to be closed.
pub(crate) const INTERRUPT_MS: u64 = 300;

/// Something to be done, unless it has become needless.
#[derive(Debug)]
pub struct Departure {
    pub(crate) due_ms: u64,
    pub(crate) place: Place,
    /// Of the request in that slot.
    pub(crate) turn: u64,
    /// Whose connection is to be given up; None when it is, and the request is to be interrupted.
    pub(crate) client: Option<ExchangeId>,
}

/// Whether of a response that has begun nobody knows the end.
pub(crate) fn is_endless(exchange: &Exchange) -> bool {
    exchange.state() == State::Responding
        && matches!(exchange.coding, Some(Coding::Chunked | Coding::UntilClose | Coding::Frames))
}

/// The client of a request has closed its side. Gives the request's turn, by which it is known; None when the worker has let go of it.
pub(crate) fn leave(dispatch: &mut Dispatch, place: Place) -> Option<u64> {
    let worker = dispatch.worker(place.seat).filter(|worker| !worker.is_dead)?;
    let turn = worker.slot_use(place.slot).filter(|one| one.is_used && !one.is_done)?.turn;
    worker.end.leave(u32::from(place.slot));
    Some(turn)
}

/// A request has been abandoned for a while: if it still runs, it is to be interrupted.
pub(crate) fn depart(dispatch: &mut Dispatch, place: Place, turn: u64) {
    if let Some(worker) = dispatch.worker(place.seat)
        && let Some(slot_use) = worker.slot_use(place.slot)
        && slot_use.is_used
        && slot_use.turn == turn
        && !slot_use.is_done
    {
        worker.abandon(place.slot, Why::Departed);
    }
}
