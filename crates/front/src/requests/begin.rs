//! A head is complete: whose request it is, and where it goes. Runs on the front's thread.

use pelton_http::HttpError;

use crate::forwarding::client_of;
use crate::front::Front;
use crate::handlers::redirect;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::recording::request_records;
use crate::requests::{bodies, edge_rules, edge_settings};
use crate::response::respond;
use crate::transport::listener::Role;
use crate::transport::peer::Peer;

/// A head is complete and in `front.head`. Hands the request on at once when its body is there too, and gives how much of
/// `after` that was; otherwise begins to collect the body.
#[inline]
pub(crate) fn begin(
    front: &mut Front,
    id: ConnectionId,
    exchange_id: ExchangeId,
    bytes: &[u8],
    after: &[u8],
) -> Option<usize> {
    let connection = front.connections.get_mut(id)?;
    connection.fresh = false;
    connection.requests = connection.requests.saturating_add(1);
    let most = front.settings.requests_per_connection;
    let may_go_on = most == 0 || connection.requests < most;
    let (role, is_tls) = (connection.role, connection.peer.is_tls);
    let is_special = may_be_ours(front, role);
    let exchange = front.exchanges.get_mut(exchange_id)?;
    exchange.version = front.head.version;
    exchange.is_head = front.head.method.of(bytes) == b"HEAD";
    exchange.is_tls = is_tls;
    exchange.keep_alive = front.head.keep_alive && !front.draining && may_go_on;
    if is_special && redirect::respond_by_role(front, exchange_id, bytes) {
        return Some(0);
    }
    let Ok(client) = client_of_request(front, exchange_id, bytes) else { return Some(after.len()) };
    hand_on(front, exchange_id, bytes, &client, |front, all| {
        bodies::collect(front, id, exchange_id, all, after)
    })
    .unwrap_or(Some(0))
}

/// What a request of any version goes through before the application may have it. `next` gets its head, with the request's id behind it where
/// it got one. None: the front has responded itself.
#[inline]
pub(crate) fn hand_on<T>(
    front: &mut Front,
    id: ExchangeId,
    bytes: &[u8],
    client: &Peer,
    next: impl FnOnce(&mut Front, &[u8]) -> T,
) -> Option<T> {
    let mut identified = std::mem::take(&mut front.recording.identified);
    identified.clear();
    request_records::note_request(front, id, bytes, client, &mut identified);
    edge_settings::keep_asked(front, id, bytes);
    let is_met = (front.site.has_rules || !front.site.static_files.is_idle())
        && edge_rules::meet_edge(front, id, client, bytes, &mut identified);
    let done = (!is_met).then(|| {
        if front.site.cache.is_none() {
            edge_settings::add_compression(front, id, bytes);
        }
        next(front, if identified.is_empty() { bytes } else { &identified })
    });
    front.recording.identified = identified;
    done
}

/// Whether requests on a listener of this role may be the front's own affair.
#[inline]
pub(crate) fn may_be_ours(front: &Front, role: Role) -> bool {
    front.settings.health_path.is_some() || role != Role::Application || !front.challenges.is_empty()
}

/// Who has sent the request whose head is in `front.head`, a trusted proxy's word included. An error: it was refused.
#[inline]
pub(crate) fn client_of_request(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> Result<Peer, ()> {
    let connection = front.exchanges.get(id).and_then(|exchange| front.connections.get(exchange.connection));
    let peer = &connection.ok_or(())?.peer;
    let proxies = &front.settings.proxies;
    let said = if proxies.are_idle() { Ok(None) } else { proxies.resolve(peer, &front.head, bytes) };
    let refusal = match said {
        Ok(said) => {
            if !front.head.https_target || said.and_then(|said| said.https).unwrap_or(peer.is_tls) {
                return Ok(said.map_or(*peer, |said| client_of(&said, peer)));
            }
            HttpError::Misdirected
        }
        Err(error) => error,
    };
    respond::refuse(front, id, refusal);
    Err(())
}
