//! How many of the last requests were slow, and what follows for the mode.
//!
//! A statistic: any thread changes it, without order, and a lost update does not matter.

use crate::atomics::{AtomicU32, AtomicU64};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The moving average is in 1/65536, with a weight of 1/16 for the newest.
const ONE: u32 = 1 << 16;
const EAGER_ABOVE: u32 = ONE * 3 / 10;
const PULL_BELOW: u32 = ONE * 2 / 10;
/// Eager mode cannot tell a request that blocks from one that waits for the interpreter: both take long. So it is left from time to time:
/// if requests really block, a few ticks bring it back; if not, pull mode stays.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// The average, and when eager mode is to be left for a probe.
#[derive(Debug, Default)]
pub(super) struct Slowness {
    average: AtomicU32,
    probe_at_us: AtomicU64,
}

impl Slowness {
    /// One more request has ended, or has been found out as slow.
    #[inline]
    pub fn note(&self, slow: bool) {
        let old = self.average.load(Ordering::Relaxed);
        if old == 0 && !slow {
            return;
        }
        let new = if slow { old + (ONE - old) / 16 } else { old - old.div_ceil(16) };
        self.average.store(new, Ordering::Relaxed);
    }

    /// Whether so many are slow that waiting for a tick each time costs more than waking a thread for each request.
    pub fn asks_for_eagerness(&self) -> bool {
        self.average.load(Ordering::Relaxed) > EAGER_ABOVE
    }

    /// Eager mode begins, so long after the scheduler's start.
    pub fn begin_eagerness(&self, since_start: Duration) {
        self.probe_at_us.store((since_start + PROBE_EVERY).as_micros() as u64, Ordering::Relaxed);
    }

    /// Whether eager mode is to be left now: because requests are quick, or for a probe, after which one slow request brings it back.
    pub fn ends_eagerness(&self, since_start: Duration) -> bool {
        if self.average.load(Ordering::Relaxed) < PULL_BELOW {
            return true;
        }
        let is_probe = since_start.as_micros() as u64 > self.probe_at_us.load(Ordering::Relaxed);
        if is_probe {
            self.average.store(EAGER_ABOVE - 1, Ordering::Relaxed);
        }
        is_probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_requests_bring_eager_mode_and_quick_ones_end_it() {
        let slowness = Slowness::default();
        slowness.begin_eagerness(Duration::ZERO);
        for _ in 0..8 {
            slowness.note(true);
        }
        assert!(slowness.asks_for_eagerness());
        assert!(!slowness.ends_eagerness(PROBE_EVERY / 2));
        for _ in 0..12 {
            slowness.note(false);
        }
        assert!(slowness.ends_eagerness(PROBE_EVERY / 2));
    }

    #[test]
    fn a_probe_needs_one_slow_request_to_bring_it_back() {
        let slowness = Slowness::default();
        for _ in 0..100 {
            slowness.note(true);
        }
        slowness.begin_eagerness(Duration::ZERO);
        assert!(slowness.ends_eagerness(PROBE_EVERY * 2));
        assert!(!slowness.asks_for_eagerness());
        slowness.note(true);
        assert!(slowness.asks_for_eagerness());
    }
}
