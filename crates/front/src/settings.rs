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

/// See the Python settings table (`src/pelton/config/table`) for the meaning of each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a request head.
    pub max_head_bytes: usize,
    /// Fields of a request head.
    pub max_fields: usize,
    /// Bytes of a request line.
    pub max_line_bytes: usize,
    /// What becomes of field names with an underscore.
    pub underscore_fields: UnderscorePolicy,
    /// What a connection of HTTP/2 may cost.
    pub http2: h2::Bounds,
    /// Bytes of a request body.
    pub max_body_bytes: u64,
    /// Bytes of a request body kept in memory; the rest goes to a file.
    pub body_memory_bytes: u64,
    /// Where such files are made.
    pub spool_directory: PathBuf,
    /// Bytes in all files for bodies and responses together; 0 for no limit.
    pub spool_bytes: u64,
    /// Requests that are handed on before their bodies are complete.
    pub streams: Streams,
    /// Bytes of a response kept in memory for a slow reader.
    pub response_buffer_bytes: usize,
    /// Bytes of all responses kept in memory together; beyond it each connection has only a little.
    pub response_memory_bytes: usize,
    /// Bytes of a response kept in a file for a slow reader before its writer waits.
    pub response_file_bytes: u64,
    /// Whom to believe about clients.
    pub proxies: Proxies,
    /// Open connections at once.
    pub max_connections: usize,
    /// Open connections at once from one address; 0 for no limit.
    pub connections_per_client: usize,
    /// Whether workers may take the sockets of clients who ask for a WebSocket.
    pub offers_sockets: bool,
    /// Requests on one connection; 0 for no limit.
    pub requests_per_connection: u32,
    /// Requests that may wait for a thread.
    pub queue_length: usize,
    /// How long one may wait.
    pub queue_time: Duration,
    /// `Retry-After` of a 503.
    pub retry_after_seconds: u64,
    /// From the first byte of a head (or the opening of the connection) to its end.
    pub head_time: Duration,
    /// Between two pieces of a body.
    pub body_idle_time: Duration,
    /// For all of a body; None for as long as it takes.
    pub body_time: Option<Duration>,
    /// Bytes per second of a body, averaged over `body_idle_time`; 0 for any.
    pub body_rate: u64,
    /// Between two requests.
    pub keep_alive_time: Duration,
    /// Between two pieces of a response that the client takes.
    pub write_idle_time: Duration,
    /// Bytes per second of a response, averaged over `write_idle_time`; 0 for any.
    pub write_rate: u64,
    /// Where access lines go; -1 for nowhere. Duplicated by the front.
    pub access_log: RawFd,
    /// Where metrics go.
    pub statsd: StatsdSettings,
    /// Whether health checks have access lines, and are counted.
    pub log_health: bool,
    /// Whether each request gets an id, also where no access line says it.
    pub request_ids: bool,
    /// Whether ids of clients are taken over from anybody, and not from trusted proxies only.
    pub trust_request_id: bool,
    /// Whether workers learn when a request was received.
    pub traces: bool,
    /// Whether responses tell how long they took.
    pub server_timing: bool,
    /// How long a request may run until its response begins; None for as long as it likes.
    pub request_time: Option<Duration>,
    /// How long a thread may take to let go of a request whose time is over, before its worker counts as stuck.
    pub interrupt_grace: Duration,
    /// How long a worker with requests may give no sign of life; None for as long as it likes.
    pub worker_time: Option<Duration>,
    /// Below this path the front answers health checks on every listener.
    pub health_path: Option<String>,
    /// What clients of admin listeners on TCP have to send for more than health checks; None: they have to be on this machine.
    pub admin_token: Option<String>,
    /// How many processors the workers together can use at most.
    pub processors: f64,
    /// Bytes of the response cache; 0 for none.
    pub cache_bytes: usize,
    /// How often clients may ask.
    pub rate_limits: Vec<RateRule>,
    /// How many requests of some paths run at once.
    pub path_limits: Vec<PathLimit>,
    /// Which requests go before others.
    pub priority_paths: Vec<PathRule>,
    /// How responses are compressed.
    pub compression: CompressionSettings,
    /// Files that are sent without the application.
    pub static_files: StaticSettings,
    /// Files that are sent when the application names them.
    pub named_files: StaticSettings,
    /// Who may ask, own error pages, fields of requests and responses.
    pub edge: EdgeSettings,
    /// What is done about requests that the application makes to its own server.
    pub self_call: SelfCallPolicy,
    /// Whether requests of Werkzeug's debugger go to the worker that their secret names (`affinity`).
    pub debugger_affinity: bool,
    /// Whether requests with `sid=…-wN` in the query go to worker N (`affinity`).
    pub session_affinity: bool,
    /// Of TLS.
    pub handshakes: HandshakeSettings,
    /// The value of `Strict-Transport-Security` in encrypted responses.
    pub transport_security: Option<Vec<u8>>,
    /// Where idle connections wait for the front that comes after this one; None where none comes.
    pub waiting_room: Option<Arc<WaitingRoom>>,
}

impl Settings {
    /// For programs without the Python table (the simulation, an example): usual limits, and everything off that can be.
    pub fn plain() -> Self {
        Settings {
            max_head_bytes: 65536,
            max_fields: 100,
            max_line_bytes: 1 << 14,
            http2: h2::Bounds::default(),
            underscore_fields: UnderscorePolicy::Drop,
            max_body_bytes: 1 << 30,
            body_memory_bytes: 1 << 20,
            spool_directory: std::env::temp_dir(),
            spool_bytes: 0,
            response_buffer_bytes: 1 << 20,
            response_memory_bytes: 128 << 20,
            response_file_bytes: 1 << 30,
            proxies: Proxies::default(),
            streams: Streams::default(),
            max_connections: 0,
            connections_per_client: 0,
            requests_per_connection: 0,
            offers_sockets: false,
            queue_length: 1024,
            queue_time: Duration::from_secs(30),
            retry_after_seconds: 1,
            head_time: Duration::from_secs(15),
            body_idle_time: Duration::from_secs(30),
            body_time: None,
            body_rate: 0,
            keep_alive_time: Duration::from_secs(75),
            write_idle_time: Duration::from_secs(60),
            write_rate: 0,
            access_log: -1,
            statsd: StatsdSettings { socket: -1, prefix: String::new(), tags: String::new() },
            log_health: false,
            request_ids: false,
            traces: false,
            trust_request_id: false,
            server_timing: false,
            request_time: None,
            interrupt_grace: Duration::from_secs(5),
            worker_time: None,
            health_path: None,
            admin_token: None,
            processors: 1.0,
            cache_bytes: 0,
            rate_limits: Vec::new(),
            path_limits: Vec::new(),
            priority_paths: Vec::new(),
            compression: CompressionSettings::default(),
            static_files: StaticSettings::default(),
            named_files: StaticSettings::default(),
            edge: EdgeSettings::default(),
            self_call: SelfCallPolicy::Off,
            debugger_affinity: false,
            session_affinity: false,
            handshakes: HandshakeSettings { time: Duration::from_secs(10), at_once: 0, rate: 0 },
            transport_security: None,
            waiting_room: None,
        }
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
