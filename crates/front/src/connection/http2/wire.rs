//! Frames that are made go to the transport. Runs on the front's thread.

use std::io;

use crate::connection::Driver;
use crate::connection::http2::WIRE;
use crate::front::Front;
use crate::ids::ConnectionId;

/// How a write went.
pub(crate) enum Wire {
    Empty,
    Blocked,
}

/// Sends the frames that are made.
pub(crate) fn send_wire(front: &mut Front, id: ConnectionId, sent: &mut usize) -> io::Result<Wire> {
    let Some(connection) = front.connections.get_mut(id) else { return Ok(Wire::Blocked) };
    let Driver::Http2(http2) = &mut connection.driver else { return Ok(Wire::Blocked) };
    loop {
        let out = http2.session.output();
        let rest = out.get(http2.sent..).unwrap_or_default();
        if rest.is_empty() {
            // Memory is kept for as much as a busy connection needs; an idle one needs none.
            if (http2.streams.is_empty() && http2.tunnels.is_empty()) || out.capacity() > 2 * WIRE {
                *out = Vec::new();
            } else {
                out.clear();
            }
            http2.sent = 0;
            return Ok(if connection.transport.has_unsent() { Wire::Blocked } else { Wire::Empty });
        }
        match connection.transport.send(rest) {
            Ok(count) => {
                http2.sent += count;
                http2.sent_in_all += count as u64;
                *sent += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Wire::Blocked),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
