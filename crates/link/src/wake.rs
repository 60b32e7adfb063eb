//! Sleeping and waking across the link: futexes on words in the region, and the front's eventfd.
//!
//! Owns the two system interfaces and nothing else: who sleeps when, and which word means what, is
//! decided in `worker_end` and `scheduler`. Everything here may be called from any thread.
//!
//! A futex compares the word and goes to sleep in one step, so "I saw it empty" and "I sleep" cannot be
//! separated by a wake-up. Linux only; another system needs a word-compare-and-wait of its own
//! (`os_sync_wait_on_address` on macOS) behind these same three functions.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::fork::KeptFd;

/// Whether the words that are slept on may be mapped by another process.
///
/// The kernel finds the sleepers of a private word by address alone, which saves it a look at the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Both ends live in this process.
    Private,
    /// The region is mapped by several processes.
    Shared,
}

impl Sharing {
    fn flag(self) -> libc::c_int {
        match self {
            Sharing::Private => libc::FUTEX_PRIVATE_FLAG,
            Sharing::Shared => 0,
        }
    }
}

/// Sleeps while `word` holds `expected`, at most `timeout`. May return early for no reason: callers look again.
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, sharing: Sharing) {
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(t.subsec_nanos()),
    });
    let limit_ptr = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `word` is a live, aligned u32 for the whole call and `limit_ptr` is null or points to `limit`.
    // The result is of no interest: woken, timed out, changed and interrupted all mean "look again".
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | sharing.flag(), expected, limit_ptr);
    }
}

/// Wakes up to `count` threads that sleep on `word`.
pub fn wake(word: &AtomicU32, count: u32, sharing: Sharing) {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: FUTEX_WAKE only uses the address as a key; `word` is live.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | sharing.flag(), count);
    }
}

/// The descriptor that wakes the front out of its poll: an eventfd, so that ringing twice costs one wake-up.
#[derive(Debug)]
pub struct Doorbell {
    /// A forked child's rings nothing.
    descriptor: KeptFd,
}

impl Doorbell {
    /// Makes a doorbell. Fails when the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked before it is owned.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just made, is valid and has no other owner.
        Ok(Doorbell::from_descriptor(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// A doorbell that another process made: a non-blocking eventfd.
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Doorbell { descriptor: descriptor.into() }
    }

    /// Wakes the front. Never blocks: a full counter already means "awake".
    pub fn ring(&self) {
        let one: u64 = 1;
        // SAFETY: eight readable bytes, as eventfd(2) asks.
        unsafe {
            libc::write(self.descriptor.as_raw_fd(), ptr::from_ref(&one).cast(), 8);
        }
    }
}

impl Doorbell {
    /// Makes it unreadable until it is rung again. For who waits for it level-triggered.
    pub fn silence(&self) {
        let mut count: u64 = 0;
        // SAFETY: eight writable bytes; without blocking, as all doorbells are.
        unsafe {
            libc::read(self.descriptor.as_raw_fd(), ptr::from_mut(&mut count).cast(), 8);
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
