//! How requests meet the response cache: answered from it, waiting for somebody else's fetch, or going on with a recorder behind them.
//!
//! This file decides which of these; `hits` answers, `fetches` asks the application, `news` keeps what that brings. Runs on the front's thread.

use pelton_http::caching::status::Forwarded;
use pelton_http::caching::{RequestDirectives, Reuse, invalidates, reuse};
use pelton_http::{Known, Span};

use crate::cache::store::{EntryId, Found};
use crate::cache::watchers::{Bypass, Invalidator};
use crate::event_loop::EventLoop;
use crate::event_loop::caching::fetches::Wanted;
use crate::exchange::ExchangeId;
use crate::response::filters::{Filter, Filters};
use crate::response::own::Response;

mod fetches;
mod hits;
mod news;

/// What is to become of a request.
enum Way {
    /// To the application; the cache has nothing to do with it, and why.
    Around(Forwarded),
    /// From the cache.
    Hit(EntryId),
    /// The same, and it is fetched anew behind the client's back.
    HitAndFetch(EntryId),
    /// Somebody fetches it already.
    Wait,
    /// To the application, and its response is recorded.
    Fetch(Forwarded, Option<EntryId>),
    /// The client wants nothing else than what is kept, and nothing is.
    Refuse,
}

impl EventLoop {
    /// Looks whether the request whose head is in `self.head` can be answered from the cache. True: it has its response, or waits for one.
    /// `bytes` is the head; where the application has to see another one, that is put into `changed`.
    pub(crate) fn look_in_cache(&mut self, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) -> bool {
        let method = self.head.method.of(bytes);
        let (target, origin) = self.target_of(id, bytes);
        let Some(cache) = &mut self.site.cache else { return false };
        if invalidates(method) {
            let watch =
                Invalidator { inbox: cache.inbox.clone(), target: target.into(), origin: origin.into() };
            self.add_filter(id, Box::new(watch));
            return false;
        }
        let is_plain = self.head.length.is_empty() && !self.head.asks_for_websocket;
        if !is_plain || !matches!(method, b"GET" | b"HEAD") {
            return false;
        }
        let request = self.directives(bytes);
        match self.way(&target, method == b"HEAD", &request, bytes, false) {
            Way::Around(why) => {
                self.add_filter(id, Box::new(Bypass(why)));
                false
            }
            Way::Hit(entry) => {
                self.respond_from_cache(id, entry, bytes, false);
                true
            }
            Way::HitAndFetch(entry) => {
                let connection = self.exchanges.get(id).map(|exchange| exchange.connection);
                self.respond_from_cache(id, entry, bytes, false);
                let wanted =
                    Wanted { target, why: Forwarded::Stale, entry: Some(entry), directives: request };
                self.fetch_beside(connection, wanted, bytes);
                true
            }
            Way::Wait => self.wait_for_fetch(id, &target, bytes),
            Way::Refuse => {
                self.respond(
                    id,
                    Response::text(504, "Only a kept response was wanted, and there is none.", true),
                );
                true
            }
            Way::Fetch(why, entry) => {
                self.fetch(id, Wanted { target, why, entry, directives: request }, bytes, changed);
                false
            }
        }
    }

    /// What responses are kept under: scheme, host, path and query, as the application sees them. And the first two alone.
    fn target_of(&self, id: ExchangeId, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let seen = self.seen_as(id, bytes);
        let mut origin = if seen.is_https { b"https://".to_vec() } else { b"http://".to_vec() };
        origin.extend(seen.host.iter().map(u8::to_ascii_lowercase));
        let (path, query) = (self.head.path.of(bytes), self.head.query.of(bytes));
        let path = if path.is_empty() { b"/" } else { path };
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        let target = [&origin, seen.prefix, path, mark, query].concat();
        (target, origin)
    }

    fn directives(&self, bytes: &[u8]) -> RequestDirectives {
        let all = |known| {
            self.head
                .fields
                .iter()
                .filter(move |field| field.known == known)
                .map(|field| field.value.of(bytes))
        };
        RequestDirectives::read(all(Known::CacheControl), all(Known::Pragma).next())
    }

    /// `has_waited`: it has had to do with somebody else's fetch already, and does not wait for another one of the same page.
    fn way(
        &mut self,
        target: &[u8],
        is_head: bool,
        request: &RequestDirectives,
        bytes: &[u8],
        has_waited: bool,
    ) -> Way {
        let now = self.clock.now_ms / 1000;
        let Some(cache) = &mut self.site.cache else { return Way::Around(Forwarded::Bypass) };
        let fields = self.head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
        let found = cache.store.find(target, fields.clone());
        let is_fetched = cache.is_fetched(&cache.key(target, fields));
        let entry = match found {
            Found::Entry(id) => cache.store.get(id).map(|entry| (id, entry)),
            Found::OtherVariants | Found::Nothing => None,
        };
        let is_partial =
            self.head.fields.iter().any(|field| pelton_http::conditions::is_condition(field.known));
        let Some((id, entry)) = entry else {
            if request.only_if_cached {
                return Way::Refuse;
            }
            // What the client says of its own copy or of parts is between it and the application, unless something is kept.
            if is_head || is_partial || request.no_store {
                return Way::Around(Forwarded::Bypass);
            }
            let why = if found == Found::Nothing { Forwarded::UriMiss } else { Forwarded::VaryMiss };
            if cache.is_passed(target, now) {
                return Way::Around(why);
            }
            if is_fetched {
                return Way::Wait;
            }
            return Way::Fetch(why, None);
        };
        // The response to one request is never fresh for another one: nobody waits for it.
        let is_shareable = !request.no_cache
            && request.max_age != Some(0)
            && !entry.lifetime.always_validated
            && entry.lifetime.fresh > 0;
        let why =
            if request.no_cache || request.max_age.is_some() { Forwarded::Request } else { Forwarded::Stale };
        match reuse(&entry.lifetime, entry.age.at(now), request) {
            Reuse::Fresh => Way::Hit(id),
            Reuse::WhileRevalidating if is_fetched || is_head => Way::Hit(id),
            Reuse::WhileRevalidating => Way::HitAndFetch(id),
            Reuse::Validate if request.only_if_cached => Way::Refuse,
            Reuse::Validate if is_head || request.no_store => Way::Around(why),
            Reuse::Validate if is_fetched && is_shareable && !has_waited => Way::Wait,
            Reuse::Validate => Way::Fetch(why, Some(id)),
        }
    }

    fn look_again(&mut self, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) -> bool {
        let (target, _) = self.target_of(id, bytes);
        let request = self.directives(bytes);
        match self.way(&target, false, &request, bytes, true) {
            Way::Hit(entry) | Way::HitAndFetch(entry) => {
                self.respond_from_cache(id, entry, bytes, true);
                true
            }
            Way::Fetch(why, Some(entry)) => {
                self.fetch(
                    id,
                    Wanted { target, why, entry: Some(entry), directives: request },
                    bytes,
                    changed,
                );
                false
            }
            _ => self.look_in_cache(id, bytes, changed),
        }
    }

    fn conditions(&self, bytes: &[u8]) -> Vec<(Known, Box<[u8]>)> {
        let fields = self.head.fields.iter();
        fields
            .filter(|field| matches!(field.known, Known::IfNoneMatch | Known::IfModifiedSince))
            .map(|field| (field.known, field.value.of(bytes).into()))
            .collect()
    }

    /// Puts a filter before the others of an exchange: it sees what the application has said.
    fn add_filter(&mut self, id: ExchangeId, filter: Box<dyn Filter>) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.filters.get_or_insert_with(|| Box::new(Filters::default())).add_first(filter);
        }
    }
}

/// Puts a piece behind a head; gives where it is.
pub(crate) fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(piece);
    Span::new(start, bytes.len())
}
