//! Sleeping and waking across the link: words in the region that are slept on, and the descriptor that wakes the front.
//!
//! Who sleeps when, and which word means what, is decided in `worker_end` and `scheduler`; how, in `system`. Everything here may be called
//! from any thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::atomics::AtomicU32;
use crate::fork::KeptFd;
use crate::system;

/// Sleeps while `word` holds `expected`, at most `timeout`. May return early for no reason: callers look again.
#[inline]
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, sharing: Sharing) {
    #[cfg(feature = "interleavings")]
    if crate::atomics::is_played() {
        return crate::atomics::sleep(word, expected, timeout.is_some());
    }
    system::wait(word, expected, timeout, sharing);
}

/// Wakes up to `count` threads that sleep on `word`.
#[inline]
pub(crate) fn wake(word: &AtomicU32, count: u32, sharing: Sharing) {
    #[cfg(feature = "interleavings")]
    if crate::atomics::is_played() {
        return crate::atomics::wake(word, count);
    }
    system::wake(word, count, sharing);
}

/// Whether the words that are slept on may be mapped by another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Both ends live in this process.
    Private,
    /// The region is mapped by several processes.
    Shared,
}

/// The descriptor that wakes the front out of its poll; to ring it twice costs one wake-up.
#[derive(Debug)]
pub struct Doorbell {
    /// A forked child's rings nothing.
    descriptor: KeptFd,
}

impl Doorbell {
    /// Makes a doorbell. Fails when the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        system::new_bell().map(Doorbell::from_descriptor)
    }

    /// A doorbell that another process made.
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Doorbell { descriptor: descriptor.into() }
    }

    /// Wakes the front. Never blocks.
    #[inline]
    pub fn ring(&self) {
        system::ring_bell(self.descriptor.as_fd());
    }

    /// Makes it unreadable until it is rung again. For who waits for it level-triggered.
    pub fn silence(&self) {
        system::silence_bell(self.descriptor.as_fd());
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
