//! Requests that go on to the application on behalf of the cache, those that wait for one that does already, and those without a client.
//!
//! Runs on the front's thread.

use std::sync::Arc;

use pelton_http::caching::RequestDirectives;
use pelton_http::caching::status::Forwarded;
use pelton_http::{Field, Known, Version};
use socket2::{Domain, Socket, Type};

use crate::cache::recorder::{Asked, Kept, Recorder};
use crate::cache::store::EntryId;
use crate::cache::watchers::Unread;
use crate::connection::ConnectionId;
use crate::event_loop::EventLoop;
use crate::event_loop::caching::append;
use crate::exchange::{ExchangeId, Pending, State};
use crate::forwarding::known_variable;
use crate::scheduling::ask::Load;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};

/// What is to be fetched.
pub(super) struct Wanted {
    pub(super) target: Vec<u8>,
    pub(super) why: Forwarded,
    /// What is kept and has to be validated.
    pub(super) entry: Option<EntryId>,
    pub(super) directives: RequestDirectives,
}

impl EventLoop {
    /// Holds the request back until the fetch that is under way has ended.
    pub(super) fn wait_for_fetch(&mut self, id: ExchangeId, target: &[u8], bytes: &[u8]) -> bool {
        let most = self.settings.queue_length.max(1);
        let key = self.fetch_key(target, bytes);
        let is_waiting = self.site.cache.as_mut().is_some_and(|cache| cache.wait(&key, id, most));
        let Some(exchange) = self.exchanges.get_mut(id).filter(|_| is_waiting) else { return false };
        exchange.pending = Some(Box::new(Pending {
            head: self.head.clone(),
            bytes: bytes.to_vec(),
            body: Default::default(),
            since_ms: self.clock.now_ms,
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
        self.site.cache.as_ref().map_or_else(Box::default, |cache| cache.key(target, fields))
    }

    /// What is kept has been sent to a client on `of`, and is fetched anew by a request that has no client: it stands in the table like any other,
    /// with all bounds and clocks, and whatever is sent to it goes nowhere. (RFC 5861 section 3.)
    pub(super) fn fetch_beside(&mut self, of: Option<ConnectionId>, wanted: Wanted, bytes: &[u8]) {
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
        self.fetch(id, wanted, bytes, &mut changed);
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
    pub(super) fn fetch(&mut self, id: ExchangeId, wanted: Wanted, bytes: &[u8], changed: &mut Vec<u8>) {
        let Wanted { target, why, entry, directives } = wanted;
        let key = self.fetch_key(&target, bytes);
        let asked = self.asked_for(why, directives, bytes);
        let Some(cache) = &mut self.site.cache else { return };
        let kept = entry.and_then(|id| Some((id, cache.store.get(id)?))).map(|(id, entry)| Kept {
            id,
            status: entry.status,
            fields: entry.fields.clone(),
            body: Arc::clone(&entry.body),
            lifetime: entry.lifetime,
            age: entry.age,
        });
        let fetch = cache.begin_fetch(&target, key);
        let (inbox, most) = (cache.inbox.clone(), cache.store.most_body_bytes());
        if let Some(kept) = &kept {
            self.ask_whether_unchanged(id, kept, bytes, changed);
        }
        self.shared.counters.cache_misses.up();
        self.add_filter(id, Box::new(Recorder::new(inbox, fetch, asked, kept, most)));
    }

    fn asked_for(&mut self, why: Forwarded, directives: RequestDirectives, bytes: &[u8]) -> Asked {
        Asked {
            fields: (self.head.fields.iter())
                .map(|field| (field.name.of(bytes).into(), field.value.of(bytes).into()))
                .collect(),
            directives,
            authorized: self.head.find(Known::Authorization).is_some(),
            conditions: self.conditions(bytes),
            why,
            unix_now: self.clock.unix_seconds,
            now: self.clock.now_ms / 1000,
            date: *self.clock.date.render(self.clock.unix_seconds),
        }
    }

    /// The application is asked on the conditions of what is kept: the whole body is wanted, and by what we have, not by what the client has.
    fn ask_whether_unchanged(&mut self, id: ExchangeId, kept: &Kept, bytes: &[u8], changed: &mut Vec<u8>) {
        let find = |wanted: &[u8]| {
            let found = kept.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value)
        };
        let validators = [
            (Known::IfNoneMatch, &b"If-None-Match"[..], find(b"etag")),
            (Known::IfModifiedSince, &b"If-Modified-Since"[..], find(b"last-modified")),
        ];
        if changed.is_empty() {
            changed.extend_from_slice(bytes);
        }
        self.head.fields.retain(|field| !pelton_http::conditions::is_condition(field.known));
        for (known, name, value) in validators {
            if let Some(value) = value {
                let name = append(changed, name);
                let value = append(changed, value);
                self.head.fields.push(Field { name, value, known });
            }
        }
        if self.site.keeps_asked {
            // What the application sees is what its response is about.
            self.keep_asked(id, changed);
        }
    }
}
