//! WebSockets: the socket of a client is offered to a worker; over TLS and HTTP/2 bytes go to and fro here. Runs on the front's thread.

pub(crate) mod relays;
pub(crate) mod socket_offers;
pub(crate) mod socket_relays;
pub(crate) mod stream_relays;
pub(crate) mod tunnel;
