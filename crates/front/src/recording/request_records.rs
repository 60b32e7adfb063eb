//! What is noted of requests: records for the access log, for metrics and for `Server-Timing`, and ids.
//!
//! Must cost nothing where none of it is wanted. Runs on the front's thread.

use pelton_http::{Field, Head, Known, Span};

use crate::access::line::Ending;
use crate::access::record::AccessRecord;
use crate::access::request_part::Request;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::notices::Level;
use crate::recording::metering;
use crate::statsd::sender::Levels;
use crate::statsd::totals::Sample;
use crate::transport::peer::Peer;

/// What is sent by one call in some microseconds.
const QUICK_BYTES: u64 = 16 * 1024;

/// To be called when what is wanted may have changed.
pub(crate) fn decide_recording(front: &mut Front) {
    front.recording.wants_ends = front.recording.access_log.is_some() || front.recording.statsd.is_some();
    let settings = &front.settings;
    front.recording.wants_requests =
        front.recording.wants_ends || settings.server_timing || settings.request_ids || settings.traces;
}

/// A request's head is complete and in `front.head`; it came from `client`. `identified` is empty, and gets the head with an id behind it where
/// one was made.
#[inline]
pub(crate) fn note_request(
    front: &mut Front,
    id: ExchangeId,
    bytes: &[u8],
    client: &Peer,
    identified: &mut Vec<u8>,
) {
    metering::meter_request(front, id, bytes);
    if front.recording.wants_requests {
        note_wanted_request(front, id, bytes, client, identified);
    }
}

#[inline(never)]
fn note_wanted_request(
    front: &mut Front,
    id: ExchangeId,
    bytes: &[u8],
    client: &Peer,
    identified: &mut Vec<u8>,
) {
    let settings = &front.settings;
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(connection) = front.connections.get(exchange.connection) else { return };
    let needs_id = match &front.recording.access_log {
        Some(log) => settings.request_ids || log.format().has_request_id,
        None => settings.request_ids,
    };
    let mut place = 0..0;
    if needs_id {
        let peer = connection.peer.address.map(|(ip, _)| ip);
        let believes = || settings.trust_request_id || settings.proxies.trusted.trusts(peer);
        place = front.recording.ids.identify(&mut front.head, bytes, believes, identified);
    }
    if settings.traces {
        let received_us = front.clock.started_us + front.clock.turn_us;
        let began_us = received_us.saturating_sub(exchange.metered.proxied_ms * 1000);
        add_received(&mut front.head, bytes, began_us, identified);
    }
    if !front.recording.wants_ends && !settings.server_timing {
        return;
    }
    let mut record = front.recording.records.take();
    record.begin_clock(front.clock.turn_us, front.clock.coarse_ms());
    if let Some(log) = &front.recording.access_log {
        let all = if identified.is_empty() { bytes } else { &identified[..] };
        let request = Request {
            head: Some(&front.head),
            bytes: all,
            client: client.text(),
            peer: connection.peer.text(),
            id: all.get(place).unwrap_or_default(),
        };
        record.begin(log.format(), &request);
    }
    exchange.record = Some(record);
}

/// A head is complete, and will be answered here.
pub(crate) fn note_head(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    note_without_worker(front, id, bytes, true);
}

/// What was refused is noted, too, though it may be no request at all.
pub(crate) fn note_refused(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    metering::meter_request(front, id, &[]);
    note_without_worker(front, id, bytes, false);
}

fn note_without_worker(front: &mut Front, id: ExchangeId, bytes: &[u8], has_head: bool) {
    if !front.recording.wants_ends {
        return;
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(connection) = front.connections.get(exchange.connection) else { return };
    if exchange.record.is_some() {
        return;
    }
    let mut record = front.recording.records.take();
    record.begin_clock(front.clock.turn_us, front.clock.coarse_ms());
    if let Some(log) = &front.recording.access_log {
        let peer = connection.peer.text();
        let head = has_head.then_some(&front.head);
        record.begin(log.format(), &Request { head, bytes, client: peer, peer, id: b"" });
    }
    exchange.record = Some(record);
}

/// So is what never became a request; `cause` is what its line says.
pub(crate) fn note_own(front: &mut Front, id: ExchangeId, cause: &'static str) {
    note_refused(front, id, &[]);
    if let Some(exchange) = front.exchanges.get_mut(id)
        && let Some(record) = &mut exchange.record
    {
        record.cause = Some(cause);
    }
}

/// An exchange has ended: its line, where there is a log.
pub(crate) fn note_end(front: &mut Front, record: Box<AccessRecord>, bytes: u64, how: &'static str) {
    if front.recording.wants_ends {
        // A response that was looked at just now and has left already: by the time that is known, or one more look at the clock for each request.
        let is_quick = record.responded_us == front.clock.responded_us && bytes <= QUICK_BYTES;
        let now_us = if is_quick && front.clock.responded_us > front.clock.turn_us {
            front.clock.responded_us
        } else {
            front.clock.now_us()
        };
        let unix_ms = front.clock.unix_ms();
        if let Some(statsd) = &mut front.recording.statsd {
            let queue_us = (record.responded_us > 0).then_some(record.queue_us);
            let duration_us = now_us.saturating_sub(record.began_us);
            statsd.add(record.status, Sample { duration_us, queue_us });
        }
        if let Some(log) = &mut front.recording.access_log {
            let ending = Ending { bytes, how, now_us, unix_ms };
            log.add(&record, &ending, front.clock.now_ms, &front.shared.counters.access_lines_dropped);
        }
    }
    front.recording.records.give_back(record);
}

/// Writes access lines that have waited, and reports to the statsd.
#[inline]
pub(crate) fn flush_notes(front: &mut Front) {
    if !front.recording.wants_ends {
        return;
    }
    let counters = &front.shared.counters;
    if let Some(log) = &mut front.recording.access_log {
        log.flush_due(front.clock.now_ms, &counters.access_lines_dropped);
        if let Some((count, why)) = log.losses(front.clock.now_ms, &counters.access_lines_dropped) {
            let (lines, were) = if count == 1 { ("line", "was") } else { ("lines", "were") };
            let message = format!("{count} {lines} of the access log {were} lost: {why}");
            front.shared.notices.post(Level::Warning, message);
        }
    }
    if front.recording.statsd.as_ref().is_some_and(|statsd| statsd.due_in(front.clock.now_ms) == 0) {
        report_to_statsd(front);
    }
}

/// Milliseconds until [`flush_notes`] has something to do; None for never.
pub(crate) fn next_note_ms(front: &Front) -> Option<u64> {
    let log = front.recording.access_log.as_ref().and_then(|log| log.due_in(front.clock.now_ms));
    let statsd = front.recording.statsd.as_ref().map(|statsd| statsd.due_in(front.clock.now_ms));
    log.into_iter().chain(statsd).min()
}

#[cold]
fn report_to_statsd(front: &mut Front) {
    let Some(statsd) = &mut front.recording.statsd else { return };
    let queued = front.dispatch.queued() as u64;
    let levels = Levels {
        workers: front.dispatch.living().count() as u64,
        backlog: queued + front.listeners.waiting(),
        queued,
        running: front.dispatch.slots_in_use() as u64,
        connections: front.connections.len() as u64,
    };
    let counters = &front.shared.counters;
    statsd.work(front.clock.now_ms, &levels, counters);
    if let Some(count) = statsd.losses(front.clock.now_ms, counters) {
        let message =
            format!("{count} datagrams for the statsd were lost: nobody takes them, or not fast enough");
        front.shared.notices.post(Level::Warning, message);
    }
}

/// Writes all access lines now.
#[cfg(test)]
pub(crate) fn flush_all_notes(front: &mut Front) {
    if let Some(log) = &mut front.recording.access_log {
        log.flush(&front.shared.counters.access_lines_dropped);
    }
}

/// Nothing more will be noted.
pub(crate) fn end_notes(front: &mut Front) {
    if let Some(statsd) = &mut front.recording.statsd {
        statsd.finish(&front.shared.counters);
    }
}

/// Adds when a request was received, by the clock that workers share, behind the bytes of its head in `out`.
fn add_received(head: &mut Head, bytes: &[u8], received_us: u64, out: &mut Vec<u8>) {
    if out.is_empty() {
        out.extend_from_slice(bytes);
    }
    let start = out.len() as u32;
    out.extend_from_slice(received_us.to_string().as_bytes());
    let value = Span { start, end: out.len() as u32 };
    head.fields.push(Field { name: Span::default(), value, known: Known::Received });
}
