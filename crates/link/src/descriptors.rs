//! Descriptors that travel beside a record or an answer: a spooled body's file, a file to send.
//!
//! A record can only carry a number. Within one process the number is the descriptor itself, and giving it away means handing
//! over the duty to close it. Between processes it will name a descriptor passed over a unix socket; only this file will know.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Gives a descriptor to the other end; the number must reach [`take`] there exactly once.
pub fn give(descriptor: OwnedFd) -> u64 {
    descriptor.into_raw_fd() as u64
}

/// Takes over a descriptor given by the other end; None for a number that cannot be one.
///
/// # Safety
/// `token` must come from [`give`] in this process and not have been taken before.
pub unsafe fn take(token: u64) -> Option<OwnedFd> {
    let raw = RawFd::try_from(token).ok()?;
    // SAFETY: the caller vouches that the number is an open descriptor without an owner.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}
