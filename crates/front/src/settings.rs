//! What the front gets at its start. Values only; defaults and their reasons live in the Python settings table.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pelton_http::{UnderscorePolicy, h2};
use pelton_link::WaitingRoom;

use crate::compression::CompressionSettings;
use crate::edge::EdgeSettings;
use crate::forwarding::Proxies;
use crate::paths::Streams;
use crate::rate_limits::RateRule;
use crate::scheduling::path_limits::{PathLimit, PathRule};
use crate::scheduling::self_call::SelfCallPolicy;
use crate::static_files::StaticSettings;

/// Where settings come from: the table of Python, by its names.
pub trait Source {
    /// Why one cannot be had.
    type Error;

    /// A number.
    fn number<T: TryFrom<i128>>(&self, name: &str) -> Result<T, Self::Error>;

    /// A number that may be broken.
    fn fraction(&self, name: &str) -> Result<f64, Self::Error>;

    /// Yes or no.
    fn flag(&self, name: &str) -> Result<bool, Self::Error>;

    /// A text, or none.
    fn text(&self, name: &str) -> Result<Option<String>, Self::Error>;

    /// A path.
    fn path(&self, name: &str) -> Result<PathBuf, Self::Error>;

    /// A time.
    fn seconds(&self, name: &str) -> Result<Duration, Self::Error>;

    /// A time, where 0 means that there is no limit.
    fn limit(&self, name: &str) -> Result<Option<Duration>, Self::Error>;
}

/// Makes [`Settings`] of two lists. `read`: name, type, how [`Source`] gives it and under which name, and what it is for programs without
/// that. `composed`: what somebody has to make of one or more settings, who cannot forget it.
macro_rules! settings {
    (
        read { $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $how:ident $key:ident, $plain:expr;)* }
        composed { $($(#[doc = $made_doc:literal])+ $made:ident: $made_type:ty = $made_plain:expr;)* }
    ) => {
        /// See the Python settings table (`src/pelton/config/table`) for the meaning of each.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)*
            $($(#[doc = $made_doc])+ pub $made: $made_type,)*
        }

        /// Those of [`Settings`] that are made of others.
        #[derive(Clone, Debug)]
        pub struct Composed {
            $($(#[doc = $made_doc])+ pub $made: $made_type,)*
        }

        impl Settings {
            /// From a source, with what was made of it.
            pub fn read<S: Source>(from: &S, made: Composed) -> Result<Settings, S::Error> {
                Ok(Settings { $($name: from.$how(stringify!($key))?,)* $($made: made.$made,)* })
            }

            /// For programs without the Python table (the simulation, an example): usual limits, and everything off that can be.
            pub fn plain() -> Self {
                Settings { $($name: $plain,)* $($made: $made_plain,)* }
            }
        }
    };
}

settings! {
    read {
        /// Bytes of a request head.
        max_head_bytes: usize = number max_head_bytes, 65536;
        /// Fields of a request head.
        max_fields: usize = number max_fields, 100;
        /// Bytes of a request line.
        max_line_bytes: usize = number max_line_bytes, 1 << 14;
        /// Bytes of a request body.
        max_body_bytes: u64 = number max_body_bytes, 1 << 30;
        /// Bytes of a request body kept in memory; the rest goes to a file.
        body_memory_bytes: u64 = number body_memory_bytes, 1 << 20;
        /// Where such files are made.
        spool_directory: PathBuf = path spool_directory, std::env::temp_dir();
        /// Bytes in all files for bodies and responses together; 0 for no limit.
        spool_bytes: u64 = number spool_bytes, 0;
        /// Bytes of a response kept in memory for a slow reader.
        response_buffer_bytes: usize = number response_buffer_bytes, 1 << 20;
        /// Bytes of all responses kept in memory together; beyond it each connection has only a little.
        response_memory_bytes: usize = number response_memory_bytes, 128 << 20;
        /// Bytes of a response kept in a file for a slow reader before its writer waits.
        response_file_bytes: u64 = number response_file_bytes, 1 << 30;
        /// Open connections at once.
        max_connections: usize = number max_connections, 0;
        /// Open connections at once from one address; 0 for no limit.
        connections_per_client: usize = number connections_per_client, 0;
        /// Requests on one connection; 0 for no limit.
        requests_per_connection: u32 = number requests_per_connection, 0;
        /// Requests that may wait for a thread.
        queue_length: usize = number queue_length, 1024;
        /// How long one may wait.
        queue_time: Duration = seconds queue_seconds, Duration::from_secs(30);
        /// `Retry-After` of a 503.
        retry_after_seconds: u64 = number retry_after_seconds, 1;
        /// From the first byte of a head (or the opening of the connection) to its end.
        head_time: Duration = seconds head_seconds, Duration::from_secs(15);
        /// Between two pieces of a body.
        body_idle_time: Duration = seconds body_idle_seconds, Duration::from_secs(30);
        /// For all of a body; None for as long as it takes.
        body_time: Option<Duration> = limit body_seconds, None;
        /// Bytes per second of a body, averaged over `body_idle_time`; 0 for any.
        body_rate: u64 = number body_rate, 0;
        /// Between two requests.
        keep_alive_time: Duration = seconds keep_alive_seconds, Duration::from_secs(75);
        /// Between two pieces of a response that the client takes.
        write_idle_time: Duration = seconds write_idle_seconds, Duration::from_secs(60);
        /// Bytes per second of a response, averaged over `write_idle_time`; 0 for any.
        write_rate: u64 = number write_rate, 0;
        /// Where access lines go; -1 for nowhere. Duplicated by the front.
        access_log: RawFd = number access_log_descriptor, -1;
        /// Whether health checks have access lines, and are counted.
        log_health: bool = flag access_log_health, false;
        /// Whether each request gets an id, also where no access line says it.
        request_ids: bool = flag request_id, false;
        /// Whether ids of clients are taken over from anybody, and not from trusted proxies only.
        trust_request_id: bool = flag trust_request_id, false;
        /// Whether workers learn when a request was received.
        traces: bool = flag traces, false;
        /// Whether responses tell how long they took.
        server_timing: bool = flag server_timing, false;
        /// How long a request may run until its response begins; None for as long as it likes.
        request_time: Option<Duration> = limit request_timeout, None;
        /// How long a thread may take to let go of a request whose time is over, before its worker counts as stuck.
        interrupt_grace: Duration = seconds request_timeout_grace, Duration::from_secs(5);
        /// How long a worker with requests may give no sign of life; None for as long as it likes.
        worker_time: Option<Duration> = limit worker_timeout, None;
        /// Below this path the front answers health checks on every listener.
        health_path: Option<String> = text health_path, None;
        /// What clients of admin listeners on TCP have to send for more than health checks; None: they have to be on this machine.
        admin_token: Option<String> = text admin_token, None;
        /// How many processors the workers together can use at most.
        processors: f64 = fraction processors, 1.0;
        /// Bytes of the response cache; 0 for none.
        cache_bytes: usize = number cache_bytes, 0;
        /// Whether requests of Werkzeug's debugger go to the worker that their secret names (`affinity`).
        debugger_affinity: bool = flag debugger_affinity, false;
    }
    composed {
        /// What becomes of field names with an underscore.
        underscore_fields: UnderscorePolicy = UnderscorePolicy::Drop;
        /// What a connection of HTTP/2 may cost.
        http2: h2::Bounds = h2::Bounds::default();
        /// Requests that are handed on before their bodies are complete.
        streams: Streams = Streams::default();
        /// Whom to believe about clients.
        proxies: Proxies = Proxies::default();
        /// Whether workers may take the sockets of clients who ask for a WebSocket.
        offers_sockets: bool = false;
        /// Where metrics go.
        statsd: StatsdSettings = StatsdSettings { socket: -1, prefix: String::new(), tags: String::new() };
        /// How often clients may ask.
        rate_limits: Vec<RateRule> = Vec::new();
        /// How many requests of some paths run at once.
        path_limits: Vec<PathLimit> = Vec::new();
        /// Which requests go before others.
        priority_paths: Vec<PathRule> = Vec::new();
        /// How responses are compressed.
        compression: CompressionSettings = CompressionSettings::default();
        /// Files that are sent without the application.
        static_files: StaticSettings = StaticSettings::default();
        /// Files that are sent when the application names them.
        named_files: StaticSettings = StaticSettings::default();
        /// Who may ask, own error pages, fields of requests and responses.
        edge: EdgeSettings = EdgeSettings::default();
        /// What is done about requests that the application makes to its own server.
        self_call: SelfCallPolicy = SelfCallPolicy::Off;
        /// Whether requests with `sid=…-wN` in the query go to worker N (`affinity`).
        session_affinity: bool = false;
        /// Of TLS.
        handshakes: HandshakeSettings = HandshakeSettings { time: Duration::from_secs(10), at_once: 0, rate: 0 };
        /// The value of `Strict-Transport-Security` in encrypted responses.
        transport_security: Option<Vec<u8>> = None;
        /// Where idle connections wait for the front that comes after this one; None where none comes.
        waiting_room: Option<Arc<WaitingRoom>> = None;
    }
}

/// Those that may change while the front runs.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// See [`Settings::edge`].
    pub edge: EdgeSettings,
    /// See [`Settings::rate_limits`].
    pub rate_limits: Vec<RateRule>,
    /// See [`Settings::path_limits`].
    pub path_limits: Vec<PathLimit>,
    /// See [`Settings::priority_paths`].
    pub priority_paths: Vec<PathRule>,
}

/// How long a closed connection is still read, so that the client can take its last response: a close with unread bytes makes the
/// kernel send a reset, which may overtake the response (RFC 9112 section 9.6).
pub const LINGER_TIME: Duration = Duration::from_secs(2);

/// How metrics are sent to a statsd.
#[derive(Clone, Debug)]
pub struct StatsdSettings {
    /// A connected datagram socket; -1 for nowhere. Duplicated by the front.
    pub socket: RawFd,
    /// Before each metric's name.
    pub prefix: String,
    /// Behind each metric, separated by commas.
    pub tags: String,
}

/// What is bounded of handshakes.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeSettings {
    /// How long one may take.
    pub time: Duration,
    /// How many are under way at once; 0 for no limit.
    pub at_once: usize,
    /// Per second from one address; 0 for no limit.
    pub rate: u64,
}

/// How long a connection stays open during a drain for a request that may be on its way. A request that meets a connection which is just being
/// closed is lost; one that is answered says that the connection ends.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);
