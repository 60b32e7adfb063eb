//! How many handshakes of TLS are under way, and how many each address has begun of late.
//!
//! Owns the numbers; `handshakes` acts on them. Runs on the front's thread.

use std::collections::HashMap;

/// All that are under way.
#[derive(Debug, Default)]
pub struct Handshakes {
    pub(crate) under_way: usize,
    /// How many each address has begun in the present window.
    pub(crate) begun: HashMap<Box<[u8]>, u64>,
    pub(crate) window_ends_ms: u64,
    pub(crate) tell_at_ms: u64,
    /// Of its own, so that failures, which are logged at another level, hide no mistake of a user.
    pub(crate) tell_of_tls_at_ms: u64,
}
