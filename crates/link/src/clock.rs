//! The one clock that all processes of a link read alike.
//!
//! `Instant` cannot be put into shared memory; milliseconds since boot can. The coarse clock moves every few milliseconds and is read without
//! a system call, so it may be asked once per request. Any thread may ask.

/// Milliseconds of CLOCK_MONOTONIC_COARSE: the same in every process, never going back, a few milliseconds behind. Never 0.
pub fn coarse_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`. The clock exists on every Linux; were it missing, `time` would stay 0 and nothing would ever be overdue.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    // The first millisecond after boot is not worth a second meaning of 0, which says "unknown" in the region.
    (time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_and_does_not_go_back() {
        let first = coarse_ms();
        let mut last = first;
        let began = std::time::Instant::now();
        while last == first {
            let now = coarse_ms();
            assert!(now >= last && began.elapsed().as_secs() < 20);
            last = now;
        }
    }
}
