//! Numbers that nobody can guess.

use crate::system;

/// Nobody has to guess the boundary of a response with several parts; a failure of the system makes it only less random.
pub(crate) fn random() -> u128 {
    let mut drawn = [0u8; 16];
    system::random(&mut drawn);
    u128::from_ne_bytes(drawn)
}
