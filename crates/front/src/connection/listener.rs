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

/// What an error of accept(2), other than WouldBlock, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The new connection has failed already; the next one may be fine.
    OneConnection,
    /// Descriptors or memory have run out.
    NoResources,
    /// The socket does not listen: nothing will ever come by it.
    NoListener,
}

impl Trouble {
    /// Errors that stay must be told from those that do not, or the loop would ask for ever.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Trouble::NoResources,
            // accept(2): pending network errors of the new socket, a firewall, an interruption.
            Some(
                libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
                | libc::ECONNRESET,
            ) => Trouble::OneConnection,
            _ => Trouble::NoListener,
        }
    }
}

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    descriptor: OwnedFd,
    /// It will never accept again; see [`Listener::close`].
    is_closed: bool,
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
        Ok(Listener { descriptor, is_closed: false })
    }

    /// Whether it was found to be of no use any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// It does not listen any more: somebody who has the same socket has shut it down. It keeps its place among the
    /// others, whose numbers are in use.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Its address, for people.
    pub fn name(&self) -> String {
        let Ok(address) = SockRef::from(&self.descriptor).local_addr() else { return "?".to_owned() };
        match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => address.to_string(),
            (None, Some(path)) => format!("unix:{}", path.display()),
            (None, None) => "a unix socket without a name".to_owned(),
        }
    }

    /// Whether somebody waits to be accepted.
    pub fn has_waiting(&self) -> bool {
        let mut ready = libc::pollfd { fd: self.raw(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, no waiting.
        unsafe { libc::poll(&raw mut ready, 1, 0) == 1 }
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
        assert_eq!((listener.waiting(), listener.has_waiting()), (0, false));
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        assert_eq!((listener.waiting(), listener.has_waiting()), (3, true));
        assert_eq!(listener.name(), address.to_string());
        let directory = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(directory.path().join("x")).unwrap();
        let unix = Listener::new(unix.into()).unwrap();
        assert_eq!(unix.waiting(), 0);
        assert!(unix.name().starts_with("unix:/") && unix.name().ends_with("/x"));
    }

    #[test]
    fn what_concerns_one_connection_does_not_close_the_listener() {
        for (code, want) in [
            (libc::ECONNABORTED, Trouble::OneConnection),
            (libc::EPERM, Trouble::OneConnection),
            (libc::EHOSTUNREACH, Trouble::OneConnection),
            (libc::EMFILE, Trouble::NoResources),
            (libc::ENOMEM, Trouble::NoResources),
            (libc::EINVAL, Trouble::NoListener),
            (libc::EBADF, Trouble::NoListener),
        ] {
            assert_eq!(Trouble::of(&io::Error::from_raw_os_error(code)), want, "{code}");
        }
    }

    #[test]
    fn a_listener_that_was_shut_down_is_none() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other = Socket::from(tcp.try_clone().unwrap());
        let listener = Listener::new(tcp.into()).unwrap();
        other.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(Trouble::of(&listener.accept().unwrap_err()), Trouble::NoListener);
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
