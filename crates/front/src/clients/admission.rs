//! Who may come in: whether connections are accepted, and what is known of those that are here.
//!
//! Owns the state; `accept`, `making_room` and `drain` act on it. Runs on the front's thread.

use std::collections::{HashMap, VecDeque};

use crate::ids::ConnectionId;

/// See the module's head.
pub(crate) struct Admission {
    /// How many listeners serve the application: the workers' numbers for them end here.
    pub(crate) application_listeners: u16,
    /// Whether those are to be accepted from.
    pub(crate) may_accept: bool,
    /// Nothing is accepted before: there was no descriptor left.
    pub(crate) pause_until: u64,
    /// Whether that has been logged.
    pub(crate) complained: bool,
    pub(crate) idle_connections: IdleConnections,
    /// Connections of each address, where they are limited.
    pub(crate) clients: HashMap<Box<[u8]>, usize>,
}

impl Admission {
    pub(crate) fn new(application_listeners: u16) -> Self {
        Admission {
            application_listeners,
            may_accept: false,
            pause_until: 0,
            complained: false,
            idle_connections: IdleConnections::default(),
            clients: HashMap::new(),
        }
    }
}

/// Idle connections as of the last look, the one idle for longest first; and since when each is.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    pub(crate) found: VecDeque<(ConnectionId, u64)>,
    pub(crate) look_at_ms: u64,
    /// Somebody waits, and nobody can go yet.
    pub(crate) is_wanted: bool,
}

/// The process's limit of open files, raised as far as it may be: each connection needs one.
pub(crate) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write `limit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1024;
        }
        if limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
    }
    limit.rlim_cur
}
