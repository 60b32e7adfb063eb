//! What a client may hold of the server that opens no window: files as large as one slow reader may have, and some threads. Runs on the front's
//! thread.

use super::receive::http2_exchanges;
use crate::event_loop::EventLoop;
use crate::exchange::spool::Spool;
use crate::exchange::{Exchange, ExchangeId, State};

/// Whether a worker's thread waits until the client takes more, also where a file has taken what it may.
fn keeps_thread(exchange: &Exchange, has_files: bool) -> bool {
    exchange.state() == State::Responding
        && exchange.slot.is_some()
        && exchange.output.held() > 0
        && (exchange.output.is_spilling() || !has_files)
        && !exchange.output.can_spill()
}

impl EventLoop {
    /// Whether this response, whose client does not keep up with it, is one too many of its connection that keeps a thread waiting.
    pub(crate) fn stalls_too_many(&mut self, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return false };
        let has_files = self.settings.response_file_bytes > 0;
        if exchange.stream == 0 || !keeps_thread(exchange, has_files) {
            return false;
        }
        let (connection, stream) = (exchange.connection, exchange.stream);
        let is_stalled = |event_loop: &mut EventLoop, stream| {
            event_loop.http2(connection).is_some_and(|http2| http2.session.is_stalled(stream))
        };
        if !is_stalled(self, stream) {
            return false;
        }
        let mut count = 0;
        for other in http2_exchanges(self, connection) {
            if let Some(exchange) = self.exchanges.get(other).filter(|one| keeps_thread(one, has_files)) {
                count += u32::from(is_stalled(self, exchange.stream));
            }
        }
        count > self.settings.http2.stalled
    }

    /// Where the file of a response for a slow reader is made. All streams of a connection together may have as much as one reader.
    pub(crate) fn spool_of(&mut self, id: ExchangeId) -> Option<Spool> {
        let exchange = self.exchanges.get(id)?;
        let (whole, limit) = (self.spool.clone(), self.settings.response_file_bytes);
        match exchange.stream {
            0 => Some(whole),
            _ => {
                let http2 = self.http2(exchange.connection)?;
                Some(http2.spool.get_or_insert_with(|| whole.part(limit)).clone())
            }
        }
    }
}
