//! What a client may hold of the server that opens no window: files as large as one slow reader may have, and some threads. Runs on the front's
//! thread.

use crate::connection::http2::ends::http2_exchanges;
use crate::exchange::spool::Spool;
use crate::exchange::{Exchange, State};
use crate::front::Front;
use crate::ids::ExchangeId;

/// Whether this response, whose client does not keep up with it, is one too many of its connection that keeps a thread waiting.
pub(crate) fn stalls_too_many(front: &mut Front, id: ExchangeId) -> bool {
    let Some(exchange) = front.exchanges.get(id) else { return false };
    let has_files = front.settings.response_file_bytes > 0;
    if exchange.stream == 0 || !keeps_thread(exchange, has_files) {
        return false;
    }
    let (connection, stream) = (exchange.connection, exchange.stream);
    let is_stalled = |front: &mut Front, stream| {
        front.http2(connection).is_some_and(|http2| http2.session.is_stalled(stream))
    };
    if !is_stalled(front, stream) {
        return false;
    }
    let mut count = 0;
    for other in http2_exchanges(front, connection) {
        if let Some(exchange) = front.exchanges.get(other).filter(|one| keeps_thread(one, has_files)) {
            count += u32::from(is_stalled(front, exchange.stream));
        }
    }
    count > front.settings.http2.stalled
}

/// Where the file of a response for a slow reader is made. All streams of a connection together may have as much as one reader.
pub(crate) fn spool_of(front: &mut Front, id: ExchangeId) -> Option<Spool> {
    let exchange = front.exchanges.get(id)?;
    let (whole, limit) = (front.spool.clone(), front.settings.response_file_bytes);
    match exchange.stream {
        0 => Some(whole),
        _ => {
            let http2 = front.http2(exchange.connection)?;
            Some(http2.spool.get_or_insert_with(|| whole.part(limit)).clone())
        }
    }
}

/// Whether a worker's thread waits until the client takes more, also where a file has taken what it may.
fn keeps_thread(exchange: &Exchange, has_files: bool) -> bool {
    exchange.state() == State::Responding
        && exchange.slot.is_some()
        && exchange.output.held() > 0
        && (exchange.output.is_spilling() || !has_files)
        && !exchange.output.can_spill()
}
