//! Clients: how they come, how many may be here, who has to go, and what becomes of those that are slow or gone. Runs on the front's thread.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod gone_clients;
pub(crate) mod handshake_counts;
pub(crate) mod handshakes;
pub(crate) mod kept_connections;
pub(crate) mod making_room;
pub(crate) mod registry;
pub(crate) mod room;
pub(crate) mod slow_clients;
pub(crate) mod slow_readers;
