//! The PROXY header of a trusted proxy, before the first request. Runs on the front's thread.

use pelton_http::proxy_protocol;
use pelton_http::proxy_protocol::Parsed;

use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::transport::peer::Peer;

/// Looks at the beginning of a trusted proxy's connection. Gives how much of `bytes` was its header; 0 if more is needed. None: it is none, and
/// the connection is closed, since whatever follows cannot be distinguished from what a client made up.
pub(crate) fn look_for_proxy_header(front: &mut Front, id: ConnectionId, bytes: &[u8]) -> Option<usize> {
    let connection = front.connections.get_mut(id)?;
    match proxy_protocol::parse(bytes) {
        Ok(Parsed::NeedMore) if bytes.len() < proxy_protocol::LONGEST_HEADER => Some(0),
        Ok(Parsed::Header(header)) => {
            connection.awaits_proxy_header = false;
            if let Some((ip, port)) = header.source {
                connection.peer = Peer::named(ip, port);
            }
            connection.peer.is_tls |= header.tls;
            Some(header.consumed)
        }
        Ok(Parsed::NeedMore) | Err(_) => {
            closing::close(front, id, CloseReason::NoProxyHeader);
            None
        }
    }
}
