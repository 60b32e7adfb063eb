//! What the front itself has to say to a request before the application, in this order: who may ask, maintenance, the right host, limits of rate,
//! files, the cache. Also its own pages for errors.
//!
//! Nothing here is reached where none of that is set. Runs on the front's thread.

use crate::front::Front;
use crate::handlers::caching::lookup;
use crate::handlers::files;
use crate::ids::ExchangeId;
use crate::requests::{edge_settings, limiting, seen_as};
use crate::response::own::Response;
use crate::response::respond;
use crate::transport::peer::Peer;

/// True: the request has its response, or waits for one. Where the application has to see another head than `bytes`, that is put into `changed`.
#[cold]
pub(crate) fn meet_edge(
    front: &mut Front,
    id: ExchangeId,
    client: &Peer,
    bytes: &[u8],
    changed: &mut Vec<u8>,
) -> bool {
    if let Some(response) = turn_away(front, id, client, bytes) {
        respond::respond(front, id, response);
        return true;
    }
    let hidden = &front.settings.edge.hidden_fields;
    if !hidden.is_empty() {
        front.head.fields.retain(|field| {
            let name = field.name.of(bytes);
            !hidden.iter().any(|one| name.eq_ignore_ascii_case(one))
        });
    }
    if limiting::limit_rate(front, id, client, bytes) {
        return true;
    }
    if !front.site.static_files.is_idle() && files::respond_with_file(front, id, bytes) {
        return true;
    }
    if front.site.cache.is_some() {
        // Also what comes from the cache is compressed on its way.
        edge_settings::add_compression(front, id, bytes);
        let head = if changed.is_empty() { bytes.to_vec() } else { changed.clone() };
        if lookup::look_in_cache(front, id, &head, changed) {
            return true;
        }
    }
    limiting::tell_rate(front, id, bytes, changed);
    false
}

/// Why a request is not for this server, this client or this time; None where it is.
fn turn_away(front: &Front, id: ExchangeId, client: &Peer, bytes: &[u8]) -> Option<Response> {
    let edge = &front.settings.edge;
    let address = client.address.map(|(ip, _)| ip);
    let received_whole = front.head.length.is_empty();
    let seen = seen_as::seen_as(front, id, bytes);
    if !edge.allows(seen.host, front.head.path.of(bytes), address) {
        front.shared.counters.requests_forbidden.up();
        return Some(Response::text(403, "This is not for your network.", received_whole));
    }
    if front.site.in_maintenance && !edge.maintenance_allow.trusts(address) {
        front.shared.counters.requests_in_maintenance.up();
        let text = "The site is being worked on. Try again later.";
        return Some(respond::with_retry_after(front, Response::text(503, text, received_whole)));
    }
    if edge.canonical_host.is_empty() || seen.host.is_empty() || is_same_host(seen.host, edge) {
        return None;
    }
    let scheme: &[u8] = if seen.is_https { b"https://" } else { b"http://" };
    let (path, query) = (front.head.path.of(bytes), front.head.query.of(bytes));
    let path: &[u8] = if path.starts_with(b"/") { path } else { b"/" };
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    let address = [scheme, edge.canonical_host.as_bytes(), seen.prefix, path, mark, query].concat();
    front.shared.counters.redirects.up();
    let text = format!("This is at {}", String::from_utf8_lossy(&address));
    let mut response = Response::text(308, &text, received_whole);
    response.fields.push((b"Location"[..].into(), address.into()));
    Some(response)
}

fn is_same_host(authority: &[u8], edge: &crate::edge::EdgeSettings) -> bool {
    let canonical = edge.canonical_host.as_bytes();
    // A port that is the scheme's own may be said or not.
    let bare =
        authority.strip_suffix(b":80").or_else(|| authority.strip_suffix(b":443")).unwrap_or(authority);
    authority.eq_ignore_ascii_case(canonical) || bare.eq_ignore_ascii_case(canonical)
}
