//! Futexes on words of the region, and eventfds.
//!
//! A futex compares the word and goes to sleep in one step, so "I saw it empty" and "I sleep" cannot be separated by a wake-up.

use crate::atomics::AtomicU32;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use crate::wake::Sharing;

/// The kernel finds the sleepers of a private word by address alone, which saves it a look at the mapping.
fn flag(sharing: Sharing) -> libc::c_int {
    match sharing {
        Sharing::Private => libc::FUTEX_PRIVATE_FLAG,
        Sharing::Shared => 0,
    }
}

/// Sleeps while `word` holds `expected`, at most `timeout`. May return early for no reason: callers look again.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, sharing: Sharing) {
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(t.subsec_nanos()),
    });
    let limit_ptr = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `word` is a live, aligned u32 for the whole call and `limit_ptr` is null or points to `limit`.
    // The result is of no interest: woken, timed out, changed and interrupted all mean "look again".
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | flag(sharing), expected, limit_ptr);
    }
}

/// Wakes up to `count` threads that sleep on `word`.
pub(crate) fn wake(word: &AtomicU32, count: u32, sharing: Sharing) {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: FUTEX_WAKE only uses the address as a key; `word` is live.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | flag(sharing), count);
    }
}

/// A descriptor to ring: an eventfd, so that ringing twice costs one wake-up. Fails when the process has no descriptor left.
pub(crate) fn new_bell() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed; the result is checked before it is owned.
    let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` was just made, is valid and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes it readable. Never blocks: a full counter is readable already.
pub(crate) fn ring_bell(bell: BorrowedFd<'_>) {
    let one: u64 = 1;
    // SAFETY: eight readable bytes, as eventfd(2) asks.
    unsafe {
        libc::write(bell.as_raw_fd(), ptr::from_ref(&one).cast(), 8);
    }
}

/// Makes it unreadable until it is rung again.
pub(crate) fn silence_bell(bell: BorrowedFd<'_>) {
    let mut count: u64 = 0;
    // SAFETY: eight writable bytes; without blocking, as all bells are.
    unsafe {
        libc::read(bell.as_raw_fd(), ptr::from_mut(&mut count).cast(), 8);
    }
}
