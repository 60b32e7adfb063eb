//! Responses out of the cache: all of a page, parts of it, a 304, or the page in a coding. Runs on the front's thread.

use std::collections::VecDeque;
use std::sync::Arc;

use pelton_http::caching::status::{CacheStatus, write_cache_status};
use pelton_http::{ContentCoding, Known, Version};

use crate::cache::entry::{Entry, OwnField};
use crate::cache::page_ranges::PageRanges;
use crate::cache::recorder::is_not_modified;
use crate::cache::store::EntryId;
use crate::cache::watchers::Capture;
use crate::event_loop::EventLoop;
use crate::exchange::ExchangeId;
use crate::response::filters::{self, Head};
use crate::response::own::{Part, Response};

impl EventLoop {
    pub(super) fn respond_from_cache(
        &mut self,
        id: ExchangeId,
        entry_id: EntryId,
        bytes: &[u8],
        collapsed: bool,
    ) {
        let now = self.clock.now_ms / 1000;
        let conditions = self.conditions(bytes);
        let Some(entry) = self.site.cache.as_ref().and_then(|cache| cache.store.get(entry_id)) else {
            return;
        };
        let ttl = entry.lifetime.fresh as i64 - entry.age.at(now) as i64;
        let mut own = vec![(b"Age"[..].into(), entry.age.at(now).to_string().into_bytes().into())];
        let mut value = Vec::new();
        write_cache_status(&mut value, &CacheStatus { ttl: Some(ttl), collapsed, ..CacheStatus::default() });
        own.push((b"Cache-Status"[..].into(), value.into()));
        let mut head = Head { status: entry.status, fields: own_fields(&entry.fields), known_length: None };
        let mut body = VecDeque::from([Part::shared(&entry.body)]);
        if is_not_modified(&entry.fields, &conditions) {
            (head.status, body) = (304, VecDeque::new());
        } else if let Some(part) = self.part_of(entry, bytes) {
            part.apply(&mut head, &mut body, &entry.body);
            self.drop_filters(id);
        } else if let Some(coding) = self.coding_for(entry, bytes) {
            match entry.coded.get(coding as usize) {
                Some(Some(coded)) => {
                    head.fields = own_fields(&coded.fields);
                    if let Some(compression) = &self.site.compression {
                        compression.pad(&mut head);
                    }
                    body = VecDeque::from([Part::shared(&coded.body)]);
                    self.drop_filters(id);
                }
                _ => {
                    body = in_pieces(&entry.body);
                    self.capture(id, entry_id, coding);
                }
            }
        }
        head.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"age"));
        head.fields.append(&mut own);
        self.shared.counters.cache_hits.up();
        let (status, fields) = (head.status, head.fields);
        self.respond(id, Response { status, fields, body, received_whole: true, explains: false });
    }

    /// The ranges of a kept page that are wanted, if they are.
    fn part_of(&self, entry: &Entry, bytes: &[u8]) -> Option<PageRanges> {
        // Ranges are defined for GET only (RFC 9110 section 14.2).
        if self.head.method.of(bytes) != b"GET" {
            return None;
        }
        let fields = self.head.fields.iter().map(|field| (field.known, field.value.of(bytes)));
        PageRanges::of(entry.status, &entry.fields, entry.body.len(), fields)
    }

    /// The coding in which a client gets a kept page, if that may be compressed.
    fn coding_for(&self, entry: &Entry, bytes: &[u8]) -> Option<ContentCoding> {
        let is_coded = entry.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"));
        // What has no filter comes from a client of 1.0.
        if is_coded || self.head.version == Version::Http10 {
            return None;
        }
        let fields = self.head.fields.iter().filter(|field| field.known == Known::AcceptEncoding);
        self.site.compression.as_ref()?.coding(fields.map(|field| field.value.of(bytes)))
    }

    fn drop_filters(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.filters = None;
        }
    }

    /// What comes out of the compression is kept beside the page.
    fn capture(&mut self, id: ExchangeId, entry: EntryId, coding: ContentCoding) {
        let Some(cache) = &self.site.cache else { return };
        let capture = Capture {
            inbox: cache.inbox.clone(),
            id: entry,
            coding,
            most_bytes: cache.store.most_body_bytes(),
            fields: Vec::new(),
            body: Some(Vec::new()),
        };
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.filters.get_or_insert_default().add(Box::new(capture));
        }
    }
}

/// A large page is compressed a piece at a time, as the client takes it.
const PIECE: usize = 64 * 1024;

fn in_pieces(body: &Arc<[u8]>) -> VecDeque<Part> {
    let starts = (0..body.len().max(1)).step_by(PIECE);
    starts.map(|start| Part::Shared(Arc::clone(body), start..body.len().min(start + PIECE))).collect()
}

fn own_fields(fields: &[OwnField]) -> Vec<filters::Field<'static>> {
    fields.iter().map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect()
}
