//! The front's one thread: waits for readiness, time and news, and drives each connection as far as it goes.
//!
//! Owns every descriptor of a client, all timers, and the front's end of the link. Never takes the GIL, never waits for anything but
//! the poller. Readiness is edge-triggered: what was not used is remembered in the connection (`readable`) or in `again`.
//!
//! The other files of this folder are its hands, each for one thing that happens to a connection.
//!
//! One turn: sleep → commands → events → wake the workers → responses → unfinished work → deadlines → queue → log. Time is read once per turn.

pub(crate) mod commands;
pub(crate) mod deadlines;
pub(crate) mod drain;
pub(crate) mod drive;
pub(crate) mod events;
pub(crate) mod helper_results;
pub(crate) mod self_calls;
pub(crate) mod sleep;
pub(crate) mod trimming;
pub(crate) mod worker_news;
pub(crate) mod worker_reports;

use std::io;
use std::sync::Arc;

use mio::Events;

use crate::clients::{accept, gone_clients, slow_readers};
use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::control::{Command, Common, Shared};
use crate::front::Front;
use crate::handlers::caching::news;
use crate::handlers::{agent, files};
use crate::ids::Place;
use crate::notices::Level;
use crate::reactor::Readiness;
use crate::recording::{metering, request_records};
use crate::requests::{dispatching, edge_settings};
use crate::settings::Settings;
use crate::transport::listener::ListenerSettings;
use crate::websockets::socket_relays;

/// A sleeping worker is woken when the poller has nothing more to tell, or for this many requests. Woken for the first one, it would run
/// at once, perhaps in this thread's place, and be asleep again before the second.
const BELL_EVERY: usize = 32;

/// A front that serves as soon as it runs.
pub(crate) fn open(
    settings: Settings,
    listeners: Vec<ListenerSettings>,
    common: Common,
    shared: Arc<Shared>,
) -> io::Result<Front> {
    let mut front = Front::new(settings, listeners, common, shared)?;
    request_records::decide_recording(&mut front);
    edge_settings::decide_edge(&mut front);
    agent::begin_watching_load(&mut front);
    Ok(front)
}

/// Serves until it is stopped, or until the last connection has gone after a drain.
pub(crate) fn run(mut front: Front) {
    serve(&mut front);
    request_records::end_notes(&mut front);
}

pub(crate) fn serve(front: &mut Front) {
    let mut events = Events::with_capacity(1024);
    let mut news = Vec::new();
    let mut due = Vec::new();
    loop {
        if let Err(error) = sleep::sleep(front, &mut events)
            && error.kind() != io::ErrorKind::Interrupted
        {
            front.shared.notices.post(Level::Error, format!("the front cannot poll: {error}; it ends"));
            return;
        }
        if !turn(front, events.iter().map(Readiness::from), &mut news, &mut due) {
            return;
        }
    }
}

/// Everything that is to be done when the poller has returned; false when the front has ended. `news` and `due` are empty, and reused.
pub(crate) fn turn(
    front: &mut Front,
    events: impl Iterator<Item = Readiness>,
    news: &mut Vec<Place>,
    due: &mut Vec<usize>,
) -> bool {
    front.clock.begin_turn();
    metering::keep_history(front);
    commands::follow_orders(front);
    for event in events {
        events::on_event(front, event);
        if front.dispatch.unannounced() >= BELL_EVERY {
            front.dispatch.ring_bells();
        }
    }
    accept::accept_all(front);
    front.dispatch.take_news(news);
    for place in news.drain(..) {
        worker_news::on_news(front, place);
    }
    helper_results::follow_helpers(front);
    if !front.again.is_empty() {
        for id in std::mem::take(&mut front.again) {
            drive::drive(front, id);
        }
    }
    if front.relays.have_work() {
        socket_relays::drive_relays(front);
    }
    meet_deadlines(front, due);
    socket_relays::end_late_relays(front);
    files::tidy_files(front);
    deadlines::end_late_uploads(front);
    gone_clients::follow_departures(front);
    slow_readers::help_slow_readers(front);
    dispatching::serve_queue(front);
    self_calls::look_for_self_calls(front);
    worker_reports::report_workers(front);
    agent::watch_load(front);
    trimming::trim_memory(front);
    news::settle_cache(front);
    show_levels(front);
    request_records::flush_notes(front);
    follow_command(front)
}

/// Whether the front goes on.
#[inline]
pub(crate) fn follow_command(front: &mut Front) -> bool {
    match front.shared.command() {
        Command::Serve => true,
        Command::Drain => {
            if !front.draining {
                drain::begin_drain(front);
            }
            if front.relays.len() > 0 && drain::has_only_websockets(front) {
                front.relays.tell_end();
            }
            !front.connections.is_empty() || front.relays.len() > 0
        }
        Command::Stop => {
            for id in front.connections.ids() {
                closing::close(front, id, CloseReason::Draining);
            }
            show_levels(front);
            false
        }
    }
}

pub(crate) fn meet_deadlines(front: &mut Front, due: &mut Vec<usize>) {
    if front.exchange_timers.are_due(front.clock.now_ms) {
        front.exchange_timers.due(front.clock.now_ms, due);
        for key in due.drain(..) {
            deadlines::on_exchange_deadline(front, key);
        }
    }
    if front.timers.are_due(front.clock.now_ms) {
        front.timers.due(front.clock.now_ms, due);
        for key in due.drain(..) {
            deadlines::on_connection_deadline(front, key);
        }
    }
}

pub(crate) fn show_levels(front: &mut Front) {
    front.dispatch.bury();
    front.shared.counters.connections_open.set(front.connections.len() as u64);
    front.shared.counters.slots_in_use.set(front.dispatch.slots_in_use() as u64);
    front.shared.counters.requests_queued.set(front.dispatch.queued() as u64);
    front.shared.counters.path_requests_queued.set(front.dispatch.paths.waiting() as u64);
    let chunks = front.dispatch.bodies.capacity() - front.dispatch.bodies.free();
    front.shared.counters.response_bytes_held.set(front.backlog.held() as u64);
    if let Some(compression) = &front.site.compression {
        front.shared.counters.responses_compressing.set(compression.active() as u64);
    }
    front.shared.counters.files_open.set(front.site.open_files() as u64);
    front.shared.counters.spool_bytes_used.set(front.spool.used());
    front.shared.counters.body_chunks_in_use.set(chunks as u64);
}
