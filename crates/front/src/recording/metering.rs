//! What is counted of requests, at the places where something becomes known of them; costs nothing where nobody can ask.
//!
//! Runs on the front's thread. The clock is the turn's: to read it again for each request would cost more than all the rest here.

use crate::exchange::Exchange;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::metrics::history::Levels;
use crate::metrics::{Meter, Metered, method_number};

/// What a proxy says beyond this is a clock that goes wrong.
const LONGEST_WAIT_MS: u64 = 60 * 60 * 1000;

/// `X-Request-Start` as Heroku (milliseconds), nginx (`t=` and seconds with a fraction) and others (microseconds) write it.
fn unix_ms_of(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let number: f64 = text.strip_prefix("t=").unwrap_or(text).parse().ok()?;
    // Seconds, milliseconds or microseconds of a time between 2001 and 2286.
    let ms = match number {
        1e9..1e10 => number * 1e3,
        1e12..1e13 => number,
        1e15..1e16 => number / 1e3,
        _ => return None,
    };
    Some(ms as u64)
}

/// The same of one that stays in the table, for the next request.
#[inline]
pub(crate) fn meter_finished(meter: Option<&mut Meter>, exchange: &mut Exchange, turn_us: u64) {
    meter_ended(meter, exchange, turn_us);
    // The rest is written anew when the next one begins.
    exchange.metered.began_us = 0;
}

/// A head is complete and in `front.head`; without `bytes` it was not understood. Only the first time counts.
#[inline]
pub(crate) fn meter_request(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    if front.recording.meter.is_none() {
        return;
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if exchange.metered.began_us == 0 {
        let method = if bytes.is_empty() { b"" } else { front.head.method.of(bytes) };
        exchange.metered = Metered {
            began_us: front.clock.turn_us.max(1),
            complete_coarse_ms: front.clock.coarse_ms(),
            method: method_number(method),
            ..Metered::default()
        };
        if !front.settings.proxies.are_idle() && !bytes.is_empty() {
            believe_start(front, id, bytes);
        }
    }
}

/// A trusted proxy says when the request came to it: its waiting began there.
#[cold]
fn believe_start(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    let peer = front.connection_of(id).and_then(|connection| connection.peer.address);
    if !front.settings.proxies.trusted.trusts(peer.map(|(ip, _)| ip)) {
        return;
    }
    let fields = &front.head.fields;
    let field = fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(b"x-request-start"));
    let Some(began) = field.and_then(|field| unix_ms_of(field.value.of(bytes))) else { return };
    let waited = front.clock.unix_ms().saturating_sub(began);
    if waited <= LONGEST_WAIT_MS
        && let Some(exchange) = front.exchanges.get_mut(id)
    {
        exchange.metered.proxied_ms = waited;
    }
}

/// At the beginning of a turn: what ended in former ones belongs to the time before it.
#[inline]
pub(crate) fn keep_history(front: &mut Front) {
    let now_ms = front.clock.now_ms;
    if front.recording.meter.as_ref().is_some_and(|meter| meter.history.is_due(now_ms)) {
        let levels = Levels {
            queued: front.dispatch.queued(),
            running: front.dispatch.slots_in_use(),
            connections: front.connections.len(),
            workers: front.dispatch.living().count(),
        };
        if let Some(meter) = &mut front.recording.meter {
            meter.keep_history(now_ms, levels);
        }
    }
}

/// An exchange has ended, with or without a response.
#[inline]
pub(crate) fn meter_end(front: &mut Front, exchange: &Exchange) {
    meter_ended(front.recording.meter.as_deref_mut(), exchange, front.clock.turn_us);
}

#[inline]
fn meter_ended(meter: Option<&mut Meter>, exchange: &Exchange, turn_us: u64) {
    if exchange.metered.began_us > 0
        && let Some(meter) = meter
    {
        meter.end(exchange.metered, turn_us, exchange.body_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_read_in_each_form_that_proxies_write() {
        for (value, ms) in [
            ("t=1700000000.123", Some(1_700_000_000_123)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("t=1700000000123456", Some(1_700_000_000_123)),
            (" 1700000000 ", Some(1_700_000_000_000)),
        ] {
            assert_eq!(unix_ms_of(value.as_bytes()), ms, "{value}");
        }
        for nonsense in ["", "t=", "-1", "NaN", "inf", "1", "1e30", "yesterday", "1700000000123x"] {
            assert_eq!(unix_ms_of(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
