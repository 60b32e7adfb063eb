//! The PROXY header, by which a proxy that does not speak HTTP says whom it connects: versions 1 and 2 of haproxy's
//! `proxy-protocol.txt`, whose sections are named here as PP.
//!
//! Owns the form of the header. Must not know who may send one: the caller asks
//! [`TrustedProxies`](crate::TrustedProxies) first, for a header from anybody else is an attack or a mistake in any case.
//! A connection either always begins with a header or never does; to guess by the first bytes would let clients choose
//! (PP section 2). Allocates nothing; what is malformed gets no response, because who sent it does not speak HTTP.

mod v1;
mod v2;

use std::fmt;
use std::net::IpAddr;

/// Most bytes that a header may have before the request begins. Version 1 needs 107; of version 2 the addresses and
/// what proxies are known to add (TLS, the cloud's own ids) stay far below this, and PP section 2.2 wants receivers to
/// be ready for 536 bytes.
pub const LONGEST_HEADER: usize = 4096;

/// What the bytes at the beginning of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; all bytes must be shown again, with more behind them.
    NeedMore,
    /// A header.
    Header(Header),
}

/// What a proxy says about the connection that it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client. None if the proxy speaks for itself (LOCAL, a health check), does not know (UNKNOWN), or got the
    /// connection by a unix socket: then the other end of the connection is what it is.
    pub source: Option<(IpAddr, u16)>,
    /// What the client connected to.
    pub destination: Option<(IpAddr, u16)>,
    /// Bytes of the header; behind them the first request begins.
    pub consumed: usize,
    /// Whether the client came by TLS; only version 2 can say so.
    pub tls: bool,
}

/// It is no header: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the PROXY header is malformed")
    }
}

impl std::error::Error for Malformed {}

/// Looks at the first bytes of a connection. What is wrong is refused as soon as it can be known.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    match bytes.first() {
        None => Ok(Parsed::NeedMore),
        Some(b'P') => v1::parse(bytes),
        Some(_) => v2::parse(bytes),
    }
}

/// Whether `bytes` may still become something that begins with `wanted`: None if not, else whether they do already.
fn begins_with(bytes: &[u8], wanted: &[u8]) -> Result<bool, Malformed> {
    if bytes.starts_with(wanted) {
        Ok(true)
    } else if wanted.starts_with(bytes) {
        Ok(false)
    } else {
        Err(Malformed)
    }
}
