//! How a connection comes to speak HTTP/2: by what was agreed on during the handshake, or by its first bytes. Runs on the front's thread.

use pelton_http::h2;

use crate::connection::close::CloseReason;
use crate::connection::{Driver, closing};
use crate::front::Front;
use crate::ids::ConnectionId;

/// A connection that speaks HTTP/2 from its first byte on; `input` is what of it has come.
fn http2_driver(front: &Front, input: Vec<u8>) -> Driver {
    let session = h2::Connection::new(front.settings.http2.clone(), &front.limits, front.clock.now_ms);
    front.shared.counters.http2_connections.up();
    Driver::Http2(Box::new(super::Http2::new(session, input)))
}

/// What the client of an encrypted connection has agreed on is known now.
pub(crate) fn follow_agreement(front: &mut Front, id: ConnectionId) {
    if !front.connections.get(id).is_some_and(|connection| connection.transport.has_agreed_on(b"h2")) {
        return;
    }
    let driver = http2_driver(front, Vec::new());
    change_driver(front, id, driver);
}

fn change_driver(front: &mut Front, id: ConnectionId, driver: Driver) {
    if let Some(connection) = front.connections.get_mut(id)
        && let Driver::Http1(http1) = std::mem::replace(&mut connection.driver, driver)
    {
        front.exchanges.remove(http1.exchange);
    }
}

/// The first bytes of a connection that may speak either version (RFC 9113 section 3.3): whether they are HTTP/2's; None where that cannot be
/// said yet.
pub(crate) fn look_for_preface(front: &mut Front, id: ConnectionId, input: &[u8]) -> Option<bool> {
    let seen = input.len().min(h2::PREFACE.len());
    let is_like = input.get(..seen) == h2::PREFACE.get(..seen);
    if is_like && seen < h2::PREFACE.len() {
        return None;
    }
    if !is_like && is_neither(input) {
        // Which of the two would be understood, nobody knows: the connection ends without a word (section 3.4).
        front.shared.counters.http2_faults.up();
        closing::close(front, id, CloseReason::ByClientEarly);
        return Some(true);
    }
    front.connections.get_mut(id)?.may_be_http2 = false;
    if is_like {
        let driver = http2_driver(front, input.to_vec());
        change_driver(front, id, driver);
    }
    Some(is_like)
}

/// Whether the first bytes of a connection have a whole line that is no request of HTTP/1 either, in form.
fn is_neither(input: &[u8]) -> bool {
    let line = input.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    line.ends_with(b"\n") && line.is_ascii() && line.len() > 2 && !line.windows(6).any(|six| six == b" HTTP/")
}
