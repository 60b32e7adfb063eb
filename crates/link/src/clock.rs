//! The clocks that all processes of a link read alike.
//!
//! `Instant` cannot be put into shared memory; milliseconds since boot can. The coarse clock moves every few milliseconds and is read without
//! a system call, so it may be asked once per request. Any thread may ask.

/// Milliseconds of CLOCK_MONOTONIC_COARSE: the same in every process, never going back, a few milliseconds behind. Never 0.
pub fn coarse_ms() -> u64 {
    // The first millisecond after boot is not worth a second meaning of 0, which says "unknown" in the region.
    (coarse_us() / 1000).max(1)
}

/// The same in microseconds.
pub fn coarse_us() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(us) = virtual_us() {
        return us;
    }
    shown_us(libc::CLOCK_MONOTONIC_COARSE)
}

/// By how much it moves at a time: so long after it was read it shows the same.
pub fn coarse_step_us() -> u64 {
    #[cfg(feature = "simulation")]
    if virtual_us().is_some() {
        return 0;
    }
    let mut time = ZERO;
    // SAFETY: writes to `time`.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    us_of(time)
}

/// Microseconds of CLOCK_MONOTONIC: exact, never going back. `Instant` reads the same clock, and takes several times as long to say how many of
/// them lie between two of its values, which the front asks in each turn.
pub fn fine_us() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(us) = virtual_us() {
        return us;
    }
    shown_us(libc::CLOCK_MONOTONIC)
}

/// Microseconds of processor time that a process and all of its threads have taken; None where there is no such process.
pub fn process_cpu_us(pid: u32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = ZERO;
    // SAFETY: the first writes to `clock`, the second to `time`; whether there is such a process the kernel finds out.
    let known = unsafe {
        libc::clock_getcpuclockid(libc::pid_t::try_from(pid).ok()?, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    known.then(|| us_of(time))
}

const ZERO: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

#[inline]
fn us_of(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// What a clock shows that every Linux has.
#[inline]
fn shown_us(clock: libc::clockid_t) -> u64 {
    let mut time = ZERO;
    // SAFETY: writes to `time`. Were the clock missing, `time` would stay 0 and nothing would ever be overdue.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    us_of(time)
}

#[cfg(feature = "simulation")]
thread_local! {
    static VIRTUAL_US: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "simulation")]
fn virtual_us() -> Option<u64> {
    VIRTUAL_US.get()
}

/// For simulations: from now on both clocks show this time, for this thread; None for the real one.
#[cfg(feature = "simulation")]
pub fn set_virtual_us(us: Option<u64>) {
    VIRTUAL_US.set(us);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fine_clock_agrees_with_the_coarse_one() {
        let (coarse, fine, later) = (coarse_ms(), fine_us(), fine_us());
        // The coarse clock is behind by a tick at most, which is 10 ms where ticks are longest; this thread may be away for longer.
        assert!(fine / 1000 >= coarse && later >= fine && coarse_ms() + 10 >= fine / 1000);
    }

    #[test]
    fn a_process_has_a_clock_while_it_is_there() {
        let before = process_cpu_us(std::process::id()).unwrap();
        while process_cpu_us(std::process::id()).unwrap() == before {}
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(process_cpu_us(child.id()), None);
        assert_eq!(process_cpu_us(u32::MAX), None);
    }

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
