//! What becomes of a request that the cache may know something of. Runs on the front's thread.

use pelton_http::caching::status::Forwarded;
use pelton_http::caching::{RequestDirectives, Reuse, invalidates, reuse};

use crate::cache::store::{EntryId, Found};
use crate::cache::watchers::{Bypass, Invalidator};
use crate::front::Front;
use crate::handlers::caching::fetches::Wanted;
use crate::handlers::caching::{fetches, hits, views};
use crate::ids::ExchangeId;
use crate::response::own::Response;
use crate::response::respond;

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

/// Looks whether the request whose head is in `front.head` can be answered from the cache. True: it has its response, or waits for one.
/// `bytes` is the head; where the application has to see another one, that is put into `changed`.
pub(crate) fn look_in_cache(front: &mut Front, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) -> bool {
    let method = front.head.method.of(bytes);
    let (target, origin) = views::target_of(front, id, bytes);
    let Some(cache) = &mut front.site.cache else { return false };
    if invalidates(method) {
        let watch = Invalidator { inbox: cache.inbox.clone(), target: target.into(), origin: origin.into() };
        views::add_filter(front, id, Box::new(watch));
        return false;
    }
    let is_plain = front.head.length.is_empty() && !front.head.asks_for_websocket;
    if !is_plain || !matches!(method, b"GET" | b"HEAD") {
        return false;
    }
    let request = views::directives(front, bytes);
    match way(front, &target, method == b"HEAD", &request, bytes, false) {
        Way::Around(why) => {
            views::add_filter(front, id, Box::new(Bypass(why)));
            false
        }
        Way::Hit(entry) => {
            hits::respond_from_cache(front, id, entry, bytes, false);
            true
        }
        Way::HitAndFetch(entry) => {
            let connection = front.exchanges.get(id).map(|exchange| exchange.connection);
            hits::respond_from_cache(front, id, entry, bytes, false);
            let wanted = Wanted { target, why: Forwarded::Stale, entry: Some(entry), directives: request };
            fetches::fetch_beside(front, connection, wanted, bytes);
            true
        }
        Way::Wait => fetches::wait_for_fetch(front, id, &target, bytes),
        Way::Refuse => {
            respond::respond(
                front,
                id,
                Response::text(504, "Only a kept response was wanted, and there is none.", true),
            );
            true
        }
        Way::Fetch(why, entry) => {
            fetches::fetch(front, id, Wanted { target, why, entry, directives: request }, bytes, changed);
            false
        }
    }
}

/// `has_waited`: it has had to do with somebody else's fetch already, and does not wait for another one of the same page.
fn way(
    front: &mut Front,
    target: &[u8],
    is_head: bool,
    request: &RequestDirectives,
    bytes: &[u8],
    has_waited: bool,
) -> Way {
    let now = front.clock.now_ms / 1000;
    let Some(cache) = &mut front.site.cache else { return Way::Around(Forwarded::Bypass) };
    let fields = front.head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
    let found = cache.store.find(target, fields.clone());
    let is_fetched = cache.is_fetched(&cache.key(target, fields));
    let entry = match found {
        Found::Entry(id) => cache.store.get(id).map(|entry| (id, entry)),
        Found::OtherVariants | Found::Nothing => None,
    };
    let is_partial = front.head.fields.iter().any(|field| pelton_http::conditions::is_condition(field.known));
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

pub(crate) fn look_again(front: &mut Front, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) -> bool {
    let (target, _) = views::target_of(front, id, bytes);
    let request = views::directives(front, bytes);
    match way(front, &target, false, &request, bytes, true) {
        Way::Hit(entry) | Way::HitAndFetch(entry) => {
            hits::respond_from_cache(front, id, entry, bytes, true);
            true
        }
        Way::Fetch(why, Some(entry)) => {
            fetches::fetch(
                front,
                id,
                Wanted { target, why, entry: Some(entry), directives: request },
                bytes,
                changed,
            );
            false
        }
        _ => look_in_cache(front, id, bytes, changed),
    }
}
