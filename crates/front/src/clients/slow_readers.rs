//! What is done for clients that take their responses slowly: the rest goes to a file, so that the worker's thread is free. Runs on the front's
//! thread.

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::stalls;
use crate::connection::turn::Turn;
use crate::event_loop::{drive, worker_news};
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::notices::Level;
use crate::response::pump;

fn pump_on(front: &mut Front, id: ExchangeId, place: Place) {
    if front.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) {
        worker_news::on_http2_news(front, id, place);
        return;
    }
    if pump::pump(front, id, place) == Turn::Again {
        drive::drive_exchange(front, id);
    }
}

/// Gives files to the readers that have not caught up.
pub(crate) fn help_slow_readers(front: &mut Front) {
    while let Some(&(id, due)) = front.behind.front()
        && due <= front.clock.now_ms
    {
        front.behind.pop_front();
        let Some(exchange) = front.exchanges.get_mut(id) else { continue };
        exchange.is_behind = false;
        let Some(place) = exchange.slot else { continue };
        if !slow_clients::is_full(front, id) {
            // It has caught up, or may keep more because others keep less: nothing else tells of the latter.
            pump_on(front, id, place);
            continue;
        }
        if stalls::stalls_too_many(front, id) {
            closing::close_exchange(front, id, CloseReason::Stalled);
            continue;
        }
        let file_bytes = front.settings.response_file_bytes;
        let Some(spool) = stalls::spool_of(front, id).filter(|_| file_bytes > 0) else { continue };
        let Some(exchange) = front.exchanges.get_mut(id) else { continue };
        match exchange.output.begin_spilling(&spool, file_bytes) {
            Ok(true) => {
                front.shared.counters.responses_spooled.up();
                pump_on(front, id, place);
            }
            Ok(false) => {}
            Err(error) => {
                if !std::mem::replace(&mut front.spool_complained, true) {
                    let place = front.spool.directory();
                    front.shared.notices.post(
                        Level::Error,
                        format!("a response for a slow reader could not be put into a file in {place}: {error}; its thread waits"),
                    );
                }
            }
        }
    }
}
