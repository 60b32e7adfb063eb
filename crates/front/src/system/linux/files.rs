//! Reading without waiting, and randomness.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads what is in memory; fails with `WouldBlock` where a disk would have to be waited for.
pub(crate) fn read_at_once(file: BorrowedFd<'_>, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let place = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: the one place that is named is all of `room`, which is borrowed until the call returns.
    let count = unsafe { libc::preadv2(file.as_raw_fd(), &raw const place, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Fills `room`, which is of at most 256 bytes: so few always come at once. Before the system has any randomness, it stays as it is.
pub(crate) fn random(room: &mut [u8]) {
    debug_assert!(room.len() <= 256);
    // SAFETY: writes at most so many bytes to `room`.
    unsafe { libc::getrandom(room.as_mut_ptr().cast(), room.len(), 0) };
}
