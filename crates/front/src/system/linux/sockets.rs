//! What Linux says of sockets, and how it accepts and sends.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};

use socket2::{SockAddr, Socket};

/// Flags of send: a client that has gone must not kill the process by SIGPIPE.
pub(crate) const SEND: libc::c_int = libc::MSG_NOSIGNAL;
/// The same; what follows at once may share the last packet.
pub(crate) const SEND_BEFORE_MORE: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_MORE;

/// The next connection of a listener, non-blocking; WouldBlock when there is none.
#[inline]
pub(crate) fn accept(listener: RawFd) -> io::Result<(Socket, SockAddr)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `try_init` gives room for any address and its size; accept4 fills both. The new socket has no other owner.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let raw = libc::accept4(listener, storage.cast(), len, flags);
            if raw < 0 { Err(io::Error::last_os_error()) } else { Ok(Socket::from_raw_fd(raw)) }
        })
    }
}

/// Whether an error of [`accept`] says nothing about the listener (accept(2)): pending network errors of the new socket, a firewall, an
/// interruption.
pub(crate) fn concerns_one_connection(code: i32) -> bool {
    matches!(
        code,
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
            | libc::ECONNRESET
    )
}

/// Connections that nobody has accepted yet; 0 for what is no TCP socket.
pub(crate) fn waiting_on(listener: RawFd) -> u64 {
    // SAFETY: all zeros is a valid value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: room for the result, and its size.
    let failed = unsafe {
        libc::getsockopt(listener, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    } != 0;
    // Of a listening socket this field is the length of its queue.
    if failed { 0 } else { u64::from(info.tcpi_unacked) }
}

/// Bytes that the other machine has not confirmed.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: the socket is open, and there is room for the number that the call writes.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } != 0;
    if failed { 0 } else { u64::try_from(count).unwrap_or_default() }
}

/// Who has connected a unix socket.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of_val(&found) as libc::socklen_t;
    // SAFETY: the socket is open; room for a ucred and its size are given.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    // 0: a process of another namespace.
    (failed == 0 && found.pid > 0).then_some(found.pid.unsigned_abs())
}
