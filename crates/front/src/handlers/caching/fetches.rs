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
use crate::clients::registry;
use crate::exchange::{Pending, State};
use crate::forwarding::known_variable;
use crate::front::Front;
use crate::handlers::caching::views;
use crate::handlers::caching::views::append;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::requests::{dispatching, edge_settings};
use crate::scheduling::ask::Load;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};

/// What is to be fetched.
pub(crate) struct Wanted {
    pub(crate) target: Vec<u8>,
    pub(crate) why: Forwarded,
    /// What is kept and has to be validated.
    pub(crate) entry: Option<EntryId>,
    pub(crate) directives: RequestDirectives,
}

/// Holds the request back until the fetch that is under way has ended.
pub(crate) fn wait_for_fetch(front: &mut Front, id: ExchangeId, target: &[u8], bytes: &[u8]) -> bool {
    let most = front.settings.queue_length.max(1);
    let key = fetch_key(front, target, bytes);
    let is_waiting = front.site.cache.as_mut().is_some_and(|cache| cache.wait(&key, id, most));
    let Some(exchange) = front.exchanges.get_mut(id).filter(|_| is_waiting) else { return false };
    exchange.pending = Some(Box::new(Pending {
        head: front.head.clone(),
        bytes: bytes.to_vec(),
        body: Default::default(),
        since_ms: front.clock.now_ms,
    }));
    if exchange.state() != State::Queued {
        exchange.become_state(State::Queued);
    }
    front.shared.counters.cache_waits.up();
    front.set_deadline(id, front.settings.queue_time);
    true
}

fn fetch_key(front: &Front, target: &[u8], bytes: &[u8]) -> Box<[u8]> {
    let fields = front.head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
    front.site.cache.as_ref().map_or_else(Box::default, |cache| cache.key(target, fields))
}

/// What is kept has been sent to a client on `of`, and is fetched anew by a request that has no client: it stands in the table like any other,
/// with all bounds and clocks, and whatever is sent to it goes nowhere. (RFC 5861 section 3.)
pub(crate) fn fetch_beside(front: &mut Front, of: Option<ConnectionId>, wanted: Wanted, bytes: &[u8]) {
    if front.draining {
        return;
    }
    let Some(client) = of.and_then(|id| front.connections.get(id)) else { return };
    let (peer, listener) = (client.peer, client.listener);
    let variables = client.transport.variables().to_vec();
    // Whoever wants to know why it cannot be: there is no descriptor left, and the next request tries again.
    let Ok((ours, other_end)) = Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None) else {
        return;
    };
    let kind =
        ListenerKind { number: listener, role: Role::Application, protocol: Protocol::Http1, tls: false };
    let Some((connection, id)) = registry::take_in(front, Transport::plain(ours), peer, kind) else { return };
    if let Some(connection) = front.connections.get_mut(connection) {
        // As the client's, whatever this one is made of.
        connection.peer = peer;
        connection.awaits_proxy_header = false;
    }
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.version = Version::Http11;
        exchange.is_tls = peer.is_tls;
        exchange.keep_alive = false;
        exchange.received_whole = true;
        let unread = Unread { _other_end: other_end.into() };
        exchange.filters.get_or_insert_default().add(Box::new(unread));
    }
    front.shared.counters.cache_revalidations.up();
    // The client's own head is still needed by its response.
    let head = front.head.clone();
    let mut changed = Vec::new();
    fetch(front, id, wanted, bytes, &mut changed);
    if changed.is_empty() {
        changed.extend_from_slice(bytes);
    }
    for (name, value) in &variables {
        let known = known_variable(name);
        let name = append(&mut changed, name.as_bytes());
        let value = append(&mut changed, value.as_bytes());
        front.head.fields.push(Field { name, value, known });
    }
    dispatching::submit(front, id, &changed, Load::Inline(&[]));
    front.head = head;
    front.again.push(connection);
}

/// The request goes to the application, and a recorder stands behind it. What is kept and stale is validated by its own tag or date.
pub(crate) fn fetch(front: &mut Front, id: ExchangeId, wanted: Wanted, bytes: &[u8], changed: &mut Vec<u8>) {
    let Wanted { target, why, entry, directives } = wanted;
    let key = fetch_key(front, &target, bytes);
    let asked = asked_for(front, why, directives, bytes);
    let Some(cache) = &mut front.site.cache else { return };
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
        ask_whether_unchanged(front, id, kept, bytes, changed);
    }
    front.shared.counters.cache_misses.up();
    views::add_filter(front, id, Box::new(Recorder::new(inbox, fetch, asked, kept, most)));
}

fn asked_for(front: &mut Front, why: Forwarded, directives: RequestDirectives, bytes: &[u8]) -> Asked {
    Asked {
        fields: (front.head.fields.iter())
            .map(|field| (field.name.of(bytes).into(), field.value.of(bytes).into()))
            .collect(),
        directives,
        authorized: front.head.find(Known::Authorization).is_some(),
        conditions: views::conditions(front, bytes),
        why,
        unix_now: front.clock.unix_seconds,
        now: front.clock.now_ms / 1000,
        date: *front.clock.date.render(front.clock.unix_seconds),
    }
}

/// The application is asked on the conditions of what is kept: the whole body is wanted, and by what we have, not by what the client has.
fn ask_whether_unchanged(
    front: &mut Front,
    id: ExchangeId,
    kept: &Kept,
    bytes: &[u8],
    changed: &mut Vec<u8>,
) {
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
    front.head.fields.retain(|field| !pelton_http::conditions::is_condition(field.known));
    for (known, name, value) in validators {
        if let Some(value) = value {
            let name = append(changed, name);
            let value = append(changed, value);
            front.head.fields.push(Field { name, value, known });
        }
    }
    if front.site.keeps_asked {
        // What the application sees is what its response is about.
        edge_settings::keep_asked(front, id, changed);
    }
}
