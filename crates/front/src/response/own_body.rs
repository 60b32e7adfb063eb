//! The rest of a response that the front makes itself, piece by piece as the client takes it. Runs on the front's thread.

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::turn::Turn;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::response::respond::push_part;

/// Passes on what the front has of a response's body, as far as the client takes it or may lag behind.
pub(crate) fn pump_own(front: &mut Front, id: ExchangeId) -> Turn {
    loop {
        if slow_clients::is_full(front, id) {
            return slow_clients::wait_for_reader(front, id);
        }
        let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
        if !push_part(exchange, &mut front.wire) {
            closing::close_exchange(front, id, CloseReason::BrokenResponse);
            return Turn::Closed;
        }
        if exchange.body.is_none() || exchange.output.has_file() {
            return Turn::Again;
        }
    }
}
