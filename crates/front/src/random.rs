//! Numbers that nobody can guess.

/// Nobody has to guess the boundary of a response with several parts; a failure of the system makes it only less random.
pub(crate) fn random() -> u128 {
    let mut drawn = [0u8; 16];
    // SAFETY: writes at most 16 bytes to `drawn`.
    unsafe { libc::getrandom(drawn.as_mut_ptr().cast(), drawn.len(), 0) };
    u128::from_ne_bytes(drawn)
}
