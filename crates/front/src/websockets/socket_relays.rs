//! WebSockets over TLS: a worker has one end of a pair of sockets, and here bytes go to and fro between the other end and the session.
//!
//! Runs on the front's thread.

use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mio::unix::SourceFd;
use mio::{Interest, Token};

use crate::connection::close::CloseReason;
use crate::front::Front;
use crate::reactor::Readiness;
use crate::transport::Transport;
use crate::websockets::relays::{Ending, RELAY, Relay, STREAM};
use crate::websockets::stream_relays;
use crate::websockets::tunnel::PIECE;

/// Pieces moved on one connection before the others get their turn.
const PASSES: usize = 16;

/// A worker has taken the other end of `worker`.
pub(crate) fn begin_relay(front: &mut Front, transport: Transport, worker: UnixStream) {
    let relay = Relay {
        transport,
        worker,
        worker_readable: true,
        to_worker: Vec::new(),
        client_ended: false,
        worker_ended: false,
        worker_gone: false,
        due_ms: 0,
    };
    let worker_raw = relay.worker.as_raw_fd();
    let Some(client_raw) = relay.transport.raw() else { return };
    let key = front.relays.open.insert(relay);
    let registry = front.poll.registry();
    let both = Interest::READABLE | Interest::WRITABLE;
    let token = |side: usize| Token(RELAY | key << 1 | side);
    // The client's socket was registered as a connection's.
    let registered = registry
        .reregister(&mut SourceFd(&client_raw), token(0), both)
        .and_then(|()| registry.register(&mut SourceFd(&worker_raw), token(1), both));
    if registered.is_err() {
        front.relays.open.remove(key);
        return;
    }
    let announced_end = front.relays.announced_end;
    if let Some(relay) = front.relays.open.get_mut(key) {
        relay.transport.look_again();
        relay.transport.stay_awake();
        if announced_end {
            let _ = relay.worker.shutdown(Shutdown::Write);
        }
    }
    front.relays.again.push(key);
}

/// Whether an event is a relay's; then it has been followed.
pub(crate) fn on_relay_event(front: &mut Front, event: &Readiness) -> bool {
    let token = event.token;
    // The highest tokens are the listeners' and the doorbell's.
    if token & RELAY == 0 || token & (RELAY << 1) != 0 {
        return false;
    }
    let key = (token & !(RELAY | STREAM)) >> 1;
    let has_gone = event.write_closed || event.error;
    // Never earlier than before, so the queue is in order.
    let due_ms = front.clock.now_ms + front.settings.write_idle_time.as_millis() as u64;
    if token & STREAM != 0 {
        if let Some(relay) = front.relays.streams.get_mut(key) {
            if relay.tunnel.note_event(has_gone) {
                let ending = Ending::Stream(relay.connection, relay.stream);
                front.relays.ending.push_back((due_ms, ending));
            }
            stream_relays::drive_stream_relay(front, key);
        }
        return true;
    }
    // An event of one that has ended in this turn may meet its successor, which then looks once for nothing.
    if let Some(relay) = front.relays.open.get_mut(key) {
        if token & 1 == 0 {
            relay.transport.note_event(event.readable, event.read_closed);
        } else {
            relay.worker_readable = true;
            if has_gone && relay.due_ms == 0 {
                relay.due_ms = due_ms;
                front.relays.ending.push_back((due_ms, Ending::Socket(key)));
            }
            relay.worker_gone |= has_gone;
        }
        drive_relay(front, key);
    }
    true
}

/// Goes on with those that have used up their turn.
pub(crate) fn drive_relays(front: &mut Front) {
    for key in std::mem::take(&mut front.relays.again) {
        drive_relay(front, key);
    }
}

/// Ends those whose workers have gone and whose clients do not take what was said last.
pub(crate) fn end_late_relays(front: &mut Front) {
    while let Some(ending) = front.relays.late(front.clock.now_ms) {
        let is_late = match ending {
            Ending::Socket(key) => front.relays.end_socket(key, front.clock.now_ms),
            Ending::Stream(connection, stream) => {
                stream_relays::end_late_stream_relay(front, connection, stream)
            }
        };
        if is_late {
            CloseReason::WriteTimeout.counter(&front.shared.counters).up();
        }
    }
}

fn drive_relay(front: &mut Front, key: usize) {
    let Some(relay) = front.relays.open.get_mut(key) else { return };
    let buffer = front.scratch.get_mut(..PIECE).unwrap_or_default();
    for _ in 0..PASSES {
        match relay.pass(buffer) {
            Ok(true) => {}
            Ok(false) if relay.is_over() => break,
            Ok(false) => return,
            // Either side has gone; the other one sees the end.
            Err(_) => {
                front.relays.open.remove(key);
                return;
            }
        }
    }
    if relay.is_over() {
        front.relays.open.remove(key);
    } else {
        front.relays.again.push(key);
    }
}
