//! All that the front's thread owns: clients' descriptors, requests, timers, and its end of the link.
//!
//! Here is only what there is, and how the parts find each other. What is done with it is in rooms above, each a file of functions that take the
//! whole: `clients`, `requests`, `handlers`, `response`, `websockets`, and `event_loop` on top, which calls them in turn. Must not know any of
//! them. A part that needs nothing else (dispatch, timers, cache, limits) has methods of its own and is tested alone.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use pelton_http::{Head, Limits};
use pelton_link::{BodyPool, Kept, keep_poller};

use crate::clients::admission::Admission;
use crate::clients::admission::descriptor_limit;
use crate::clients::handshake_counts::Handshakes;
use crate::connection::http1::Http1;
use crate::connection::http2::Http2;
use crate::connection::turn::SCRATCH;
use crate::connection::{Connection, Connections};
use crate::control::{Challenges, Common, Shared};
use crate::exchange::Exchanges;
use crate::exchange::backlog::Backlog;
use crate::exchange::departure::Departure;
use crate::exchange::spool::Spool;
use crate::exchange::upload::Uploads;
use crate::helpers::Helpers;
use crate::ids::ConnectionId;
use crate::ids::ExchangeId;
use crate::reactor::clock::Clock;
use crate::reactor::timers::Timers;
use crate::reactor::watch::Watch;
use crate::reactor::{DOORBELL, FIRST_LISTENER};
use crate::recording::Recording;
use crate::response::filters::Filters;
use crate::saturation::Saturation;
use crate::scheduling::affinity::Affinity;
use crate::scheduling::dispatch::Dispatch;
use crate::scheduling::path_limits::PathLimits;
use crate::scheduling::self_call::SelfCalls;
use crate::settings::Settings;
use crate::site::Site;
use crate::transport::Transport;
use crate::transport::listener::{Listener, ListenerSettings, Listeners, Role};
use crate::transport::tls::{Encryption, Step};
use crate::websockets::relays::Relays;

/// Descriptors kept for everything that is not a connection: listeners, spool files, the application's own. Half of
/// all where there are few.
const RESERVED_DESCRIPTORS: u64 = 128;

/// However few descriptors there are, so many connections are tried.
const LEAST_CONNECTIONS: u64 = 16;

/// What a helper has done.
#[derive(Debug)]
pub(crate) enum Helped {
    /// A part of a file is in memory.
    Warm(ExchangeId),
    /// A piece of a body has passed through the filters of its response; None in their place: it was the last.
    Filtered(ExchangeId, Option<Box<Filters>>, io::Result<Vec<u8>>),
    /// A handshake has gone a step further.
    Shaken(ConnectionId, Box<Step>),
}

/// See the module's head.
pub(crate) struct Front {
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
    pub(crate) looked_again: bool,
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

impl Front {
    /// Takes over the listeners, which are bound. Nothing is accepted yet.
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
        Ok(Front {
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
        })
    }

    pub(crate) fn http2(&mut self, id: ConnectionId) -> Option<&mut Http2> {
        self.connections.get_mut(id)?.driver.http2()
    }

    pub(crate) fn exchange_of_stream(&mut self, id: ConnectionId, stream: u32) -> Option<ExchangeId> {
        self.http2(id)?.exchange_of(stream)
    }

    pub(crate) fn is_idle(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.is_between_requests(&self.exchanges))
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

    /// The connection of an exchange.
    pub(crate) fn connection_of(&self, id: ExchangeId) -> Option<&Connection> {
        self.connections.get(self.exchanges.get(id)?.connection)
    }

    /// The driver of an exchange's connection, if that speaks HTTP/1.
    pub(crate) fn http1_of(&mut self, id: ExchangeId) -> Option<&mut Http1> {
        self.connections.get_mut(self.exchanges.get(id)?.connection)?.driver.http1()
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

    /// The same, after the others have had their turn.
    pub(crate) fn drive_again(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get(id) {
            self.again.push(exchange.connection);
        }
    }

    /// A connection is about to be dropped of whose socket a worker may have a duplicate: the client is to see the end all the same.
    pub(crate) fn part_with(&self, connection: &Connection) {
        self.deregister(&connection.transport);
        connection.transport.shut_down();
    }
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
