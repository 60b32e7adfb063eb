//! Where a connection comes from, as far as the system knows.

use std::net::SocketAddr;

/// Where a connection comes from, if that is this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The addresses of both ends, the client's first.
    Tcp(SocketAddr, SocketAddr),
    /// A unix socket, connected by this process.
    Process(u32),
}
