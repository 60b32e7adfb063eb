//! Complete requests go to a worker or into the queue, and from the queue to a worker.
//!
//! Which worker that is `scheduling` decides. Runs on the front's thread.

use std::time::Duration;

use pelton_http::HttpError;

use crate::clients::gone_clients;
use crate::exchange::{Pending, State};
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::notices::Level;
use crate::requests::seen_as;
use crate::response::own::OwnResponse;
use crate::response::respond;
use crate::scheduling::ask::{Ask, Load};
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::stuck;
use crate::websockets::socket_offers;

/// Puts all that a worker has not started back into the queue.
pub(crate) fn move_back(front: &mut Front, seat: u16) {
    let moved = stuck::take_back_all(&mut front.dispatch, seat);
    queue_again(front, moved);
}

/// A request comes that goes before others: what no thread has begun waits behind it in the queue.
#[cold]
fn make_way(front: &mut Front) {
    let workers = front.dispatch.workers();
    let with_untaken = workers.filter(|(_, worker)| !worker.is_dead && worker.end.waiting() > 0);
    for seat in with_untaken.map(|(seat, _)| seat).collect::<Vec<_>>() {
        move_back(front, seat);
    }
}

fn queue_again(front: &mut Front, moved: Vec<(ExchangeId, u64)>) {
    for (id, since_ms) in moved {
        front.shared.counters.requests_moved.up();
        if let Some(exchange) = front.exchanges.get_mut(id) {
            exchange.slot = None;
            exchange.become_state(State::Queued);
            front.exchange_timers.set(id.key, since_ms + front.settings.queue_time.as_millis() as u64);
        }
    }
}

/// Moves waiting requests to workers that have room, after those have been taken back that wait behind a long one or for
/// a silent worker.
pub(crate) fn serve_queue(front: &mut Front) {
    if stuck::is_to_look(&front.dispatch) {
        for seat in stuck::stuck_seats(&mut front.dispatch, front.clock.now_ms) {
            let moved = stuck::take_back_stuck(&mut front.dispatch, seat);
            queue_again(front, moved);
        }
    }
    while let Some((id, place)) = front.dispatch.place_next(front.clock.now_ms) {
        placed(front, id, place);
    }
}

/// Hands on a request whose head is in `front.head`.
#[inline]
pub(crate) fn submit(front: &mut Front, id: ExchangeId, bytes: &[u8], load: Load<'_>) {
    if front.dispatch.paths.has_first() {
        let host = seen_as::seen_as(front, id, bytes).host;
        if front.dispatch.class_of(&front.head, host, bytes).is_first {
            make_way(front);
        }
    }
    let Some(exchange) = front.exchanges.get(id) else { return };
    let Some(connection) = front.connections.get(exchange.connection) else { return };
    let ask = Ask {
        head: &front.head,
        bytes,
        peer: &connection.peer,
        listener: connection.listener,
        proxies: &front.settings.proxies,
        listeners: front.admission.application_listeners,
        variables: connection.transport.variables(),
    };
    let dispatched = front.dispatch.submit(id, &ask, load, front.clock.now_ms);
    handed_on(front, id, dispatched);
}

/// The collected request is complete.
pub(crate) fn dispatch_pending(front: &mut Front, id: ExchangeId) {
    if front.dispatch.paths.has_first()
        && let Some(exchange) = front.exchanges.get(id)
        && let Some(connection) = front.connections.get(exchange.connection)
        && let Some(Pending { head, bytes, .. }) = exchange.pending.as_deref()
        && let host = front.settings.proxies.host(&connection.peer, head, bytes)
        && front.dispatch.class_of(head, host, bytes).is_first
    {
        make_way(front);
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let Some(connection) = front.connections.get(exchange.connection) else { return };
    let Some(pending) = exchange.pending.as_mut() else { return };
    let Pending { head, bytes, body, .. } = &mut **pending;
    let ask = Ask {
        head,
        bytes,
        peer: &connection.peer,
        listener: connection.listener,
        proxies: &front.settings.proxies,
        listeners: front.admission.application_listeners,
        variables: connection.transport.variables(),
    };
    if body.is_spooled() {
        front.shared.counters.bodies_spooled.up();
    }
    if let Some(record) = &mut exchange.record {
        // The time that it took to come is the client's.
        record.is_complete(front.clock.turn_us, front.clock.coarse_ms());
    }
    if exchange.metered.began_us > 0 {
        exchange.metered.complete_coarse_ms = front.clock.coarse_ms();
    }
    let dispatched = front.dispatch.submit(id, &ask, Load::Collected(body), front.clock.now_ms);
    handed_on(front, id, dispatched);
}

#[inline]
fn handed_on(front: &mut Front, id: ExchangeId, dispatched: Dispatched) {
    match dispatched {
        Dispatched::Placed(place) => placed(front, id, place),
        Dispatched::Queued => queued(front, id, front.settings.queue_time),
        Dispatched::Held(time) => queued(front, id, time),
        Dispatched::PathFull => {
            front.shared.counters.path_requests_shed.up();
            respond::respond_itself(front, id, OwnResponse::Shed);
        }
        Dispatched::Full => {
            front.shared.counters.requests_shed.up();
            respond::respond_itself(front, id, OwnResponse::Shed);
        }
        Dispatched::TooLarge => {
            respond::respond_itself(front, id, OwnResponse::Refused(HttpError::HeadTooLarge))
        }
    }
}

fn queued(front: &mut Front, id: ExchangeId, time: Duration) {
    if let Some(exchange) = front.exchanges.get_mut(id) {
        exchange.pending = None;
        // One that has waited for somebody else's response is that already.
        if exchange.state() != State::Queued {
            exchange.become_state(State::Queued);
        }
        front.set_deadline(id, time);
    }
}

/// The request is in a slot. There it waits for a thread, and then it runs; `deadlines` tells which of both was too long.
#[inline]
pub(crate) fn placed(front: &mut Front, id: ExchangeId, place: Place) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    exchange.pending = None;
    exchange.become_state(State::Running);
    exchange.slot = Some(place);
    if let Some(record) = &mut exchange.record {
        record.worker = front.dispatch.worker(place.seat).map(|worker| (worker.number, worker.pid));
    }
    let (connection_id, is_coming) = (exchange.connection, exchange.upload.is_some());
    let has_left =
        front.connections.get(connection_id).is_some_and(|connection| connection.transport.peer_done());
    front.set_deadline(id, front.watch.first_look);
    front.shared.counters.requests_dispatched.up();
    if has_left {
        gone_clients::client_left(front, id);
    }
    if is_coming {
        // What there is of its body may have been reported before.
        front.again.push(connection_id);
    }
}

/// Hands on a request whose head is in `front.head`, with its client's socket.
///
/// `client_ended`: of a stream, that nothing will come of it.
pub(crate) fn submit_with_socket(front: &mut Front, id: ExchangeId, bytes: &[u8], client_ended: bool) {
    match socket_offers::share_socket(front, id, client_ended) {
        Ok(socket) => {
            front.shared.counters.sockets_offered.up();
            submit(front, id, bytes, Load::Socket(socket));
        }
        Err(error) => {
            let message =
                format!("the socket of a WebSocket cannot be passed on: {error}; its client gets 503");
            front.shared.notices.post(Level::Error, message);
            respond::respond_itself(front, id, OwnResponse::NoDescriptor);
        }
    }
}
