//! Who may come in: whether connections are accepted, and what is known of those that are here.
//!
//! Owns the state; `accept`, `making_room` and `drain` act on it. Runs on the front's thread.

use std::collections::HashMap;

use crate::event_loop::making_room::IdleConnections;

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
    pub(super) fn new(application_listeners: u16) -> Self {
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
