//! What the cache reads in the head of a request, and where it listens to a response. Runs on the front's thread.

use pelton_http::caching::RequestDirectives;
use pelton_http::{Known, Span};

use crate::cache::entry::Entry;
use crate::cache::page_ranges::PageRanges;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::requests::seen_as;
use crate::response::filters::{Filter, Filters};

/// Puts a piece behind a head; gives where it is.
pub(crate) fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(piece);
    Span::new(start, bytes.len())
}

/// The ranges of a kept page that are wanted, if they are.
pub(crate) fn part_of(front: &Front, entry: &Entry, bytes: &[u8]) -> Option<PageRanges> {
    // Ranges are defined for GET only (RFC 9110 section 14.2).
    if front.head.method.of(bytes) != b"GET" {
        return None;
    }
    let fields = front.head.fields.iter().map(|field| (field.known, field.value.of(bytes)));
    PageRanges::of(entry.status, &entry.fields, entry.body.len(), fields)
}

/// What responses are kept under: scheme, host, path and query, as the application sees them. And the first two alone.
pub(crate) fn target_of(front: &Front, id: ExchangeId, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let seen = seen_as::seen_as(front, id, bytes);
    let mut origin = if seen.is_https { b"https://".to_vec() } else { b"http://".to_vec() };
    origin.extend(seen.host.iter().map(u8::to_ascii_lowercase));
    let (path, query) = (front.head.path.of(bytes), front.head.query.of(bytes));
    let path = if path.is_empty() { b"/" } else { path };
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    let target = [&origin, seen.prefix, path, mark, query].concat();
    (target, origin)
}

pub(crate) fn directives(front: &Front, bytes: &[u8]) -> RequestDirectives {
    let all = |known| {
        front.head.fields.iter().filter(move |field| field.known == known).map(|field| field.value.of(bytes))
    };
    RequestDirectives::read(all(Known::CacheControl), all(Known::Pragma).next())
}

pub(crate) fn conditions(front: &Front, bytes: &[u8]) -> Vec<(Known, Box<[u8]>)> {
    let fields = front.head.fields.iter();
    fields
        .filter(|field| matches!(field.known, Known::IfNoneMatch | Known::IfModifiedSince))
        .map(|field| (field.known, field.value.of(bytes).into()))
        .collect()
}

/// Puts a filter before the others of an exchange: it sees what the application has said.
pub(crate) fn add_filter(front: &mut Front, id: ExchangeId, filter: Box<dyn Filter>) {
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.filters.get_or_insert_with(|| Box::new(Filters::default())).add_first(filter);
    }
}
