//! The front's one thread: waits for readiness, time and news, and drives each connection as far as it goes.
//!
//! Owns every descriptor of a client, all timers, and the front's end of the link. Never takes the GIL, never waits for anything but
//! the poller. Readiness is edge-triggered: what was not used is remembered in the connection (`readable`) or in `again`.
//!
//! The other files of this folder are its hands, each for one thing that happens to a connection.
//!
//! One turn: sleep → commands → events → wake the workers → responses → unfinished work → deadlines → queue → log. Time is read once per turn.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use pelton_http::{Head, Limits};
use pelton_link::{BodyPool, Kept, Why, keep_poller};

use crate::connection::close::CloseReason;
use crate::connection::http1::Http1;
use crate::connection::{Connection, ConnectionId, Connections, Driver};
use crate::control::{Command, Common, Shared};
use crate::event_loop::accept::descriptor_limit;
use crate::event_loop::admission::Admission;
use crate::event_loop::clock::Clock;
use crate::event_loop::files::Helped;
use crate::event_loop::gone_clients::Departure;
use crate::event_loop::handshakes::Handshakes;
use crate::event_loop::receive::{SCRATCH, Turn};
use crate::event_loop::recording::Recording;
use crate::event_loop::redirect::Challenges;
use crate::event_loop::relays::Relays;
use crate::event_loop::site::Site;
use crate::event_loop::upload::Uploads;
use crate::event_loop::watch::Watch;
use crate::exchange::backlog::Backlog;
use crate::exchange::spool::Spool;
use crate::exchange::{Exchange, ExchangeId, Exchanges, State};
use crate::helpers::Helpers;
use crate::notices::Level;
use crate::reactor::Readiness;
use crate::reactor::timers::Timers;
use crate::saturation::Saturation;
use crate::scheduling::affinity::Affinity;
use crate::scheduling::dispatch::{Dispatch, Place};
use crate::scheduling::path_limits::PathLimits;
use crate::scheduling::self_call::SelfCalls;
use crate::settings::Settings;
use crate::transport::Transport;
use crate::transport::listener::{Listener, ListenerSettings, Listeners, Role};
use crate::transport::tls::Encryption;

pub(crate) mod absences;
pub(crate) mod accept;
pub(crate) mod admin;
pub(crate) mod admission;
pub(crate) mod agent;
pub(crate) mod caching;
pub(crate) mod clock;
pub(crate) mod commands;
pub(crate) mod deadlines;
pub(crate) mod drain;
pub(crate) mod files;
pub(crate) mod gone_clients;
pub(crate) mod handshakes;
pub(crate) mod health;
pub(crate) mod kept_connections;
pub(crate) mod limiting;
pub(crate) mod making_room;
pub(crate) mod meeting;
pub(crate) mod metering;
pub(crate) mod named_files;
pub(crate) mod receive;
pub(crate) mod recording;
pub(crate) mod redirect;
pub(crate) mod relays;
pub(crate) mod request_records;
pub(crate) mod self_calls;
pub(crate) mod site;
pub(crate) mod sleep;
pub(crate) mod slow_clients;
pub(crate) mod socket_offers;
pub(crate) mod streaming;
pub(crate) mod trimming;
pub(crate) mod upload;
pub(crate) mod watch;

const DOORBELL: Token = Token(usize::MAX);
/// Listener `i` has the token `FIRST_LISTENER - i`; connections' tokens are far below.
const FIRST_LISTENER: usize = usize::MAX - 1;
/// A sleeping worker is woken when the poller has nothing more to tell, or for this many requests. Woken for the first one, it would run
/// at once, perhaps in this thread's place, and be asleep again before the second.
const BELL_EVERY: usize = 32;
/// Descriptors kept for everything that is not a connection: listeners, spool files, the application's own. Half of
/// all where there are few.
const RESERVED_DESCRIPTORS: u64 = 128;
/// However few descriptors there are, so many connections are tried.
const LEAST_CONNECTIONS: u64 = 16;

/// See the module's head. The parts are open to the other files of this thread: `accept`, `receive`, `respond`.
pub(crate) struct EventLoop {
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<Shared>,
    /// A forked child of this process does not get the sockets of `poll`. Before it, so that it is given up first.
    _kept: Kept,
    pub(crate) poll: Poll,
    pub(crate) listeners: Listeners,
    /// Whether readiness checks may say so.
    pub(crate) is_ready: bool,
    /// How much is in use, and when it is to be looked again; None: when somebody asks.
    pub(crate) saturation: Saturation,
    /// What connections are encrypted with, where they are.
    pub(crate) encryption: Option<Box<Encryption>>,
    pub(crate) handshakes: Handshakes,
    pub(crate) relays: Relays,
    /// Where clients are sent on to; None: the port that they have used.
    pub(crate) https_port: Option<u16>,
    /// What ACME servers look for.
    pub(crate) challenges: Challenges,
    pub(crate) connections: Connections,
    /// All requests that are under way or expected.
    pub(crate) exchanges: Exchanges,
    pub(crate) dispatch: Dispatch,
    /// Deadlines of connections: heads, pauses between requests, ends.
    pub(crate) timers: Timers,
    /// Deadlines of exchanges: bodies, the queue, the application, slow readers.
    pub(crate) exchange_timers: Timers,
    pub(crate) spool: Spool,
    pub(crate) spool_complained: bool,
    pub(crate) backlog: Backlog,
    /// Exchanges whose clients do not keep up with their responses, and when to look at them again.
    pub(crate) behind: VecDeque<(ExchangeId, u64)>,
    /// Bodies that are passed on while they come.
    pub(crate) uploads: Uploads,
    /// Clients who have gone, and what is to be done about their requests.
    pub(crate) departures: Vec<Departure>,
    /// Requests that the application makes to its own server.
    pub(crate) self_calls: SelfCalls,
    /// Threads for what would hold up this one.
    pub(crate) helpers: Helpers<Helped>,
    pub(crate) clock: Clock,
    pub(crate) recording: Recording,
    pub(crate) admission: Admission,
    pub(crate) site: Site,
    pub(crate) watch: Watch,
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
    /// The head of a worker's response, out of its reach; reused.
    pub(crate) head_copy: Vec<u8>,
}

/// Has the poller tell of new clients and of news from workers and other threads.
fn register_all(poll: &Poll, listeners: &Listeners, common: &Common) -> io::Result<()> {
    for (i, raw) in listeners.iter().filter_map(Listener::raw).enumerate() {
        poll.registry().register(&mut SourceFd(&raw), Token(FIRST_LISTENER - i), Interest::READABLE)?;
    }
    let raw = common.doorbell.as_fd().as_raw_fd();
    // Never read: an edge-triggered eventfd reports each write, and its counter cannot overflow in the life of a server.
    poll.registry().register(&mut SourceFd(&raw), DOORBELL, Interest::READABLE)
}

/// How many connections fit beside so many open files and everything else.
fn room_for_connections(most_files: usize) -> usize {
    let limit = descriptor_limit();
    let reserved = RESERVED_DESCRIPTORS.min(limit / 2) + most_files as u64;
    let room = limit.saturating_sub(reserved).max(LEAST_CONNECTIONS);
    usize::try_from(room).unwrap_or(usize::MAX)
}

fn limits_of(settings: &Settings) -> Limits {
    Limits {
        head_bytes: settings.max_head_bytes,
        fields: settings.max_fields,
        line_bytes: settings.max_line_bytes,
        underscores: settings.underscore_fields,
        body_bytes: settings.max_body_bytes,
        ..Limits::default()
    }
}

fn dispatch_of(settings: &Settings, bodies: BodyPool) -> Dispatch {
    let affinity = Affinity::new(settings.debugger_affinity, settings.session_affinity);
    let paths = PathLimits::new(&settings.path_limits, &settings.priority_paths);
    Dispatch::new(bodies, settings.queue_length, affinity, paths)
}

impl EventLoop {
    pub(crate) fn new(
        mut settings: Settings,
        listeners: Vec<ListenerSettings>,
        common: Common,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let _kept = keep_poller(poll.as_raw_fd());
        let listeners = Listeners::new(listeners)?;
        register_all(&poll, &listeners, &common)?;
        let site = Site::new(&mut settings)?;
        if settings.max_connections == 0 {
            settings.max_connections = room_for_connections(site.most_open_files());
        }
        let recording = Recording::new(&settings, listeners.count(Role::Admin) > 0)?;
        let mut made = EventLoop {
            https_port: listeners.https_port(),
            admission: Admission::new(listeners.count(Role::Application)),
            limits: limits_of(&settings),
            spool: Spool::new(settings.spool_directory.clone(), settings.spool_bytes),
            dispatch: dispatch_of(&settings, common.bodies),
            watch: Watch::new(&settings),
            helpers: Helpers::new(common.doorbell),
            is_ready: true,
            saturation: Saturation::new(settings.processors),
            settings,
            shared,
            _kept,
            poll,
            listeners,
            encryption: None,
            handshakes: Handshakes::default(),
            relays: Relays::default(),
            challenges: Challenges::new(),
            connections: Connections::default(),
            exchanges: Exchanges::default(),
            timers: Timers::default(),
            exchange_timers: Timers::default(),
            spool_complained: false,
            backlog: Backlog::default(),
            behind: VecDeque::new(),
            uploads: Uploads::default(),
            departures: Vec::new(),
            self_calls: SelfCalls::default(),
            clock: Clock::new(),
            recording,
            site,
            draining: false,
            looked_again: false,
            again: Vec::new(),
            head: Head::default(),
            scratch: vec![0; SCRATCH],
            wire: Vec::new(),
            head_copy: Vec::new(),
        };
        made.decide_recording();
        made.decide_edge();
        made.begin_watching_load();
        Ok(made)
    }

    /// Serves until it is stopped, or until the last connection has gone after a drain.
    pub(crate) fn run(mut self) {
        self.serve();
        self.end_notes();
    }

    fn serve(&mut self) {
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
            if !self.turn(events.iter().map(Readiness::from), &mut news, &mut due) {
                return;
            }
        }
    }

    /// Everything that is to be done when the poller has returned; false when the front has ended. `news` and `due` are empty, and reused.
    pub(crate) fn turn(
        &mut self,
        events: impl Iterator<Item = Readiness>,
        news: &mut Vec<Place>,
        due: &mut Vec<usize>,
    ) -> bool {
        self.clock.begin_turn();
        self.keep_history();
        self.follow_orders();
        for event in events {
            self.on_event(event);
            if self.dispatch.unannounced() >= BELL_EVERY {
                self.dispatch.ring_bells();
            }
        }
        self.accept_all();
        self.dispatch.take_news(news);
        for place in news.drain(..) {
            self.on_news(place);
        }
        self.follow_helpers();
        if !self.again.is_empty() {
            for id in std::mem::take(&mut self.again) {
                self.drive(id);
            }
        }
        if self.relays.have_work() {
            self.drive_relays();
        }
        self.meet_deadlines(due);
        self.end_late_relays();
        self.tidy_files();
        self.end_late_uploads();
        self.follow_departures();
        self.help_slow_readers();
        self.serve_queue();
        self.look_for_self_calls();
        self.report_workers();
        self.watch_load();
        self.trim_memory();
        self.settle_cache();
        self.show_levels();
        self.flush_notes();
        self.follow_command()
    }

    /// Whether the front goes on.
    #[inline]
    fn follow_command(&mut self) -> bool {
        match self.shared.command() {
            Command::Serve => true,
            Command::Drain => {
                if !self.draining {
                    self.begin_drain();
                }
                if self.relays.len() > 0 && self.has_only_websockets() {
                    self.relays.tell_end();
                }
                !self.connections.is_empty() || self.relays.len() > 0
            }
            Command::Stop => {
                for id in self.connections.ids() {
                    self.close(id, CloseReason::Draining);
                }
                self.show_levels();
                false
            }
        }
    }

    /// Gives an exchange so much time from now on; what it is for follows from its state.
    #[inline]
    pub(crate) fn set_deadline(&mut self, id: ExchangeId, time: Duration) {
        self.exchange_timers.set(id.key, self.clock.now_ms + time.as_millis() as u64);
    }

    /// The same for a connection.
    #[inline]
    pub(crate) fn set_connection_deadline(&mut self, id: ConnectionId, time: Duration) {
        self.timers.set(id.key, self.clock.now_ms + time.as_millis() as u64);
    }

    fn meet_deadlines(&mut self, due: &mut Vec<usize>) {
        if self.exchange_timers.are_due(self.clock.now_ms) {
            self.exchange_timers.due(self.clock.now_ms, due);
            for key in due.drain(..) {
                self.on_exchange_deadline(key);
            }
        }
        if self.timers.are_due(self.clock.now_ms) {
            self.timers.due(self.clock.now_ms, due);
            for key in due.drain(..) {
                self.on_connection_deadline(key);
            }
        }
    }

    /// The connection of an exchange.
    pub(crate) fn connection_of(&self, id: ExchangeId) -> Option<&Connection> {
        self.connections.get(self.exchanges.get(id)?.connection)
    }

    /// The driver of an exchange's connection, if that speaks HTTP/1.
    pub(crate) fn http1_of(&mut self, id: ExchangeId) -> Option<&mut Http1> {
        self.connections.get_mut(self.exchanges.get(id)?.connection)?.driver.http1()
    }

    fn show_levels(&mut self) {
        self.dispatch.bury();
        self.shared.counters.connections_open.set(self.connections.len() as u64);
        self.shared.counters.slots_in_use.set(self.dispatch.slots_in_use() as u64);
        self.shared.counters.requests_queued.set(self.dispatch.queued() as u64);
        self.shared.counters.path_requests_queued.set(self.dispatch.paths.waiting() as u64);
        let chunks = self.dispatch.bodies.capacity() - self.dispatch.bodies.free();
        self.shared.counters.response_bytes_held.set(self.backlog.held() as u64);
        if let Some(compression) = &self.site.compression {
            self.shared.counters.responses_compressing.set(compression.active() as u64);
        }
        self.shared.counters.files_open.set(self.site.open_files() as u64);
        self.shared.counters.spool_bytes_used.set(self.spool.used());
        self.shared.counters.body_chunks_in_use.set(chunks as u64);
    }

    #[inline]
    fn on_event(&mut self, event: Readiness) {
        if event.token == DOORBELL.0 {
            return;
        }
        if let Some(listener) = FIRST_LISTENER.checked_sub(event.token)
            && let Some(listener) = self.listeners.get_mut(listener)
        {
            listener.may_have_more = true;
            return;
        }
        if self.relays.len() > 0 && self.on_relay_event(&event) {
            return;
        }
        let id = ConnectionId::from_token(event.token);
        let Some(connection) = self.connections.get_mut(id) else { return };
        // While lingering both directions are closed once the client has finished, too. What it sent before is still to be read, or the
        // close becomes a reset after all.
        if event.error || (event.write_closed && !connection.lingering) {
            let reason = match connection.is_between_requests(&self.exchanges) {
                _ if connection.lingering => CloseReason::AfterResponse,
                true => CloseReason::ByClient,
                false => CloseReason::ByClientEarly,
            };
            self.close(id, reason);
            return;
        }
        connection.transport.note_event(event.readable, event.read_closed);
        if connection.transport.is_shaking() {
            if !self.shake_hands(id) {
                return;
            }
        } else if connection.transport.proceed().is_err() {
            self.close(id, CloseReason::TransportError);
            return;
        }
        self.drive(id);
        if event.read_closed
            && let Some(connection) = self.connections.get_mut(id)
        {
            match &connection.driver {
                Driver::Http1(http1) => {
                    let exchange = http1.exchange;
                    self.client_left(exchange);
                }
                Driver::Http2(http2) => {
                    for exchange in http2.exchanges() {
                        self.client_left(exchange);
                    }
                }
            }
        }
    }

    /// The poller tells of a connection from now on.
    pub(crate) fn register(&self, raw: Option<RawFd>, id: ConnectionId) -> io::Result<()> {
        let Some(raw) = raw else { return Ok(()) };
        // Both directions at once, edge-triggered: one system call in the life of a connection.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&raw), Token(id.to_token()), interest)
    }

    /// It does not any more, though somebody else has the socket open.
    pub(crate) fn deregister(&self, transport: &Transport) {
        if let Some(raw) = transport.raw() {
            let _ = self.poll.registry().deregister(&mut SourceFd(&raw));
        }
    }

    /// Takes a connection as far as it goes now.
    #[inline]
    pub(crate) fn drive(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let turn = if connection.lingering {
                self.linger(id)
            } else {
                let exchange_id = match &connection.driver {
                    Driver::Http1(http1) => http1.exchange,
                    Driver::Http2(_) => {
                        self.drive_http2(id);
                        return;
                    }
                };
                let Some(exchange) = self.exchanges.get(exchange_id) else { return };
                match exchange.state() {
                    // Bytes of a handshake are none of HTTP (`handshakes`).
                    State::Receiving if connection.transport.is_shaking() => Turn::Wait,
                    State::Receiving => self.receive(id),
                    State::Running if exchange.upload.is_some() => self.stream_in(exchange_id),
                    State::Queued | State::Running => Turn::Wait,
                    State::Responding | State::Finished => match self.send_on(exchange_id) {
                        Turn::Wait => self.receive_more(exchange_id),
                        turn => turn,
                    },
                }
            };
            if turn != Turn::Again {
                return;
            }
        }
    }

    /// Takes the connection of an exchange as far as it goes now.
    #[inline]
    pub(crate) fn drive_exchange(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get(id) {
            self.drive(exchange.connection);
        }
    }

    /// The same, after the others have had their turn.
    pub(crate) fn drive_again(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get(id) {
            self.again.push(exchange.connection);
        }
    }

    /// Ends a connection, whatever it was doing.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let exchange = match &connection.driver {
            Driver::Http1(http1) => Some(http1.exchange),
            Driver::Http2(_) => None,
        };
        match exchange {
            Some(exchange) if !self.keep_socket(exchange) => return,
            Some(_) => {}
            None => {
                self.drop_all_streams(id, reason);
                self.say_goodbye(id, reason);
            }
        }
        let Some(mut connection) = self.connections.remove(id) else { return };
        if connection.transport.is_shaking() {
            self.end_handshake();
        }
        if connection.is_shared {
            self.part_with(&connection);
        }
        let looks_whole =
            exchange.and_then(|id| self.exchanges.get(id)).is_some_and(Exchange::would_look_whole);
        if looks_whole {
            connection.transport.reset_at_close();
        }
        self.timers.clear(id.key);
        self.forget_client(&connection);
        reason.counter(&self.shared.counters).up();
        if let Some(exchange) = exchange {
            self.abandon(exchange, Some(&connection.transport), reason);
        }
    }

    /// Ends the connection of an exchange that cannot be brought to an end of its own.
    pub(crate) fn close_exchange(&mut self, id: ExchangeId, reason: CloseReason) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let connection_id = exchange.connection;
        if exchange.stream == 0 {
            self.close(connection_id, reason);
        } else {
            // Only its stream; the others go on. What is to be said of it leaves with the next turn.
            self.drop_stream(id, reason);
            self.again.push(connection_id);
        }
    }

    /// Nobody waits for an exchange any more, whatever it was doing.
    pub(crate) fn abandon(&mut self, id: ExchangeId, transport: Option<&Transport>, reason: CloseReason) {
        self.exchange_timers.clear(id.key);
        let Some(mut exchange) = self.exchanges.remove(id) else { return };
        self.note_departure(&exchange);
        if let Some(place) = exchange.slot {
            self.dispatch.abandon(place, Why::Gone, self.clock.now_ms);
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
        if let Some(record) = exchange.record.take() {
            let bytes = exchange.body_taken(transport);
            self.note_end(record, bytes, reason.for_the_log());
        }
        self.meter_end(&exchange);
    }
}
