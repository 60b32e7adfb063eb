//! New connections: accepted while there is room for them, and left in the kernel's backlog while there is not.

use std::io;

use mio::unix::SourceFd;
use socket2::Socket;

use crate::clients::{handshakes, making_room, registry, room};
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::event_loop::drive;
use crate::front::Front;
use crate::handlers::agent;
use crate::ids::ConnectionId;
use crate::memory;
use crate::notices::Level;
use crate::response::own::OwnResponse;
use crate::response::respond;
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Role, Trouble};
use crate::transport::peer::Peer;

/// Connections accepted from one listener before existing ones get their turn.
const ACCEPT_BATCH: usize = 64;

/// How long accepting pauses when descriptors or memory have run out.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Accepts what the listeners have, a batch of each.
#[inline]
pub(crate) fn accept_all(front: &mut Front) {
    // Nearly never, where connections are used again.
    if front.listeners.may_have_more(front.admission.may_accept) {
        accept_from_all(front);
    }
}

fn accept_from_all(front: &mut Front) {
    if front.clock.now_ms < front.admission.pause_until {
        return;
    }
    room::want_no_room(front);
    for index in 0.. {
        let Some(listener) = front.listeners.get(index) else { return };
        if !listener.may_have_more || !room::is_allowed(front, listener.kind.role) {
            continue;
        }
        for _ in 0..ACCEPT_BATCH {
            if !(room::has_room(front, index) || make_room_for(front, index)) {
                break;
            }
            if !memory::has_headroom() && !making_room::close_idle(front) {
                pause_accepting(front, &memory::refused());
                return;
            }
            let Some(listener) = front.listeners.get_mut(index) else { return };
            match listener.accept(front.encryption.as_deref()) {
                Ok((transport, _)) if listener.kind.role == Role::Agent => {
                    agent::tell_agent(front, transport)
                }
                Ok((transport, peer)) => {
                    let kind = listener.kind;
                    adopt(front, transport, peer, kind);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listener.may_have_more = false;
                    break;
                }
                Err(error) => match Trouble::of(&error) {
                    Trouble::OneConnection => {}
                    Trouble::NoListener => {
                        lose_listener(front, index, &error);
                        break;
                    }
                    Trouble::NoResources => {
                        if !making_room::close_idle(front) {
                            pause_accepting(front, &error);
                            return;
                        }
                    }
                },
            }
        }
    }
}

/// At the limit: closes an idle connection, if somebody waits at this listener.
fn make_room_for(front: &mut Front, index: usize) -> bool {
    let may_look = room::may_make_room(front);
    let Some(listener) = front.listeners.get_mut(index) else { return false };
    if listener.kind.role != Role::Application {
        return false;
    }
    if !may_look {
        room::want_room(front);
        return false;
    }
    if !listener.has_waiting() {
        // The next one to come is reported by an event.
        listener.may_have_more = false;
        return false;
    }
    making_room::close_idle(front)
}

/// Whoever else has the socket has shut it down. To go on asking it would keep the front busy for ever.
#[cold]
fn lose_listener(front: &mut Front, index: usize, error: &io::Error) {
    let Some(listener) = front.listeners.get_mut(index) else { return };
    let name = listener.name();
    let registry = front.poll.registry();
    listener.close(|raw| {
        let _ = registry.deregister(&mut SourceFd(&raw));
    });
    front.shared.counters.listeners_lost.up();
    front.shared.notices.post(
        Level::Error,
        format!(
            "the listening socket {name} does not accept connections any more ({error}): another process that \
             has it, too, has shut it down. What is connected is served on; a restart opens it again"
        ),
    );
}

fn pause_accepting(front: &mut Front, error: &io::Error) {
    front.shared.counters.accept_failures.up();
    front.admission.pause_until = front.clock.now_ms + ACCEPT_PAUSE_MS;
    if !front.admission.complained {
        front.admission.complained = true;
        let advice = match error.kind() {
            io::ErrorKind::OutOfMemory => "Give it more memory (ulimit -v, the limit of its container)",
            _ => "Raise the limit of open files (ulimit -n)",
        };
        front.shared.notices.post(
            Level::Error,
            format!(
                "cannot accept connections: {error}; {} are open. New ones wait in the kernel's backlog until \
                 some close. {advice}",
                front.connections.len()
            ),
        );
    }
}

/// Takes a client's connection in. None: the poller cannot take it.
pub(crate) fn adopt(
    front: &mut Front,
    transport: Transport,
    peer: Peer,
    listener: ListenerKind,
) -> Option<ConnectionId> {
    let (id, exchange) = registry::take_in(front, transport, peer, listener)?;
    front.shared.counters.connections_accepted.up();
    let is_shaking = front.connections.get(id).is_some_and(|connection| connection.transport.is_shaking());
    if is_shaking {
        if !handshakes::admit_handshake(front, id) {
            return Some(id);
        }
    } else {
        // A connection that never says anything has no more time than one that is slow with its head.
        front.set_connection_deadline(id, front.settings.head_time);
    }
    if !registry::count_client(front, id) {
        front.shared.counters.connections_refused.up();
        if is_shaking {
            closing::close(front, id, CloseReason::HandshakeRefused);
            return Some(id);
        }
        respond::respond_itself(front, exchange, OwnResponse::TooManyConnections);
        drive::drive(front, id);
    }
    Some(id)
}

/// Takes over what the front before this one has left. Before the first accept: these clients came earlier.
pub(crate) fn take_over_connections(front: &mut Front) {
    let Some(room) = front.settings.waiting_room.clone() else { return };
    while front.connections.public_len() < front.settings.max_connections
        && let Some((listener, descriptor)) = room.take()
    {
        let socket = Socket::from(descriptor);
        // One whose client has gone meanwhile has no name any more.
        if let Some(listener) = front.listeners.find(Role::Application, listener)
            && socket.set_nonblocking(true).is_ok()
            && let Ok(address) = socket.peer_addr()
            // Nobody puts one there that is encrypted.
            && let Ok(transport) = listener.transport(socket, None)
        {
            let kind = listener.kind;
            if let Some(id) = adopt(front, transport, Peer::new(&address), kind)
                && let Some(connection) = front.connections.get_mut(id)
            {
                connection.fresh = false;
                front.set_connection_deadline(id, front.settings.keep_alive_time);
            }
        }
    }
}
