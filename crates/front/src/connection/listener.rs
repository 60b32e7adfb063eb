//! Listening sockets: accept, and who is at the other end.
//!
//! The sockets come bound and listening (the supervisor or the embedding process owns their addresses); here they are made
//! non-blocking and accepted from. TCP and unix sockets are alike but for the peer's name.

use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{SockAddr, SockRef, Socket};

/// Room for the longest textual IPv6 address.
const TEXT: usize = 46;

/// The other end of a connection, as text made once.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    text: [u8; TEXT],
    len: u8,
    /// 0 where there is none.
    pub port: u16,
    /// None for a unix socket, and for a client that a proxy hides.
    pub address: Option<(IpAddr, u16)>,
    /// A proxy says that it came by TLS.
    pub is_tls: bool,
}

impl Peer {
    /// The address; empty for a unix socket.
    pub fn text(&self) -> &[u8] {
        self.text.get(..self.len as usize).unwrap_or_default()
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
}

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    descriptor: OwnedFd,
}

impl Listener {
    /// Takes over a socket that is bound and listens.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&descriptor);
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.domain() != socket2::Domain::UNIX {
            // Accepted sockets inherit it. Answers leave in one piece anyway; streamed pieces must not wait for each other.
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Listener { descriptor })
    }

    /// The raw descriptor, for registration.
    pub fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Connections that nobody has accepted yet, as far as the system tells: not for unix sockets.
    pub fn waiting(&self) -> u64 {
        // SAFETY: all zeros is a valid value.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut length = std::mem::size_of_val(&info) as libc::socklen_t;
        // SAFETY: room for the answer, and its size.
        let failed = unsafe {
            libc::getsockopt(
                self.raw(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut length,
            )
        } != 0;
        // Of a listening socket this field is the length of its queue.
        if failed { 0 } else { u64::from(info.tcpi_unacked) }
    }

    /// The next connection, non-blocking; WouldBlock when there is none.
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: `try_init` gives room for any address and its size; accept4 fills both.
        let (socket, address) = unsafe {
            SockAddr::try_init(|storage, len| {
                let raw = libc::accept4(self.raw(), storage.cast(), len, flags);
                if raw < 0 { Err(io::Error::last_os_error()) } else { Ok(Socket::from_raw_fd(raw)) }
            })
        }?;
        Ok((socket, Peer::new(&address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn what_waits_is_counted() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = Listener::new(tcp.into()).unwrap();
        assert_eq!(listener.waiting(), 0);
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        assert_eq!(listener.waiting(), 3);
        let directory = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(directory.path().join("x")).unwrap();
        assert_eq!(Listener::new(unix.into()).unwrap().waiting(), 0);
    }

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
