//! Descriptors that stand for others.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor that is readable as long as one of the two is: an epoll instance can be waited for like any other file.
pub(crate) fn either_of(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed; the result is checked before it is owned.
    let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, valid, and without another owner.
    let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
    for descriptor in [one, other] {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: both descriptors are open and `event` lives for the call.
        let added = unsafe {
            libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor.as_raw_fd(), &raw mut event)
        };
        if added < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(epoll)
}

/// Makes a number lead to a socket that nobody can reach: never readable, and whatever is sent there fails. Not closed, because an object of this
/// process will close it, perhaps when the number is that of another file. For `fork`'s handler: only system calls.
pub(crate) fn lead_nowhere(descriptor: RawFd) {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; results are checked. Closing first makes room where all numbers are in use; only this thread runs.
    unsafe {
        libc::close(descriptor);
        let nowhere = libc::socket(libc::AF_UNIX, kind, 0);
        if nowhere >= 0 && nowhere != descriptor {
            libc::dup3(nowhere, descriptor, libc::O_CLOEXEC);
            libc::close(nowhere);
        }
    }
}
