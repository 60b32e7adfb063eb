//! Why connections end. Every close has a reason, and each reason its counter.

use crate::counters::{Counter, Counters};

/// The reason for a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The response announced it.
    AfterResponse,
    /// The client closed between requests.
    ByClient,
    /// The client closed, or its connection broke, within a request or a response.
    ByClientEarly,
    /// The transport failed.
    TransportError,
    /// Nothing came for the keep-alive time.
    Idle,
    /// The client did not take the response.
    WriteTimeout,
    /// The client keeps too many responses waiting.
    Stalled,
    /// The application failed after the head had left: only a cut tells the client.
    BrokenResponse,
    /// A file changed while it was sent, or became shorter: only a cut tells the client.
    FileChanged,
    /// A proxy did not begin with a PROXY header.
    NoProxyHeader,
    /// The worker has taken the client's socket.
    HandedOver,
    /// The client and the server agree on nothing, or one does not trust the other.
    HandshakeFailed,
    /// The handshake took too long.
    HandshakeLate,
    /// Too many handshakes are under way, or have come from the address.
    HandshakeRefused,
    /// It was idle, and others waited to be accepted.
    MadeRoom,
    /// There was no memory for what it sent, or was sent.
    NoMemory,
    /// The front ends.
    Draining,
}

impl CloseReason {
    /// That of an error on its way, where no other one is known than `otherwise`.
    pub fn of_error(error: &std::io::Error, otherwise: CloseReason) -> CloseReason {
        if error.kind() == std::io::ErrorKind::OutOfMemory { CloseReason::NoMemory } else { otherwise }
    }

    /// What an access line says of an exchange that ended by it.
    pub fn for_the_log(self) -> &'static str {
        match self {
            CloseReason::AfterResponse => "complete",
            CloseReason::ByClient | CloseReason::ByClientEarly => "client gone",
            CloseReason::TransportError => "connection broken",
            CloseReason::Idle => "idle",
            CloseReason::WriteTimeout => "write timeout",
            CloseReason::Stalled => "too many stalled",
            CloseReason::BrokenResponse => "response cut off",
            CloseReason::FileChanged => "file changed",
            CloseReason::NoProxyHeader => "no proxy header",
            CloseReason::HandedOver => "handed over",
            CloseReason::HandshakeFailed => "handshake failed",
            CloseReason::HandshakeLate => "handshake too late",
            CloseReason::HandshakeRefused => "too many handshakes",
            CloseReason::MadeRoom => "made room",
            CloseReason::NoMemory => "no memory",
            CloseReason::Draining => "server stopped",
        }
    }

    /// Where it is counted.
    pub fn counter(self, counters: &Counters) -> &Counter {
        match self {
            CloseReason::AfterResponse => &counters.closed_after_response,
            CloseReason::ByClient => &counters.closed_by_client,
            CloseReason::ByClientEarly => &counters.closed_by_client_early,
            CloseReason::TransportError => &counters.closed_by_error,
            CloseReason::Idle => &counters.closed_idle,
            CloseReason::WriteTimeout => &counters.closed_write_timeout,
            CloseReason::Stalled => &counters.http2_stalled,
            CloseReason::BrokenResponse => &counters.responses_broken,
            CloseReason::FileChanged => &counters.closed_file_changed,
            CloseReason::NoProxyHeader => &counters.closed_no_proxy_header,
            CloseReason::HandedOver => &counters.closed_handed_over,
            CloseReason::HandshakeFailed => &counters.closed_handshake_failed,
            CloseReason::HandshakeLate => &counters.closed_handshake_late,
            CloseReason::HandshakeRefused => &counters.closed_handshake_refused,
            CloseReason::MadeRoom => &counters.closed_for_newcomers,
            CloseReason::NoMemory => &counters.closed_no_memory,
            CloseReason::Draining => &counters.closed_draining,
        }
    }
}
