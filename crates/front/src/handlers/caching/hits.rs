//! Responses out of the cache: all of a page, parts of it, a 304, or the page in a coding. Runs on the front's thread.

use std::collections::VecDeque;
use std::sync::Arc;

use pelton_http::caching::status::{CacheStatus, write_cache_status};
use pelton_http::{ContentCoding, Known, Version};

use crate::cache::entry::{Entry, OwnField};
use crate::cache::recorder::is_not_modified;
use crate::cache::store::EntryId;
use crate::cache::watchers::Capture;
use crate::front::Front;
use crate::handlers::caching::views;
use crate::ids::ExchangeId;
use crate::response::filters::Head;
use crate::response::own::{Part, Response};
use crate::response::{filters, respond};

/// A large page is compressed a piece at a time, as the client takes it.
const PIECE: usize = 64 * 1024;

pub(crate) fn respond_from_cache(
    front: &mut Front,
    id: ExchangeId,
    entry_id: EntryId,
    bytes: &[u8],
    collapsed: bool,
) {
    let now = front.clock.now_ms / 1000;
    let conditions = views::conditions(front, bytes);
    let Some(entry) = front.site.cache.as_ref().and_then(|cache| cache.store.get(entry_id)) else {
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
    } else if let Some(part) = views::part_of(front, entry, bytes) {
        part.apply(&mut head, &mut body, &entry.body);
        drop_filters(front, id);
    } else if let Some(coding) = coding_for(front, entry, bytes) {
        match entry.coded.get(coding as usize) {
            Some(Some(coded)) => {
                head.fields = own_fields(&coded.fields);
                if let Some(compression) = &front.site.compression {
                    compression.pad(&mut head);
                }
                body = VecDeque::from([Part::shared(&coded.body)]);
                drop_filters(front, id);
            }
            _ => {
                body = in_pieces(&entry.body);
                capture(front, id, entry_id, coding);
            }
        }
    }
    head.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"age"));
    head.fields.append(&mut own);
    front.shared.counters.cache_hits.up();
    let (status, fields) = (head.status, head.fields);
    respond::respond(front, id, Response { status, fields, body, received_whole: true, explains: false });
}

/// The coding in which a client gets a kept page, if that may be compressed.
fn coding_for(front: &Front, entry: &Entry, bytes: &[u8]) -> Option<ContentCoding> {
    let is_coded = entry.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"));
    // What has no filter comes from a client of 1.0.
    if is_coded || front.head.version == Version::Http10 {
        return None;
    }
    let fields = front.head.fields.iter().filter(|field| field.known == Known::AcceptEncoding);
    front.site.compression.as_ref()?.coding(fields.map(|field| field.value.of(bytes)))
}

fn drop_filters(front: &mut Front, id: ExchangeId) {
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.filters = None;
    }
}

/// What comes out of the compression is kept beside the page.
fn capture(front: &mut Front, id: ExchangeId, entry: EntryId, coding: ContentCoding) {
    let Some(cache) = &front.site.cache else { return };
    let capture = Capture {
        inbox: cache.inbox.clone(),
        id: entry,
        coding,
        most_bytes: cache.store.most_body_bytes(),
        fields: Vec::new(),
        body: Some(Vec::new()),
    };
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.filters.get_or_insert_default().add(Box::new(capture));
    }
}

fn in_pieces(body: &Arc<[u8]>) -> VecDeque<Part> {
    let starts = (0..body.len().max(1)).step_by(PIECE);
    starts.map(|start| Part::Shared(Arc::clone(body), start..body.len().min(start + PIECE))).collect()
}

fn own_fields(fields: &[OwnField]) -> Vec<filters::Field<'static>> {
    fields.iter().map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect()
}
