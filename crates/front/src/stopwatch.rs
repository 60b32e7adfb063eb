//! Time since the front began, in microseconds: one call of the system's clock, and no arithmetic of time spans.

use std::mem;

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    began_us: u64,
}

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Stopwatch { began_us: monotonic_us() }
    }

    /// How long it has run.
    #[inline]
    pub fn us(self) -> u64 {
        monotonic_us().saturating_sub(self.began_us)
    }
}

#[inline]
fn monotonic_us() -> u64 {
    // SAFETY: all zeros is a valid value.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: writes to `time`. The clock exists on every Linux, so there is nothing that could fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    // Below 10^9, and of 32 bits a division takes a fraction of the time.
    time.tv_sec as u64 * 1_000_000 + u64::from(time.tv_nsec as u32 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn it_runs_as_the_usual_clock_does() {
        let (outer, watch) = (Instant::now(), Stopwatch::start());
        let inner = Instant::now();
        let mut last = 0;
        while inner.elapsed().as_millis() < 20 {
            let now = watch.us();
            assert!(now >= last);
            last = now;
        }
        let (least, now, most) = (inner.elapsed().as_micros(), watch.us(), outer.elapsed().as_micros());
        assert!(least <= u128::from(now) + 1 && u128::from(now) <= most + 1, "{least} {now} {most}");
    }
}
