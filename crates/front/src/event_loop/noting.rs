//! What is noted of requests: records for the access log and for `Server-Timing`, and ids.
//!
//! Must cost nothing where none of it is wanted. Runs on the front's thread.

use crate::access::line::Ending;
use crate::access::record::AccessRecord;
use crate::connection::listener::Peer;
use crate::connection::table::ConnectionId;
use crate::event_loop::EventLoop;

impl EventLoop {
    /// A request's head is complete and in `self.head`; it came from `client`. `identified` is empty, and gets the head with an id behind it where
    /// one was made.
    #[inline]
    pub(crate) fn note_request(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        client: &Peer,
        identified: &mut Vec<u8>,
    ) {
        let settings = &self.settings;
        if self.access_log.is_none() && !settings.server_timing && !settings.request_ids {
            return;
        }
        let now_us = self.now_us();
        let Some(connection) = self.table.get_mut(id) else { return };
        let needs_id = match &self.access_log {
            Some(log) => settings.request_ids || log.format().has_request_id,
            None => settings.request_ids,
        };
        let mut record = match &mut self.access_log {
            Some(log) => Some(log.begin(&self.head, bytes, client.text(), connection.peer.text(), now_us)),
            None if settings.server_timing => {
                let mut record = Box::<AccessRecord>::default();
                record.begin_clock(now_us);
                Some(record)
            }
            None => None,
        };
        if needs_id {
            let peer = connection.peer.address.map(|(ip, _)| ip);
            let believes = settings.trust_request_id || settings.proxies.trusted.trusts(peer);
            let place = self.ids.identify(&mut self.head, bytes, believes, identified);
            let all = if identified.is_empty() { bytes } else { &identified[..] };
            if let (Some(record), Some(text)) = (&mut record, all.get(place)) {
                record.set_id(text);
            }
        }
        connection.exchange.record = record;
    }

    /// A head is complete, and will be answered here.
    pub(crate) fn note_head(&mut self, id: ConnectionId, bytes: &[u8]) {
        let now_us = self.now_us();
        if let Some(log) = &mut self.access_log
            && let Some(connection) = self.table.get_mut(id)
        {
            let peer = connection.peer.text();
            connection.exchange.record = Some(log.begin(&self.head, bytes, peer, peer, now_us));
        }
    }

    /// The access log is to show what was refused, which may be no request at all.
    pub(crate) fn note_refused(&mut self, id: ConnectionId, bytes: &[u8]) {
        let now_us = self.now_us();
        if let Some(log) = &mut self.access_log
            && let Some(connection) = self.table.get_mut(id)
        {
            let peer = connection.peer.text();
            connection.exchange.record.get_or_insert_with(|| log.begin_without_head(bytes, peer, now_us));
        }
    }

    /// What never became a request has a line in the access log, too; `cause` is what it says.
    pub(crate) fn note_own(&mut self, id: ConnectionId, cause: &'static str) {
        self.note_refused(id, &[]);
        if let Some(connection) = self.table.get_mut(id)
            && let Some(record) = &mut connection.exchange.record
        {
            record.cause = Some(cause);
        }
    }

    /// An exchange has ended: its line, where there is a log.
    pub(crate) fn note_end(&mut self, record: Box<AccessRecord>, bytes: u64, how: &'static str) {
        let (now_us, unix_ms) = (self.now_us(), self.unix_ms());
        if let Some(log) = &mut self.access_log {
            let ending = Ending { bytes, how, now_us, unix_ms };
            log.add(record, &ending, self.now_ms, &self.shared.counters.access_lines_dropped);
        }
    }
}
