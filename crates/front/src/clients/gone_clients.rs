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

use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::exchange::departure::{Departure, depart, is_endless, leave};
use crate::front::Front;
use crate::ids::ExchangeId;

/// How long an endless response goes on for a client who has closed its side. Short responses get through in this time.
const GIVE_UP_MS: u64 = 250;

/// The client has closed its side, and its request is with a worker.
pub(crate) fn client_left(front: &mut Front, id: ExchangeId) {
    let Some(exchange) = front.exchanges.get(id) else { return };
    let Some(place) = exchange.slot else { return };
    let is_endless = is_endless(exchange);
    let Some(turn) = leave(&mut front.dispatch, place) else { return };
    // Each later event tells of it again.
    if is_endless && !front.departures.iter().any(|one| one.client == Some(id) && one.turn == turn) {
        let due_ms = front.clock.now_ms + GIVE_UP_MS;
        front.departures.push(Departure { due_ms, place, turn, client: Some(id) });
    }
}

/// Milliseconds until something is to be done.
pub(crate) fn next_departure_ms(front: &Front) -> Option<u64> {
    front.departures.iter().map(|one| one.due_ms.saturating_sub(front.clock.now_ms)).min()
}

/// Does what is due.
pub(crate) fn follow_departures(front: &mut Front) {
    if front.departures.is_empty() {
        return;
    }
    let now_ms = front.clock.now_ms;
    let due: Vec<Departure> = front.departures.extract_if(.., |one| one.due_ms <= now_ms).collect();
    for one in due {
        match one.client {
            Some(id) => {
                let Some(exchange) = front.exchanges.get(id) else { continue };
                let is_it = exchange.slot == Some(one.place) && is_endless(exchange);
                if is_it && leave(&mut front.dispatch, one.place) == Some(one.turn) {
                    closing::close_exchange(front, id, CloseReason::ByClientEarly);
                }
            }
            None => depart(&mut front.dispatch, one.place, one.turn),
        }
    }
}
