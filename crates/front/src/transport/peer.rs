//! Who is at the other end of a connection, as text made once.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

/// Room for the longest textual IPv6 address.
const TEXT: usize = 46;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    text: [u8; TEXT],
    len: u8,
    /// 0 where there is none.
    pub port: u16,
    /// None for a unix socket, and for a client that a proxy hides.
    pub address: Option<(IpAddr, u16)>,
    /// It came by TLS: here, or as a proxy says.
    pub is_tls: bool,
}

impl Peer {
    /// The address; empty for a unix socket.
    pub fn text(&self) -> &[u8] {
        self.text.get(..self.len as usize).unwrap_or_default()
    }

    /// The same client, by an encrypted connection or not.
    pub(crate) fn by_tls(self, is_tls: bool) -> Self {
        Peer { is_tls, ..self }
    }

    /// A client of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Peer { text: [0; TEXT], len: 0, port: 0, address: None, is_tls: false }
    }

    pub(crate) fn new(address: &SockAddr) -> Self {
        let mut peer = Peer::unknown();
        if let Some(address) = address.as_socket() {
            peer.port = address.port();
            peer.address = Some((address.ip(), address.port()));
            let mut cursor = io::Cursor::new(&mut peer.text[..]);
            // `to_canonical`: a client that came over IPv4 to a dual-stack socket is shown by its IPv4 address.
            if write!(cursor, "{}", address.ip().to_canonical()).is_ok() {
                peer.len = cursor.position() as u8;
            }
        }
        peer
    }

    /// Whom a proxy names.
    pub fn named(ip: IpAddr, port: u16) -> Peer {
        Peer::new(&SocketAddr::new(ip, port).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_as_cgi_wants() {
        for (address, text, port) in [
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:8000", "::1", 8000),
            ("[::ffff:10.1.2.3]:9", "10.1.2.3", 9),
            (
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                65535,
            ),
        ] {
            let peer = Peer::new(&SockAddr::from(address.parse::<SocketAddr>().unwrap()));
            assert_eq!((peer.text(), peer.port), (text.as_bytes(), port));
        }
        let unix = Peer::new(&SockAddr::unix("/tmp/x").unwrap());
        assert_eq!((unix.text(), unix.port), (&b""[..], 0));
    }
}
