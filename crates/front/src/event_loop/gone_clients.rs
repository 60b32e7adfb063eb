//! Clients who go while they are served, and requests that go on without noticing. Runs on the front's thread.
//!
//! A reset is the end. The closing of the client's side alone is not: it may be half closed on purpose (`nc -N`) and still read. That
//! can be found out only by sending: whoever has gone answers with a reset. So what is there to be sent is sent, and the application can ask
//! (`client_gone`). But of a response that has begun, and of whose end nobody knows, perhaps nothing more comes for hours (server-sent events): that
//! one is given a moment, and then up.
//!
//! An abandoned response of that kind ends by itself when the application yields its next piece. If it does not, it is interrupted, after another
//! moment: nobody is there for whom it could wait. Requests that have not begun to answer are never interrupted for this reason: what they do
//! may be worth doing.

use pelton_http::Coding;
use pelton_link::Why;

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::exchange::{Exchange, ExchangeId, State};
use crate::scheduling::dispatch::Place;

/// How long an endless response goes on for a client who has closed its side. Short responses get through in this time.
const GIVE_UP_MS: u64 = 250;
/// How long an abandoned one may take to yield a piece. Both together leave some time of the second within which it is to be closed.
const INTERRUPT_MS: u64 = 300;

/// Something to be done, unless it has become needless.
#[derive(Debug)]
pub struct Departure {
    due_ms: u64,
    place: Place,
    /// Of the request in that slot.
    turn: u64,
    /// Whose connection is to be given up; None when it is, and the request is to be interrupted.
    client: Option<ExchangeId>,
}

/// Whether of a response that has begun nobody knows the end.
fn is_endless(exchange: &Exchange) -> bool {
    exchange.state() == State::Responding
        && matches!(exchange.coding, Some(Coding::Chunked | Coding::UntilClose | Coding::Frames))
}

impl EventLoop {
    /// The client has closed its side, and its request is with a worker.
    pub(crate) fn client_left(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(place) = exchange.slot else { return };
        let is_endless = is_endless(exchange);
        let Some(turn) = self.dispatch.leave(place) else { return };
        // Each later event tells of it again.
        if is_endless && !self.departures.iter().any(|one| one.client == Some(id) && one.turn == turn) {
            let due_ms = self.clock.now_ms + GIVE_UP_MS;
            self.departures.push(Departure { due_ms, place, turn, client: Some(id) });
        }
    }

    /// A connection is about to be closed, and its request abandoned.
    pub(crate) fn note_departure(&mut self, exchange: &Exchange) {
        if let Some(place) = exchange.slot
            && is_endless(exchange)
            && let Some(turn) = self.dispatch.leave(place)
        {
            let due_ms = self.clock.now_ms + INTERRUPT_MS;
            self.departures.push(Departure { due_ms, place, turn, client: None });
        }
    }

    /// Milliseconds until something is to be done.
    pub(crate) fn next_departure_ms(&self) -> Option<u64> {
        self.departures.iter().map(|one| one.due_ms.saturating_sub(self.clock.now_ms)).min()
    }

    /// Does what is due.
    pub(crate) fn follow_departures(&mut self) {
        if self.departures.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms;
        let due: Vec<Departure> = self.departures.extract_if(.., |one| one.due_ms <= now_ms).collect();
        for one in due {
            match one.client {
                Some(id) => {
                    let Some(exchange) = self.exchanges.get(id) else { continue };
                    let is_it = exchange.slot == Some(one.place) && is_endless(exchange);
                    if is_it && self.dispatch.leave(one.place) == Some(one.turn) {
                        self.close_exchange(id, CloseReason::ByClientEarly);
                    }
                }
                None => self.dispatch.depart(one.place, one.turn),
            }
        }
    }
}

impl crate::scheduling::dispatch::Dispatch {
    /// The client of a request has closed its side. Gives the request's turn, by which it is known; None when the worker has let go of it.
    fn leave(&mut self, place: Place) -> Option<u64> {
        let worker = self.worker(place.seat).filter(|worker| !worker.is_dead)?;
        let turn = worker.slot_use(place.slot).filter(|one| one.is_used && !one.is_done)?.turn;
        worker.end.leave(u32::from(place.slot));
        Some(turn)
    }

    /// A request has been abandoned for a while: if it still runs, it is to be interrupted.
    fn depart(&mut self, place: Place, turn: u64) {
        if let Some(worker) = self.worker(place.seat)
            && let Some(slot_use) = worker.slot_use(place.slot)
            && slot_use.is_used
            && slot_use.turn == turn
            && !slot_use.is_done
        {
            worker.abandon(place.slot, Why::Departed);
        }
    }
}
