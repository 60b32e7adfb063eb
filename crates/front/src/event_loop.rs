//! The front's one thread: waits for readiness, time and news, and drives each connection as far as it goes.
//!
//! Owns every descriptor of a client, all timers, and the front's end of the link. Never takes the GIL, never waits for anything but
//! the poller. Readiness is edge-triggered: what was not used is remembered in the connection (`readable`) or in `again`.
//!
//! One turn: sleep → events → wake the worker → answers → queue → unfinished work → deadlines → log. Time is read once per turn.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use penstock_http::{DateCache, Head, Limits};
use penstock_link::FrontHalf;

use crate::accept::descriptor_limit;
use crate::access_record::AccessLog;
use crate::close::CloseReason;
use crate::connection_table::{ConnectionId, ConnectionTable};
use crate::control::{Command, Shared};
use crate::dispatch::Dispatch;
use crate::exchange::State;
use crate::listener::Listener;
use crate::notices::Level;
use crate::own_answer::OwnAnswer;
use crate::receive::{SCRATCH, Turn};
use crate::settings::Settings;
use crate::timers::Timers;

const DOORBELL: Token = Token(usize::MAX);
/// Listener `i` has the token `FIRST_LISTENER - i`; connections' tokens are far below.
const FIRST_LISTENER: usize = usize::MAX - 1;
/// A sleeping worker is woken when the poller has nothing more to tell, or for this many requests. Woken for the first one, it would run
/// at once, perhaps in this thread's place, and be asleep again before the second.
const BELL_EVERY: usize = 32;
/// How often the queue is tried while the link's ready ring has no room.
const STALLED_MS: u64 = 5;
/// How long a connection that has just been made may take to send its request while the front drains.
const DRAIN_GRACE_MS: u64 = 1000;
/// Descriptors kept for everything that is not a connection: listeners, spool files, the application's own.
const RESERVED_DESCRIPTORS: u64 = 128;

/// See the module's head. The parts are open to the other files of this thread: `accept`, `receive`, `respond`, `own_answer`.
pub(crate) struct EventLoop {
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<Shared>,
    pub(crate) poll: Poll,
    pub(crate) listeners: Vec<Listener>,
    /// Listeners that may have more to accept.
    pub(crate) accepting: Vec<bool>,
    pub(crate) accept_pause_until: u64,
    pub(crate) accept_complained: bool,
    pub(crate) table: ConnectionTable,
    pub(crate) dispatch: Dispatch,
    pub(crate) timers: Timers,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) draining: bool,
    /// The last turn's requests have not been announced yet.
    looked_again: bool,
    /// Connections with work left over from this turn.
    pub(crate) again: Vec<ConnectionId>,
    /// The parser's result; reused.
    pub(crate) head: Head,
    /// What is received; looked at and forgotten.
    pub(crate) scratch: Vec<u8>,
    /// What is about to be sent.
    pub(crate) wire: Vec<u8>,
    pub(crate) date: DateCache,
    started: Instant,
    /// Milliseconds since the start, as of this turn.
    pub(crate) now_ms: u64,
    /// Wall clock, as of this turn; for dates, never for durations.
    pub(crate) unix_seconds: u64,
}

impl EventLoop {
    pub(crate) fn new(
        mut settings: Settings,
        listeners: Vec<OwnedFd>,
        half: FrontHalf,
        threads: usize,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let listeners = listeners.into_iter().map(Listener::new).collect::<io::Result<Vec<_>>>()?;
        for (i, listener) in listeners.iter().enumerate() {
            let token = Token(FIRST_LISTENER - i);
            poll.registry().register(&mut SourceFd(&listener.raw()), token, Interest::READABLE)?;
        }
        let raw = half.doorbell.as_fd().as_raw_fd();
        // Never read: an edge-triggered eventfd reports each write, and its counter cannot overflow in the life of a server.
        poll.registry().register(&mut SourceFd(&raw), DOORBELL, Interest::READABLE)?;
        if settings.max_connections == 0 {
            let room = descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS).max(16);
            settings.max_connections = usize::try_from(room).unwrap_or(usize::MAX);
        }
        let limits = Limits {
            head_bytes: settings.max_head_bytes,
            fields: settings.max_fields,
            body_bytes: settings.max_body_bytes,
            ..Limits::default()
        };
        let dispatch = Dispatch::new(half, threads, settings.queue_length);
        Ok(EventLoop {
            accepting: vec![true; listeners.len()],
            access_log: AccessLog::new(settings.access_log),
            settings,
            limits,
            shared,
            poll,
            listeners,
            accept_pause_until: 0,
            accept_complained: false,
            table: ConnectionTable::default(),
            dispatch,
            timers: Timers::default(),
            draining: false,
            looked_again: false,
            again: Vec::new(),
            head: Head::default(),
            scratch: vec![0; SCRATCH],
            wire: Vec::new(),
            date: DateCache::new(),
            started: Instant::now(),
            now_ms: 0,
            unix_seconds: 0,
        })
    }

    /// Serves until told to stop, or until the last connection has gone after a drain.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut news = Vec::new();
        let mut due = Vec::new();
        loop {
            if let Err(error) = self.sleep(&mut events)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.shared.notices.post(Level::Error, format!("the front cannot poll: {error}; it ends"));
                return;
            }
            self.read_clocks();

            for event in &events {
                self.on_event(event);
                if self.dispatch.link.unannounced() >= BELL_EVERY {
                    self.dispatch.link.ring_bell();
                }
            }
            self.accept_all();

            self.dispatch.link.take_dirty(&mut news);
            for slot in news.drain(..) {
                self.on_news(slot);
            }
            for id in std::mem::take(&mut self.again) {
                self.drive(id);
            }
            self.timers.due(self.now_ms, &mut due);
            for key in due.drain(..) {
                self.on_deadline(key);
            }
            self.serve_queue();

            self.show_levels();
            if let Some(log) = &mut self.access_log {
                log.flush(&self.shared.counters.access_lines_dropped);
            }
            match self.shared.command() {
                Command::Serve => {}
                Command::Drain => {
                    if !self.draining {
                        self.begin_drain();
                    }
                    if self.table.is_empty() {
                        return;
                    }
                }
                Command::Stop => {
                    for id in self.table.ids() {
                        self.close(id, CloseReason::Draining);
                    }
                    self.show_levels();
                    return;
                }
            }
        }
    }

    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let wanting = self.accepting.contains(&true) && self.table.len() < self.settings.max_connections;
        let mut wait = self.timers.next_in(self.now_ms);
        if wanting {
            let pause = self.accept_pause_until.saturating_sub(self.now_ms);
            wait = Some(wait.map_or(pause, |wait| wait.min(pause)));
        }
        if self.dispatch.is_stalled() {
            wait = Some(wait.map_or(STALLED_MS, |wait| wait.min(STALLED_MS)));
        }
        let busy = !self.again.is_empty() || wait == Some(0);
        if self.dispatch.link.unannounced() > 0 {
            // One more look for requests that can share the wake-up; not two in a row, or busy clients could put it off for ever.
            if !std::mem::replace(&mut self.looked_again, true) {
                self.poll.poll(events, Some(Duration::ZERO))?;
                if !events.is_empty() {
                    return Ok(());
                }
            }
            self.dispatch.link.ring_bell();
        }
        self.looked_again = false;
        // Told after the announcement, or a bell rung in between would be lost.
        if busy || !self.dispatch.link.prepare_sleep() {
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        let result = self.poll.poll(events, wait.map(Duration::from_millis));
        self.dispatch.link.awake();
        result
    }

    /// Gives a connection so much time from now on; what it is for follows from its state.
    #[inline]
    pub(crate) fn set_deadline(&mut self, id: ConnectionId, time: Duration) {
        self.timers.set(id.key, self.now_ms + time.as_millis() as u64);
    }

    fn read_clocks(&mut self) {
        self.now_ms = self.started.elapsed().as_millis() as u64;
        self.unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    }

    fn show_levels(&mut self) {
        self.shared.counters.connections_open.set(self.table.len() as u64);
        self.shared.counters.slots_in_use.set(self.dispatch.slots_in_use() as u64);
        self.shared.counters.requests_queued.set(self.dispatch.queued() as u64);
        let chunks = self.dispatch.bodies.capacity() - self.dispatch.bodies.free();
        self.shared.counters.body_chunks_in_use.set(chunks as u64);
    }

    #[inline]
    fn on_event(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == DOORBELL {
            return;
        }
        if let Some(listener) = FIRST_LISTENER.checked_sub(token.0)
            && let Some(accepting) = self.accepting.get_mut(listener)
        {
            *accepting = true;
            return;
        }
        let id = ConnectionId::from_token(token.0);
        let Some(connection) = self.table.get_mut(id) else { return };
        // While lingering both directions are closed once the client has finished, too. What it sent before is still to be read, or the
        // close becomes a reset after all.
        if event.is_error() || (event.is_write_closed() && !connection.lingering) {
            let reason = match connection.receiver.is_between_requests() {
                _ if connection.lingering => CloseReason::AfterAnswer,
                true => CloseReason::ByClient,
                false => CloseReason::ByClientEarly,
            };
            self.close(id, reason);
            return;
        }
        connection.peer_done |= event.is_read_closed();
        connection.readable |= event.is_readable();
        self.drive(id);
    }

    /// Takes a connection as far as it goes now.
    #[inline]
    pub(crate) fn drive(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.table.get_mut(id) else { return };
            let turn = if connection.lingering {
                self.linger(id)
            } else {
                match connection.exchange.state() {
                    State::Receiving => self.receive(id),
                    State::Queued | State::Running => Turn::Wait,
                    State::Responding | State::Finished => self.send_on(id),
                }
            };
            if turn != Turn::Again {
                return;
            }
        }
    }

    fn on_deadline(&mut self, key: usize) {
        let Some(id) = self.table.id_at(key) else { return };
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.lingering {
            self.close(id, CloseReason::AfterAnswer);
            return;
        }
        match connection.exchange.state() {
            State::Queued => {
                self.dispatch.leave_queue(id);
                self.shared.counters.requests_expired.up();
                self.answer(id, OwnAnswer::Expired);
                self.drive(id);
            }
            State::Responding => self.close(id, CloseReason::WriteTimeout),
            State::Receiving if connection.exchange.pending.is_some() => {
                self.answer(id, OwnAnswer::BodyLate);
                self.shared.counters.bodies_late.up();
                self.drive(id);
            }
            State::Receiving if connection.head_begun => {
                self.answer(id, OwnAnswer::HeadLate);
                self.shared.counters.heads_late.up();
                self.drive(id);
            }
            State::Receiving => self.close(id, CloseReason::Idle),
            // In a slot, and perhaps not started yet: then it has waited too long. What runs has no such limit.
            State::Running => {
                if let Some(slot) = connection.exchange.slot
                    && self.dispatch.take_back(slot)
                {
                    connection.exchange.slot = None;
                    self.shared.counters.requests_expired.up();
                    self.answer(id, OwnAnswer::Expired);
                    self.drive(id);
                }
            }
            // No deadline is set in this state.
            State::Finished => {}
        }
    }

    fn begin_drain(&mut self) {
        // Who is in the backlog has connected successfully: to close the listener on them would be a reset.
        self.accept_pause_until = 0;
        self.accepting.fill(true);
        while self.accepting.contains(&true) && self.table.len() < self.settings.max_connections {
            self.accept_all();
            if self.accept_pause_until > 0 {
                break;
            }
        }
        self.draining = true;
        for listener in self.listeners.drain(..) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&listener.raw()));
        }
        self.accepting.clear();
        for id in self.table.ids() {
            if !self.is_idle(id) {
                continue;
            }
            // A request may have arrived that no event has told of yet: look before closing.
            if let Some(connection) = self.table.get_mut(id) {
                connection.readable = true;
            }
            self.drive(id);
            if !self.is_idle(id) {
                continue;
            }
            match self.table.get_mut(id) {
                // The first request of a new connection is on its way.
                Some(connection) if connection.fresh => self.timers.set(id.key, self.now_ms + DRAIN_GRACE_MS),
                _ => self.close(id, CloseReason::Draining),
            }
        }
    }

    fn is_idle(&mut self, id: ConnectionId) -> bool {
        self.table.get_mut(id).is_some_and(|connection| {
            connection.exchange.state() == State::Receiving && connection.receiver.is_between_requests()
        })
    }

    /// Ends a connection, whatever it was doing.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.table.remove(id) else { return };
        self.timers.clear(id.key);
        reason.counter(&self.shared.counters).up();
        let exchange = &mut connection.exchange;
        if let Some(slot) = exchange.slot {
            self.dispatch.let_go(slot, true);
        }
        if exchange.state() == State::Queued {
            self.dispatch.leave_queue(id);
        }
        if matches!(exchange.state(), State::Queued | State::Running | State::Responding) {
            self.shared.counters.clients_gone.up();
        }
        if let Some(mut pending) = exchange.pending.take() {
            pending.body.discard(&mut self.dispatch.bodies);
        }
        if let (Some(record), Some(log)) = (exchange.record.take(), &mut self.access_log) {
            log.add(&record, exchange.passed, self.unix_seconds, &self.shared.counters.access_lines_dropped);
        }
    }
}
