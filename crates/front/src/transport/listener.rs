//! Listening sockets: what each is for, and accepting from it.
//!
//! The sockets come bound and listening (the supervisor or the embedding process owns their addresses); here they are made non-blocking and
//! accepted from. TCP and unix sockets are alike but for the peer's name. A listener outlives its socket: a connection that came
//! by it still belongs to it after a drain has closed the socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use socket2::{SockRef, Socket};

use crate::system;
use crate::transport::Transport;
use crate::transport::peer::Peer;
use crate::transport::tls::Encryption;

/// What a client of a listener gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The application.
    #[default]
    Application,
    /// Health checks, and nothing else.
    Admin,
    /// One line, by the protocol of HAProxy's agent-check.
    Agent,
    /// The same address by https.
    Redirect,
    /// Nothing: the client speaks HTTP where HTTPS is spoken. Of connections, never of listeners.
    PlainOnTls,
}

/// What a client of a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    #[default]
    Http1,
    /// Those, or HTTP/2 by a client that knows of it before (RFC 9113 section 3.3): its first bytes say which.
    Either,
}

/// A listener as the embedding process describes it.
#[derive(Debug)]
pub struct ListenerSettings {
    /// Bound and listening.
    pub socket: OwnedFd,
    /// See [`Role`].
    pub role: Role,
    /// See [`Protocol`].
    pub protocol: Protocol,
    /// Whether its connections are encrypted.
    pub tls: bool,
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
    /// Errors that stay must be distinguished from those that do not, or the loop would ask for ever.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Trouble::NoResources,
            Some(code) if system::concerns_one_connection(code) => Trouble::OneConnection,
            _ => Trouble::NoListener,
        }
    }
}

/// What every connection of a listener has from it.
#[derive(Clone, Copy, Debug)]
pub struct ListenerKind {
    /// Its place among those with the same role; those of applications are the workers' numbers for them.
    pub number: u16,
    /// See [`Role`].
    pub role: Role,
    /// See [`Protocol`].
    pub protocol: Protocol,
    /// Whether its connections are encrypted.
    pub tls: bool,
}

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener {
    /// See [`ListenerKind`].
    pub kind: ListenerKind,
    /// There may be connections that nobody has accepted.
    pub may_have_more: bool,
    /// None when it is closed.
    socket: Option<OwnedFd>,
}

impl Listener {
    /// Takes over a socket that is bound and listens.
    pub fn new(settings: ListenerSettings, number: u16) -> io::Result<Self> {
        let ListenerSettings { socket, role, protocol, tls } = settings;
        let reference = SockRef::from(&socket);
        reference.set_nonblocking(true)?;
        if !reference.local_addr()?.is_unix() {
            // Accepted sockets inherit it. Responses leave in one piece anyway; streamed pieces must not wait for each other.
            reference.set_tcp_nodelay(true)?;
        }
        let kind = ListenerKind { number, role, protocol, tls };
        Ok(Listener { kind, may_have_more: true, socket: Some(socket) })
    }

    /// Its address, for people.
    pub fn name(&self) -> String {
        let Some(socket) = &self.socket else { return "(closed)".to_owned() };
        let Ok(address) = SockRef::from(socket).local_addr() else { return "?".to_owned() };
        match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => address.to_string(),
            (None, Some(path)) => format!("unix:{}", path.display()),
            (None, None) => "a unix socket without a name".to_owned(),
        }
    }

    /// Whether somebody waits to be accepted.
    pub fn has_waiting(&self) -> bool {
        let Some(raw) = self.raw() else { return false };
        let mut ready = libc::pollfd { fd: raw, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, no waiting.
        unsafe { libc::poll(&raw mut ready, 1, 0) == 1 }
    }

    /// Closes the socket; `before` is called with its descriptor.
    pub fn close(&mut self, before: impl FnOnce(RawFd)) {
        self.may_have_more = false;
        if let Some(socket) = self.socket.take() {
            before(socket.as_raw_fd());
        }
    }

    /// The raw descriptor, for registration; None when it is closed.
    pub fn raw(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Connections that nobody has accepted yet, as far as the system tells: not for unix sockets.
    pub fn waiting(&self) -> u64 {
        self.raw().map_or(0, system::waiting_on)
    }

    /// The next connection, non-blocking; WouldBlock when there is none, or the listener is closed.
    pub fn accept(&self, encryption: Option<&Encryption>) -> io::Result<(Transport, Peer)> {
        let Some(raw) = self.raw() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (socket, address) = system::accept(raw)?;
        // The failure of a connection that exists, which is none of the listener's.
        let transport = self
            .transport(socket, encryption)
            .map_err(|_| io::Error::from_raw_os_error(libc::ECONNABORTED))?;
        Ok((transport, Peer::new(&address)))
    }

    /// How the bytes of a socket that came by this listener travel. What is to be encrypted and cannot be is an error.
    pub fn transport(&self, socket: Socket, encryption: Option<&Encryption>) -> io::Result<Transport> {
        match encryption {
            _ if !self.kind.tls => Ok(Transport::plain(socket)),
            Some(encryption) => Transport::encrypted(socket, encryption),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "there is nothing to encrypt with")),
        }
    }
}

/// All listeners.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Vec<Listener>,
}

impl Listeners {
    /// Takes over sockets that are bound and listen.
    pub fn new(all: Vec<ListenerSettings>) -> io::Result<Self> {
        let mut listeners = Listeners::default();
        for settings in all {
            let number = listeners.count(settings.role);
            listeners.all.push(Listener::new(settings, number)?);
        }
        Ok(listeners)
    }

    /// How many there are with a role.
    pub fn count(&self, role: Role) -> u16 {
        self.all.iter().filter(|listener| listener.kind.role == role).count() as u16
    }

    /// All of them, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.all.iter()
    }

    /// The listener at an index of [`Listeners::iter`].
    pub fn get(&self, index: usize) -> Option<&Listener> {
        self.all.get(index)
    }

    /// See [`Listeners::get`].
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Listener> {
        self.all.get_mut(index)
    }

    /// The listener with a number among those of a role.
    pub fn find(&self, role: Role, number: u16) -> Option<&Listener> {
        self.all.iter().find(|listener| listener.kind.role == role && listener.kind.number == number)
    }

    /// Whether there may be connections that nobody has accepted, on a listener that is accepted from: those for the application only if
    /// `serves_application`.
    #[inline]
    pub fn may_have_more(&self, serves_application: bool) -> bool {
        self.all
            .iter()
            .any(|one| one.may_have_more && (serves_application || one.kind.role != Role::Application))
    }

    /// All of them are to be looked at, though no event has come.
    pub fn look_again(&mut self) {
        for listener in &mut self.all {
            listener.may_have_more = listener.socket.is_some();
        }
    }

    /// Closes the sockets; `before` is called with each descriptor.
    pub fn close(&mut self, mut before: impl FnMut(RawFd)) {
        for listener in &mut self.all {
            listener.close(&mut before);
        }
    }

    /// The port of the first listener on which the application is served encrypted.
    pub fn https_port(&self) -> Option<u16> {
        let first = self.all.iter().find(|one| one.kind.tls && one.kind.role == Role::Application)?;
        let address = SockRef::from(first.socket.as_ref()?).local_addr().ok()?;
        address.as_socket().map(|address| address.port())
    }

    /// Connections that nobody has accepted yet, of all together.
    pub fn waiting(&self) -> u64 {
        self.all.iter().map(Listener::waiting).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(socket: impl Into<OwnedFd>, role: Role) -> ListenerSettings {
        ListenerSettings { socket: socket.into(), role, protocol: Protocol::Http1, tls: false }
    }

    #[test]
    fn what_waits_is_counted() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = Listener::new(settings(tcp, Role::Application), 0).unwrap();
        assert_eq!((listener.waiting(), listener.has_waiting()), (0, false));
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        assert_eq!((listener.waiting(), listener.has_waiting()), (3, true));
        assert_eq!(listener.name(), address.to_string());
        let directory = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(directory.path().join("x")).unwrap();
        let unix = Listener::new(settings(unix, Role::Application), 0).unwrap();
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
        let listener = Listener::new(settings(tcp, Role::Application), 0).unwrap();
        other.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(Trouble::of(&listener.accept(None).unwrap_err()), Trouble::NoListener);
    }

    #[test]
    fn numbers_count_for_each_role_and_outlive_the_sockets() {
        let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let roles = [Role::Application, Role::Admin, Role::Application];
        let all = roles.map(|role| settings(socket(), role));
        let mut listeners = Listeners::new(all.into()).unwrap();
        let numbers: Vec<_> = listeners.iter().map(|one| (one.kind.role, one.kind.number)).collect();
        assert_eq!(numbers, [(Role::Application, 0), (Role::Admin, 0), (Role::Application, 1)]);
        assert!(listeners.may_have_more(false));
        if let Some(admin) = listeners.get_mut(1) {
            admin.may_have_more = false;
        }
        assert!(listeners.may_have_more(true) && !listeners.may_have_more(false));
        let mut closed = 0;
        listeners.close(|_| closed += 1);
        assert_eq!((closed, listeners.may_have_more(true), listeners.waiting()), (3, false, 0));
        listeners.look_again();
        assert!(!listeners.may_have_more(true));
        assert_eq!(listeners.find(Role::Application, 1).map(|one| one.kind.number), Some(1));
    }

    #[test]
    fn what_cannot_be_encrypted_is_not_served_in_the_clear() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let settings = ListenerSettings { tls: true, ..settings(socket, Role::Application) };
        let listener = Listener::new(settings, 0).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept(None).map(|_| ()).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
