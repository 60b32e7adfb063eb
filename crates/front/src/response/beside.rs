//! Filters that compute for long: a piece of a body and the filters go to a helper, and come back with what became of it.
//!
//! Nothing else of the response moves meanwhile; the worker's ring fills, which is what holds its writer back. Runs on the front's thread.

use std::io;

use pelton_http::Coding;
use pelton_http::h1::encode::LAST_CHUNK;

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::files::Helped;
use crate::event_loop::receive::Turn;
use crate::exchange::{ExchangeId, Work};
use crate::response::filters::Filters;
use crate::response::pass::frame_bytes;

impl EventLoop {
    /// Gives a helper what is to be done, unless it has it already. The client's clock stands still where nothing is kept for it.
    pub(crate) fn work_beside(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        match std::mem::replace(&mut exchange.work, Work::Away) {
            Work::Away => {}
            Work::None => exchange.work = Work::None,
            work => match exchange.filters.take() {
                Some(mut filters) => {
                    self.shared.counters.pieces_filtered_beside.up();
                    self.helpers.run(move || {
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
        self.wait_for_reader(id)
    }

    /// A helper has done it. Without filters: there is nothing left for them.
    pub(crate) fn filtered(
        &mut self,
        id: ExchangeId,
        filters: Option<Box<Filters>>,
        out: io::Result<Vec<u8>>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.work = Work::None;
        exchange.filters = filters;
        let (connection, is_http2) = (exchange.connection, exchange.stream != 0);
        let is_whole = exchange.filters.is_none();
        let is_sent = out.is_ok_and(|out| {
            self.wire.clear();
            let is_framed = frame_bytes(exchange, &mut self.wire, &out).is_ok();
            if is_whole && exchange.coding == Some(Coding::Chunked) {
                // It leaves with the last chunk; to whoever comes after, the length is one that was known.
                self.wire.extend_from_slice(LAST_CHUNK);
                exchange.coding = Some(Coding::Length(exchange.passed));
            }
            exchange.output.push(&self.wire);
            is_framed
        });
        if is_sent {
            if is_http2 {
                self.go_on_with(id);
            }
            self.drive(connection);
        } else {
            self.close_exchange(id, CloseReason::FileChanged);
        }
    }
}
