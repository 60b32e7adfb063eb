//! How requests meet the response cache: answered from it, waiting for somebody else's fetch, or going on with a recorder behind them.
//!
//! Runs on the front's thread.

use std::collections::VecDeque;
use std::sync::Arc;

use pelton_http::caching::status::{CacheStatus, Forwarded, write_cache_status};
use pelton_http::caching::{RequestDirectives, Reuse, invalidates, reuse};
use pelton_http::{ContentCoding, Field, Known, Span, Version};
use socket2::{Domain, Socket, Type};

use crate::cache::page_ranges::PageRanges;
use crate::cache::recorder::{
    Asked, Bypass, Capture, Invalidator, Kept, News, OwnField, Recorder, Unread, is_not_modified,
};
use crate::cache::store::{Entry, EntryId, Found};
use crate::connection::ConnectionId;
use crate::event_loop::EventLoop;
use crate::exchange::{ExchangeId, Pending, State};
use crate::forwarding::known_variable;
use crate::response::filters::{self, Filter, Filters, Head};
use crate::response::own::{Part, Response};
use crate::scheduling::ask::Load;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};

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
    pub(crate) fn look_in_cache(
        &mut self,
        id: ExchangeId,
        is_tls: bool,
        bytes: &[u8],
        changed: &mut Vec<u8>,
    ) -> bool {
        let method = self.head.method.of(bytes);
        let Some(cache) = &mut self.cache else { return false };
        let (target, origin) = target_of(&self.head, bytes, is_tls);
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
                self.fetch_beside(connection, &target, entry, request, bytes);
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
                self.fetch(id, &target, why, entry, request, bytes, changed);
                false
            }
        }
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
        let now = self.now_ms / 1000;
        let Some(cache) = &mut self.cache else { return Way::Around(Forwarded::Bypass) };
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

    fn respond_from_cache(&mut self, id: ExchangeId, entry_id: EntryId, bytes: &[u8], collapsed: bool) {
        let now = self.now_ms / 1000;
        let conditions = self.conditions(bytes);
        let Some(entry) = self.cache.as_ref().and_then(|cache| cache.store.get(entry_id)) else { return };
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
                    if let Some(compression) = &self.compression {
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
        self.compression.as_ref()?.coding(fields.map(|field| field.value.of(bytes)))
    }

    fn drop_filters(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.filters = None;
        }
    }

    /// What comes out of the compression is kept beside the page.
    fn capture(&mut self, id: ExchangeId, entry: EntryId, coding: ContentCoding) {
        let Some(cache) = &self.cache else { return };
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

    fn conditions(&self, bytes: &[u8]) -> Vec<(Known, Box<[u8]>)> {
        let fields = self.head.fields.iter();
        fields
            .filter(|field| matches!(field.known, Known::IfNoneMatch | Known::IfModifiedSince))
            .map(|field| (field.known, field.value.of(bytes).into()))
            .collect()
    }

    /// Holds the request back until the fetch that is under way has ended.
    fn wait_for_fetch(&mut self, id: ExchangeId, target: &[u8], bytes: &[u8]) -> bool {
        let most = self.settings.queue_length.max(1);
        let key = self.fetch_key(target, bytes);
        let is_waiting = self.cache.as_mut().is_some_and(|cache| cache.wait(&key, id, most));
        let Some(exchange) = self.exchanges.get_mut(id).filter(|_| is_waiting) else { return false };
        exchange.pending = Some(Box::new(Pending {
            head: self.head.clone(),
            bytes: bytes.to_vec(),
            body: Default::default(),
            since_ms: self.now_ms,
        }));
        if exchange.state() != State::Queued {
            exchange.become_state(State::Queued);
        }
        self.shared.counters.cache_waits.up();
        self.set_deadline(id, self.settings.queue_time);
        true
    }

    fn fetch_key(&self, target: &[u8], bytes: &[u8]) -> Box<[u8]> {
        let fields = self.head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
        self.cache.as_ref().map_or_else(Box::default, |cache| cache.key(target, fields))
    }

    /// What is kept has been sent to a client on `of`, and is fetched anew by a request that has no client: it stands in the table like any other,
    /// with all bounds and clocks, and whatever is sent to it goes nowhere. (RFC 5861 section 3.)
    fn fetch_beside(
        &mut self,
        of: Option<ConnectionId>,
        target: &[u8],
        entry: EntryId,
        request: RequestDirectives,
        bytes: &[u8],
    ) {
        if self.draining {
            return;
        }
        let Some(client) = of.and_then(|id| self.connections.get(id)) else { return };
        let (peer, listener) = (client.peer, client.listener);
        let variables = client.transport.variables().to_vec();
        // Whoever wants to know why it cannot be: there is no descriptor left, and the next request tries again.
        let Ok((ours, other_end)) = Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None) else {
            return;
        };
        let kind =
            ListenerKind { number: listener, role: Role::Application, protocol: Protocol::Http1, tls: false };
        let Some((connection, id)) = self.take_in(Transport::plain(ours), peer, kind) else { return };
        if let Some(connection) = self.connections.get_mut(connection) {
            // As the client's, whatever this one is made of.
            connection.peer = peer;
            connection.awaits_proxy_header = false;
        }
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.version = Version::Http11;
            exchange.is_tls = peer.is_tls;
            exchange.keep_alive = false;
            exchange.received_whole = true;
            let unread = Unread { _other_end: other_end.into() };
            exchange.filters.get_or_insert_default().add(Box::new(unread));
        }
        self.shared.counters.cache_revalidations.up();
        // The client's own head is still needed by its response.
        let head = self.head.clone();
        let mut changed = Vec::new();
        self.fetch(id, target, Forwarded::Stale, Some(entry), request, bytes, &mut changed);
        if changed.is_empty() {
            changed.extend_from_slice(bytes);
        }
        for (name, value) in &variables {
            let known = known_variable(name);
            let name = append(&mut changed, name.as_bytes());
            let value = append(&mut changed, value.as_bytes());
            self.head.fields.push(Field { name, value, known });
        }
        self.submit(id, &changed, Load::Inline(&[]));
        self.head = head;
        self.again.push(connection);
    }

    /// The request goes to the application, and a recorder stands behind it. What is kept and stale is validated by its own tag or date.
    #[allow(clippy::too_many_arguments, reason = "one value for each thing that was found out")]
    fn fetch(
        &mut self,
        id: ExchangeId,
        target: &[u8],
        why: Forwarded,
        entry: Option<EntryId>,
        directives: RequestDirectives,
        bytes: &[u8],
        changed: &mut Vec<u8>,
    ) {
        let key = self.fetch_key(target, bytes);
        let asked = Asked {
            fields: (self.head.fields.iter())
                .map(|field| (field.name.of(bytes).into(), field.value.of(bytes).into()))
                .collect(),
            directives,
            authorized: self.head.find(Known::Authorization).is_some(),
            conditions: self.conditions(bytes),
            why,
            unix_now: self.unix_seconds,
            now: self.now_ms / 1000,
            date: *self.date.render(self.unix_seconds),
        };
        let Some(cache) = &mut self.cache else { return };
        let kept = entry.and_then(|id| Some((id, cache.store.get(id)?))).map(|(id, entry)| Kept {
            id,
            status: entry.status,
            fields: entry.fields.clone(),
            body: Arc::clone(&entry.body),
            lifetime: entry.lifetime,
            age: entry.age,
        });
        if let Some(kept) = &kept {
            let find = |wanted: &[u8]| {
                kept.fields
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                    .map(|(_, value)| value.clone())
            };
            let validators = [
                (Known::IfNoneMatch, &b"If-None-Match"[..], find(b"etag")),
                (Known::IfModifiedSince, &b"If-Modified-Since"[..], find(b"last-modified")),
            ];
            if changed.is_empty() {
                changed.extend_from_slice(bytes);
            }
            // The whole body is wanted, and by what we have, not by what the client has.
            self.head.fields.retain(|field| !pelton_http::conditions::is_condition(field.known));
            for (known, name, value) in validators {
                if let Some(value) = value {
                    let name = append(changed, name);
                    let value = append(changed, &value);
                    self.head.fields.push(Field { name, value, known });
                }
            }
        }
        if kept.is_some() && self.keeps_asked {
            // What the application sees is what its response is about.
            let seen = std::mem::take(changed);
            self.keep_asked(id, &seen);
            *changed = seen;
        }
        let Some(cache) = &mut self.cache else { return };
        let fetch = cache.begin_fetch(target, key);
        let most = cache.store.most_body_bytes();
        let recorder = Recorder::new(cache.inbox.clone(), fetch, asked, kept, most);
        self.shared.counters.cache_misses.up();
        self.add_filter(id, Box::new(recorder));
    }

    /// Puts a filter before the others of an exchange: it sees what the application has said.
    fn add_filter(&mut self, id: ExchangeId, filter: Box<dyn Filter>) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.filters.get_or_insert_with(|| Box::new(Filters::default())).add_first(filter);
        }
    }

    /// Reads what recorders have told: keeps responses, and lets those go on who have waited for them.
    pub(crate) fn settle_cache(&mut self) {
        let Some(cache) = &mut self.cache else { return };
        let all = cache.inbox.take();
        if all.is_empty() {
            return;
        }
        let now = self.now_ms / 1000;
        for news in all {
            let Some(cache) = &mut self.cache else { return };
            let (waiters, goes_on_alone) = match news {
                News::Stored { fetch, entry } => {
                    cache.store.insert(*entry);
                    (cache.end_fetch(&fetch), false)
                }
                News::Validated { fetch, id, fields, lifetime, age } => {
                    cache.store.freshen(id, fields, lifetime, age);
                    (cache.end_fetch(&fetch), false)
                }
                News::NotStored { fetch, outdated } => {
                    if let Some(id) = outdated {
                        cache.store.forget(id);
                    }
                    cache.pass(&fetch.target, now);
                    (cache.end_fetch(&fetch), true)
                }
                News::Abandoned { fetch } => (cache.end_fetch(&fetch), false),
                News::Coded { id, coding, coded } => {
                    cache.store.add_coded(id, coding, coded);
                    continue;
                }
                News::Changed { targets } => {
                    for target in targets {
                        cache.store.purge_target(&target);
                    }
                    continue;
                }
            };
            for id in waiters {
                self.release_waiter(id, goes_on_alone);
            }
        }
        if let Some(cache) = &self.cache {
            self.shared.counters.cache_bytes.set(cache.store.used() as u64);
            self.shared.counters.cache_entries.set(cache.store.len() as u64);
            self.shared.counters.cache_evictions.set(cache.store.evicted());
        }
    }

    /// A request that has waited for somebody else's fetch goes on: from the cache, or to the application.
    fn release_waiter(&mut self, id: ExchangeId, alone: bool) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.state() != State::Queued {
            return;
        }
        let Some(pending) = exchange.pending.take() else { return };
        let is_tls = self.connections.get(exchange.connection).is_some_and(|one| one.peer.is_tls);
        self.exchange_timers.clear(id.key);
        let Pending { head, bytes, .. } = *pending;
        let before = std::mem::replace(&mut self.head, head);
        let mut changed = Vec::new();
        let has_response = if alone {
            self.add_filter(id, Box::new(Bypass(Forwarded::UriMiss)));
            false
        } else {
            self.look_again(id, is_tls, &bytes, &mut changed)
        };
        if !has_response {
            self.tell_rate(id, &bytes, &mut changed);
            let bytes = if changed.is_empty() { &bytes } else { &changed };
            self.submit(id, bytes, Load::Inline(&[]));
        }
        self.head = before;
        self.drive_exchange(id);
    }

    fn look_again(&mut self, id: ExchangeId, is_tls: bool, bytes: &[u8], changed: &mut Vec<u8>) -> bool {
        let (target, _) = target_of(&self.head, bytes, is_tls);
        let request = self.directives(bytes);
        match self.way(&target, false, &request, bytes, true) {
            Way::Hit(entry) | Way::HitAndFetch(entry) => {
                self.respond_from_cache(id, entry, bytes, true);
                true
            }
            Way::Fetch(why, Some(entry)) => {
                self.fetch(id, &target, why, Some(entry), request, bytes, changed);
                false
            }
            _ => self.look_in_cache(id, is_tls, bytes, changed),
        }
    }

    /// Forgets kept responses: by `target` (a path with its query; with `*` at its end all that begin so), by `tag`, or all. Gives how many.
    pub(crate) fn purge_cache(&mut self, target: Option<&[u8]>, tag: Option<&[u8]>) -> Option<usize> {
        let store = &mut self.cache.as_mut()?.store;
        let mut count = 0;
        if let Some(tag) = tag {
            count += store.purge_tag(tag);
        }
        if let Some(target) = target {
            let prefix = target.strip_suffix(b"*");
            count += store.purge_where(|key| {
                let path = path_of_key(key);
                prefix.map_or(path == target, |prefix| path.starts_with(prefix))
            });
        }
        if target.is_none() && tag.is_none() {
            count += store.purge_where(|_| true);
        }
        Some(count)
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

/// Puts a piece behind a head; gives where it is.
pub(crate) fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(piece);
    Span::new(start, bytes.len())
}

/// What responses are kept under: scheme, authority, path and query. And the first two alone.
fn target_of(head: &pelton_http::Head, bytes: &[u8], is_tls: bool) -> (Vec<u8>, Vec<u8>) {
    let mut origin = if is_tls { b"https://".to_vec() } else { b"http://".to_vec() };
    origin.extend(head.authority.of(bytes).iter().map(u8::to_ascii_lowercase));
    let path = head.path.of(bytes);
    let mut key = origin.clone();
    key.extend_from_slice(if path.is_empty() { b"/" } else { path });
    let query = head.query.of(bytes);
    if !query.is_empty() {
        key.push(b'?');
        key.extend_from_slice(query);
    }
    (key, origin)
}

fn path_of_key(key: &[u8]) -> &[u8] {
    let after = key.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let rest = key.get(after..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    rest.get(slash..).unwrap_or_default()
}
