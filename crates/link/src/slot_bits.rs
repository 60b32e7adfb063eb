//! Bitmaps with a bit for each slot: one end sets bits, the other takes them.

use crate::atomics::AtomicU64;
use std::sync::atomic::Ordering;

/// Clears the bits of `words`, and calls `found` with the number of each that was set.
#[inline]
pub(crate) fn take_bits(words: &[AtomicU64], mut found: impl FnMut(u32)) {
    for (word, bits) in words.iter().enumerate() {
        if bits.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let mut set = bits.swap(0, Ordering::SeqCst);
        while set != 0 {
            found((word * 64) as u32 + set.trailing_zeros());
            set &= set - 1;
        }
    }
}
