//! What is counted of requests, at the places where something becomes known of them; costs nothing where nobody can ask.
//!
//! Runs on the front's thread. The clock is the turn's: to read it again for each request would cost more than all the rest here.

use crate::event_loop::EventLoop;
use crate::exchange::{Exchange, ExchangeId};
use crate::metrics::method_number;

impl EventLoop {
    /// A head is complete and in `self.head`; without `bytes` it was not understood. Only the first time counts.
    #[inline]
    pub(crate) fn meter_request(&mut self, id: ExchangeId, bytes: &[u8]) {
        if self.meter.is_none() {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let metered = &mut exchange.metered;
        if metered.began_us == 0 {
            metered.began_us = self.turn_us.max(1);
            metered.complete_coarse_ms = self.turn_coarse_ms;
            let method = if bytes.is_empty() { b"" } else { self.head.method.of(bytes) };
            metered.method = method_number(method);
        }
    }

    /// An exchange has ended, with or without a response.
    #[inline]
    pub(crate) fn meter_end(&mut self, exchange: &Exchange) {
        if exchange.metered.began_us > 0
            && let Some(meter) = &mut self.meter
        {
            meter.end(exchange.metered, self.turn_us, exchange.body_bytes());
        }
    }

    /// The same of one that stays in the table, for the next request.
    #[inline]
    pub(crate) fn meter_finished(&mut self, id: ExchangeId) {
        if let Some(meter) = &mut self.meter
            && let Some(exchange) = self.exchanges.get_mut(id)
        {
            let metered = std::mem::take(&mut exchange.metered);
            if metered.began_us > 0 {
                meter.end(metered, self.turn_us, exchange.body_bytes());
            }
        }
    }
}
