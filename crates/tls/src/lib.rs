//! TLS as pelton speaks it: a thin layer over rustls, without I/O.
//!
//! Owns what is specific to rustls and to certificates: reading them from PEM, choosing one for a client, the keys of session
//! tickets, a session's records, what an application learns of a client's certificate. Must not know sockets, files, HTTP or Python; bytes
//! and the time come in as arguments. Nothing here waits.

pub mod authority;
pub mod certificate;
pub mod cipher;
pub mod client;
pub mod config;
pub mod key;
pub mod make;
pub mod ocsp;
pub mod pair;
pub mod resolver;
pub mod session;
pub mod ticket;

#[cfg(test)]
mod tests;

use std::fmt;

pub use config::{ClientCertificates, ServerSettings, Tls};
pub use pair::Pair;
pub use session::{Failure, Session};
pub use ticket::TicketKeys;

/// What is wrong with a certificate, a key or a setting, for the person who has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}
