//! What is noted of requests: records for the access log, for metrics and for `Server-Timing`, and ids.
//!
//! Must cost nothing where none of it is wanted. Runs on the front's thread.

use pelton_http::{Field, Head, Known, Span};

use crate::access::line::Ending;
use crate::access::record::AccessRecord;
use crate::access::request_part::Request;
use crate::event_loop::EventLoop;
use crate::exchange::ExchangeId;
use crate::notices::Level;
use crate::statsd::sender::Levels;
use crate::statsd::totals::Sample;
use crate::transport::peer::Peer;

/// What is sent by one call in some microseconds.
const QUICK_BYTES: u64 = 16 * 1024;

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

impl EventLoop {
    /// To be called when what is wanted may have changed.
    pub(crate) fn decide_recording(&mut self) {
        self.recording.wants_ends = self.recording.access_log.is_some() || self.recording.statsd.is_some();
        let settings = &self.settings;
        self.recording.wants_requests =
            self.recording.wants_ends || settings.server_timing || settings.request_ids || settings.traces;
    }

    /// A request's head is complete and in `self.head`; it came from `client`. `identified` is empty, and gets the head with an id behind it where
    /// one was made.
    #[inline]
    pub(crate) fn note_request(
        &mut self,
        id: ExchangeId,
        bytes: &[u8],
        client: &Peer,
        identified: &mut Vec<u8>,
    ) {
        self.meter_request(id, bytes);
        if self.recording.wants_requests {
            self.note_wanted_request(id, bytes, client, identified);
        }
    }

    #[inline(never)]
    fn note_wanted_request(&mut self, id: ExchangeId, bytes: &[u8], client: &Peer, identified: &mut Vec<u8>) {
        let settings = &self.settings;
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        let needs_id = match &self.recording.access_log {
            Some(log) => settings.request_ids || log.format().has_request_id,
            None => settings.request_ids,
        };
        let mut place = 0..0;
        if needs_id {
            let peer = connection.peer.address.map(|(ip, _)| ip);
            let believes = || settings.trust_request_id || settings.proxies.trusted.trusts(peer);
            place = self.recording.ids.identify(&mut self.head, bytes, believes, identified);
        }
        if settings.traces {
            let received_us = self.clock.started_us + self.clock.turn_us;
            let began_us = received_us.saturating_sub(exchange.metered.proxied_ms * 1000);
            add_received(&mut self.head, bytes, began_us, identified);
        }
        if !self.recording.wants_ends && !settings.server_timing {
            return;
        }
        let mut record = self.recording.records.take();
        record.begin_clock(self.clock.turn_us, self.clock.coarse_ms());
        if let Some(log) = &self.recording.access_log {
            let all = if identified.is_empty() { bytes } else { &identified[..] };
            let request = Request {
                head: Some(&self.head),
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
    pub(crate) fn note_head(&mut self, id: ExchangeId, bytes: &[u8]) {
        self.note_without_worker(id, bytes, true);
    }

    /// What was refused is noted, too, though it may be no request at all.
    pub(crate) fn note_refused(&mut self, id: ExchangeId, bytes: &[u8]) {
        self.meter_request(id, &[]);
        self.note_without_worker(id, bytes, false);
    }

    fn note_without_worker(&mut self, id: ExchangeId, bytes: &[u8], has_head: bool) {
        if !self.recording.wants_ends {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        if exchange.record.is_some() {
            return;
        }
        let mut record = self.recording.records.take();
        record.begin_clock(self.clock.turn_us, self.clock.coarse_ms());
        if let Some(log) = &self.recording.access_log {
            let peer = connection.peer.text();
            let head = has_head.then_some(&self.head);
            record.begin(log.format(), &Request { head, bytes, client: peer, peer, id: b"" });
        }
        exchange.record = Some(record);
    }

    /// So is what never became a request; `cause` is what its line says.
    pub(crate) fn note_own(&mut self, id: ExchangeId, cause: &'static str) {
        self.note_refused(id, &[]);
        if let Some(exchange) = self.exchanges.get_mut(id)
            && let Some(record) = &mut exchange.record
        {
            record.cause = Some(cause);
        }
    }

    /// An exchange has ended: its line, where there is a log.
    pub(crate) fn note_end(&mut self, record: Box<AccessRecord>, bytes: u64, how: &'static str) {
        if self.recording.wants_ends {
            // A response that was looked at just now and has left already: by the time that is known, or one more look at the clock for each request.
            let is_quick = record.responded_us == self.clock.responded_us && bytes <= QUICK_BYTES;
            let now_us = if is_quick && self.clock.responded_us > self.clock.turn_us {
                self.clock.responded_us
            } else {
                self.clock.now_us()
            };
            let unix_ms = self.clock.unix_ms();
            if let Some(statsd) = &mut self.recording.statsd {
                let queue_us = (record.responded_us > 0).then_some(record.queue_us);
                let duration_us = now_us.saturating_sub(record.began_us);
                statsd.add(record.status, Sample { duration_us, queue_us });
            }
            if let Some(log) = &mut self.recording.access_log {
                let ending = Ending { bytes, how, now_us, unix_ms };
                log.add(&record, &ending, self.clock.now_ms, &self.shared.counters.access_lines_dropped);
            }
        }
        self.recording.records.give_back(record);
    }

    /// Writes access lines that have waited, and reports to the statsd.
    #[inline]
    pub(crate) fn flush_notes(&mut self) {
        if !self.recording.wants_ends {
            return;
        }
        let counters = &self.shared.counters;
        if let Some(log) = &mut self.recording.access_log {
            log.flush_due(self.clock.now_ms, &counters.access_lines_dropped);
            if let Some((count, why)) = log.losses(self.clock.now_ms, &counters.access_lines_dropped) {
                let (lines, were) = if count == 1 { ("line", "was") } else { ("lines", "were") };
                let message = format!("{count} {lines} of the access log {were} lost: {why}");
                self.shared.notices.post(Level::Warning, message);
            }
        }
        if self.recording.statsd.as_ref().is_some_and(|statsd| statsd.due_in(self.clock.now_ms) == 0) {
            self.report_to_statsd();
        }
    }

    /// Milliseconds until [`EventLoop::flush_notes`] has something to do; None for never.
    pub(crate) fn next_note_ms(&self) -> Option<u64> {
        let log = self.recording.access_log.as_ref().and_then(|log| log.due_in(self.clock.now_ms));
        let statsd = self.recording.statsd.as_ref().map(|statsd| statsd.due_in(self.clock.now_ms));
        log.into_iter().chain(statsd).min()
    }

    #[cold]
    fn report_to_statsd(&mut self) {
        let Some(statsd) = &mut self.recording.statsd else { return };
        let queued = self.dispatch.queued() as u64;
        let levels = Levels {
            workers: self.dispatch.living().count() as u64,
            backlog: queued + self.listeners.waiting(),
            queued,
            running: self.dispatch.slots_in_use() as u64,
            connections: self.connections.len() as u64,
        };
        let counters = &self.shared.counters;
        statsd.work(self.clock.now_ms, &levels, counters);
        if let Some(count) = statsd.losses(self.clock.now_ms, counters) {
            let message =
                format!("{count} datagrams for the statsd were lost: nobody takes them, or not fast enough");
            self.shared.notices.post(Level::Warning, message);
        }
    }

    /// Writes all access lines now.
    #[cfg(test)]
    pub(crate) fn flush_all_notes(&mut self) {
        if let Some(log) = &mut self.recording.access_log {
            log.flush(&self.shared.counters.access_lines_dropped);
        }
    }

    /// Nothing more will be noted.
    pub(crate) fn end_notes(&mut self) {
        if let Some(statsd) = &mut self.recording.statsd {
            statsd.finish(&self.shared.counters);
        }
    }
}
