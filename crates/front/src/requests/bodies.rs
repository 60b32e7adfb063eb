//! Bodies that are collected before a worker gets the request: in memory, or in a file. Runs on the front's thread.

use std::io;

use pelton_http::{Head, Length};

use crate::clients::slow_clients;
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::exchange::Pending;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::memory;
use crate::notices::Level;
use crate::requests::{dispatching, streaming};
use crate::response::own::OwnResponse;
use crate::response::{interim, respond};
use crate::scheduling::ask::{INLINE_BODY, Load};

/// A piece of a body that is collected has come; false when there is no room for it, and the request has its response.
pub(crate) fn collect_piece(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> bool {
    let Some(exchange) = front.exchanges.get_mut(id) else { return false };
    exchange.moved += bytes.len() as u64;
    let Some(pending) = exchange.pending.as_mut() else { return true };
    let memory = front.settings.body_memory_bytes;
    match pending.body.push(&mut front.dispatch.bodies, bytes, memory, &front.spool) {
        Ok(()) => true,
        Err(error) => {
            cannot_spool(front, id, &error);
            false
        }
    }
}

/// The rest of `begin::begin`, when nothing but the application responds.
#[inline]
pub(crate) fn collect(
    front: &mut Front,
    id: ConnectionId,
    exchange_id: ExchangeId,
    bytes: &[u8],
    after: &[u8],
) -> Option<usize> {
    match front.head.length {
        Length::None | Length::Exact(0) => {
            // What lies behind the head already was sent before anybody agreed to another protocol: it is taken for a request.
            if front.head.asks_for_websocket && after.is_empty() && front.settings.offers_sockets {
                dispatching::submit_with_socket(front, exchange_id, bytes, false);
            } else {
                dispatching::submit(front, exchange_id, bytes, Load::Inline(&[]));
            }
            Some(0)
        }
        Length::Exact(length) if length <= INLINE_BODY as u64 && length <= after.len() as u64 => {
            // The parser has to see the body pass, or it would take it for the next request.
            let http1 = front.connections.get_mut(id)?.driver.http1()?;
            let step = http1.receiver.advance(after, &front.limits, &mut Head::default());
            let length = length as usize;
            debug_assert!(step.is_ok_and(|step| step.consumed == length));
            dispatching::submit(
                front,
                exchange_id,
                bytes,
                Load::Inline(after.get(..length).unwrap_or_default()),
            );
            Some(length)
        }
        _ => {
            if streaming::is_streamed(front, bytes) {
                streaming::begin_stream(front, exchange_id, bytes, !after.is_empty());
                return Some(0);
            }
            let wants_continue = front.head.expect_continue && after.is_empty();
            begin_body(front, exchange_id, bytes);
            if wants_continue {
                interim::send_continue(front, exchange_id);
            }
            None
        }
    }
}

/// The request whose head is in `front.head` is to be collected before it is handed on.
pub(crate) fn begin_body(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    let Ok(bytes) = memory::copy(bytes) else {
        closing::close_exchange(front, id, CloseReason::NoMemory);
        return;
    };
    let head = std::mem::take(&mut front.head);
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    exchange.pending = Some(Box::new(Pending { head, bytes, body: Default::default(), since_ms: 0 }));
    slow_clients::body_begins(front, id);
}

/// A body of a request that will be refused for want of disk must not look complete to anyone.
fn cannot_spool(front: &mut Front, id: ExchangeId, error: &io::Error) {
    let place = front.spool.directory();
    front.shared.notices.post(
        Level::Error,
        format!("a request body could not be written to a file in {place}: {error}; the client gets 503"),
    );
    respond::respond_itself(front, id, OwnResponse::NoRoom);
}
