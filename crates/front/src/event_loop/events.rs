//! What the poller tells: clients, workers, other threads. Runs on the front's thread.

use crate::clients::{gone_clients, handshakes};
use crate::connection::close::CloseReason;
use crate::connection::{Driver, closing};
use crate::event_loop::drive;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::reactor::{DOORBELL, FIRST_LISTENER, Readiness};
use crate::websockets::socket_relays;

#[inline]
pub(crate) fn on_event(front: &mut Front, event: Readiness) {
    if event.token == DOORBELL.0 {
        return;
    }
    if let Some(listener) = FIRST_LISTENER.checked_sub(event.token)
        && let Some(listener) = front.listeners.get_mut(listener)
    {
        listener.may_have_more = true;
        return;
    }
    if front.relays.len() > 0 && socket_relays::on_relay_event(front, &event) {
        return;
    }
    let id = ConnectionId::from_token(event.token);
    let Some(connection) = front.connections.get_mut(id) else { return };
    // While lingering both directions are closed once the client has finished, too. What it sent before is still to be read, or the
    // close becomes a reset after all.
    if event.error || (event.write_closed && !connection.lingering) {
        let reason = match connection.is_between_requests(&front.exchanges) {
            _ if connection.lingering => CloseReason::AfterResponse,
            true => CloseReason::ByClient,
            false => CloseReason::ByClientEarly,
        };
        closing::close(front, id, reason);
        return;
    }
    connection.transport.note_event(event.readable, event.read_closed);
    if connection.transport.is_shaking() {
        if !handshakes::shake_hands(front, id) {
            return;
        }
    } else if connection.transport.proceed().is_err() {
        closing::close(front, id, CloseReason::TransportError);
        return;
    }
    drive::drive(front, id);
    if event.read_closed
        && let Some(connection) = front.connections.get_mut(id)
    {
        match &connection.driver {
            Driver::Http1(http1) => {
                let exchange = http1.exchange;
                gone_clients::client_left(front, exchange);
            }
            Driver::Http2(http2) => {
                for exchange in http2.exchanges() {
                    gone_clients::client_left(front, exchange);
                }
            }
        }
    }
}
