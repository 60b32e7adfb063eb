//! Filters that compute for long: a piece of a body and the filters go to a helper, and come back with what became of it.
//!
//! Nothing else of the response moves meanwhile; the worker's ring fills, which is what holds its writer back. Runs on the front's thread.

use crate::clients::slow_clients;
use crate::connection::turn::Turn;
use crate::exchange::Work;
use crate::front::{Front, Helped};
use crate::ids::ExchangeId;

/// Gives a helper what is to be done, unless it has it already. The client's clock stands still where nothing is kept for it.
pub(crate) fn work_beside(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    match std::mem::replace(&mut exchange.work, Work::Away) {
        Work::Away => {}
        Work::None => exchange.work = Work::None,
        work => match exchange.filters.take() {
            Some(mut filters) => {
                front.shared.counters.pieces_filtered_beside.up();
                front.helpers.run(move || {
                    let mut out = Vec::new();
                    let (done, is_over) = match work {
                        Work::Bytes(portion) => {
                            filters.body(&portion.bytes, &mut out);
                            if portion.is_last {
                                filters.end(&mut out);
                            }
                            (Ok(()), portion.is_last)
                        }
                        _ => (filters.file_piece(&mut out), false),
                    };
                    Helped::Filtered(id, (!is_over).then_some(filters), done.map(|()| out))
                });
            }
            None => exchange.work = Work::None,
        },
    }
    slow_clients::wait_for_reader(front, id)
}
