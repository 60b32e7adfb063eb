//! What the front is told at start. Values only; defaults and their reasons live in the Python settings table.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

/// See `_FrontSettings` in the Python stub for the meaning of each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a request head.
    pub max_head_bytes: usize,
    /// Fields of a request head.
    pub max_fields: usize,
    /// Bytes of a request body.
    pub max_body_bytes: u64,
    /// Bytes of a request body kept in memory; the rest goes to a file.
    pub body_memory_bytes: u64,
    /// Where such files are made.
    pub spool_directory: PathBuf,
    /// Bytes of an answer kept for a slow reader before its writer waits.
    pub response_buffer_bytes: usize,
    /// Open connections at once.
    pub max_connections: usize,
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
    /// Between two requests.
    pub keep_alive_time: Duration,
    /// Between two pieces of an answer that the client takes.
    pub write_idle_time: Duration,
    /// Where access lines go; -1 for nowhere. Not closed by the front.
    pub access_log: RawFd,
}

/// How long a closed connection is still read, so that the client can take its last answer: a close with unread bytes makes the
/// kernel send a reset, which may overtake the answer (RFC 9112 section 9.6).
pub const LINGER_TIME: Duration = Duration::from_secs(2);
