//! The clocks that all processes of a link read alike.
//!
//! `Instant` cannot be put into shared memory; milliseconds since boot can. The coarse clock moves every few milliseconds and is read without
//! a system call, so it may be asked once per request. Any thread may ask.

use crate::system;

/// Milliseconds of the coarse clock: the same in every process, never going back, a few milliseconds behind. Never 0.
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
    system::coarse_us()
}

/// By how much it moves at a time: so long after it was read it shows the same.
pub fn coarse_step_us() -> u64 {
    #[cfg(feature = "simulation")]
    if virtual_us().is_some() {
        return 0;
    }
    system::coarse_step_us()
}

/// Microseconds of the fine clock: exact, never going back. `Instant` reads the same clock, and takes several times as long to say how many of
/// them lie between two of its values, which the front asks in each turn.
pub fn fine_us() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(us) = virtual_us() {
        return us;
    }
    system::fine_us()
}

/// Microseconds of processor time that a process and all of its threads have taken; None where there is no such process.
pub fn process_cpu_us(pid: u32) -> Option<u64> {
    system::process_cpu_us(pid)
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
