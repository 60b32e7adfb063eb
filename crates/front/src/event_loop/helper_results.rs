//! What helpers have done is taken up: a file is in memory, a piece has passed through filters, a handshake is a step further. Runs on the
//! front's thread.

use std::io;

use pelton_http::Coding;
use pelton_http::h1::encode::LAST_CHUNK;

use crate::clients::handshakes;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::send;
use crate::event_loop::drive;
use crate::exchange::Work;
use crate::front::{Front, Helped};
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::response::filters::Filters;
use crate::response::pass::frame_bytes;
use crate::transport::tls::Step;

/// Goes on where helpers have done something.
#[inline]
pub(crate) fn follow_helpers(front: &mut Front) {
    for helped in front.helpers.take() {
        match helped {
            Helped::Warm(id) => {
                if let Some(exchange) = front.exchanges.get_mut(id) {
                    exchange.output.end_warming();
                    let (connection, is_http2) = (exchange.connection, exchange.stream != 0);
                    if is_http2 {
                        send::go_on_with(front, id);
                    }
                    drive::drive(front, connection);
                }
            }
            Helped::Filtered(id, filters, out) => filtered(front, id, filters, out),
            Helped::Shaken(id, step) => go_on_shaking(front, id, step),
        }
    }
}

/// A helper has taken a step of a handshake; what came meanwhile is looked at, too.
fn go_on_shaking(front: &mut Front, id: ConnectionId, step: Box<Step>) {
    let Some(connection) = front.connections.get_mut(id) else { return };
    if let Some(tls) = connection.transport.tls_mut() {
        tls.put_back(step);
        if handshakes::shake_hands(front, id) {
            drive::drive(front, id);
        }
    }
}

/// A helper has done it. Without filters: there is nothing left for them.
fn filtered(front: &mut Front, id: ExchangeId, filters: Option<Box<Filters>>, out: io::Result<Vec<u8>>) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    exchange.work = Work::None;
    exchange.filters = filters;
    let (connection, is_http2) = (exchange.connection, exchange.stream != 0);
    let is_whole = exchange.filters.is_none();
    let is_sent = out.is_ok_and(|out| {
        front.wire.clear();
        let is_framed = frame_bytes(exchange, &mut front.wire, &out).is_ok();
        if is_whole && exchange.coding == Some(Coding::Chunked) {
            // It leaves with the last chunk; to whoever comes after, the length is one that was known.
            front.wire.extend_from_slice(LAST_CHUNK);
            exchange.coding = Some(Coding::Length(exchange.passed));
        }
        exchange.output.push(&front.wire);
        is_framed
    });
    if is_sent {
        if is_http2 {
            send::go_on_with(front, id);
        }
        drive::drive(front, connection);
    } else {
        closing::close_exchange(front, id, CloseReason::FileChanged);
    }
}
