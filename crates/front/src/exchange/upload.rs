//! A body that is passed on while it comes, apart from its bytes; see `requests/streaming`. Runs on the front's thread.

use crate::ids::ExchangeId;

/// Of a body that is missing when the response begins: what is received in any case, so that the connection can be used again.
const UNREAD_BYTES: u64 = 64 * 1024;

/// A body that is still coming; of one that is complete nothing is left.
#[derive(Debug)]
pub struct Upload {
    /// Bytes that the client has announced and not sent; None where it sends chunks.
    pub(crate) left: Option<u64>,
    /// The client sends nothing before it gets leave to (100).
    pub(crate) waits_for_leave: bool,
    /// When the client is late; None while it is not its turn.
    pub(crate) late_at: Option<u64>,
    /// Bytes that came in the present window of its clock.
    pub(crate) moved: u64,
    /// HTTP/2: what has come and has no room in the window; not more than the stream's own window.
    pub(crate) held: Vec<u8>,
    /// HTTP/2: all of it has come.
    pub(crate) ended: bool,
    /// In the list of those on the clock.
    pub(crate) is_listed: bool,
    /// Unlike those of all others, so that the list can name it.
    pub(crate) number: u64,
}

/// All that are being received.
#[derive(Debug, Default)]
pub struct Uploads {
    /// Those that have been on the clock since the last look.
    pub(crate) listed: Vec<(ExchangeId, u64)>,
    pub(crate) look_at: Option<u64>,
    pub(crate) numbers: u64,
}

impl Upload {
    /// Whether another request can follow on the connection whether or not the application reads the rest.
    pub fn may_be_followed(&self) -> bool {
        !self.waits_for_leave && self.left.is_some_and(|left| left <= UNREAD_BYTES)
    }
}
