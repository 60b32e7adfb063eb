//! 100 (Continue): the client may send its body. Runs on the front's thread.

use std::io;

use pelton_http::ResponseContext;
use pelton_http::h1::encode::CONTINUE;

use crate::front::Front;
use crate::ids::ExchangeId;

/// The client waits for leave to send its body (RFC 9110 section 10.1.1).
pub(crate) fn send_continue(front: &mut Front, id: ExchangeId) {
    if let Some(exchange) = front.exchanges.get_mut(id)
        && let Some(connection) = front.connections.get_mut(exchange.connection)
    {
        if exchange.stream != 0 {
            let context = ResponseContext {
                version: exchange.version,
                is_head: false,
                keep_alive: true,
                date: front.clock.date.render(front.clock.unix_seconds),
                known_length: None,
                timing: None,
                transport_security: None,
            };
            let sent = connection.driver.send_head(exchange, 100, [], &context);
            debug_assert!(sent.is_ok());
        } else if exchange.output.is_empty() {
            // A failure shows at the next read.
            let pieces = [io::IoSlice::new(CONTINUE)];
            let _ = exchange.output.send_or_keep(&mut connection.transport, &pieces);
        } else {
            exchange.output.push(CONTINUE);
        }
    }
}
