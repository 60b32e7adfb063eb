//! The system's clocks: those of all processes, and the processor time of a process or a thread.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// A line of /proc/self/task/N/stat up to the state: the number, a name of at most 15 bytes in brackets, one letter.
const STAT_BYTES: usize = 64;

const ZERO: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Microseconds of CLOCK_MONOTONIC_COARSE, which moves every few milliseconds and is read without a system call.
#[inline]
pub(crate) fn coarse_us() -> u64 {
    shown_us(libc::CLOCK_MONOTONIC_COARSE)
}

/// By how much it moves at a time.
pub(crate) fn coarse_step_us() -> u64 {
    let mut time = ZERO;
    // SAFETY: writes to `time`.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    us_of(time)
}

/// Microseconds of CLOCK_MONOTONIC.
#[inline]
pub(crate) fn fine_us() -> u64 {
    shown_us(libc::CLOCK_MONOTONIC)
}

/// Microseconds of processor time that a process and all of its threads have taken; None where there is no such process.
pub(crate) fn process_cpu_us(pid: u32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = ZERO;
    // SAFETY: the first writes to `clock`, the second to `time`; whether there is such a process the kernel finds out.
    let known = unsafe {
        libc::clock_getcpuclockid(libc::pid_t::try_from(pid).ok()?, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    known.then(|| us_of(time))
}

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

/// How the system knows a thread of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// Its processor clock; never 0.
    pub clock: i32,
    pub number: i32,
}

/// The calling thread.
pub(crate) fn own_thread() -> Thread {
    let mut clock = 0;
    // SAFETY: the calling thread exists; `clock` is written by the call.
    let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    // Clock ids of threads are never 0 (that is CLOCK_REALTIME); 1 would be CLOCK_MONOTONIC, which reads as "computes all the time".
    let clock = if failed == 0 { clock } else { libc::CLOCK_MONOTONIC };
    // SAFETY: no preconditions.
    Thread { clock, number: unsafe { libc::gettid() } }
}

/// The processor time of the thread with this clock; None where it has ended.
pub(crate) fn thread_time(clock: i32) -> Option<Duration> {
    let mut time = ZERO;
    // SAFETY: writes to `time`; an id whose thread has ended is reported as an error.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// Whether the thread with this number runs, or would if it had a processor; false where that cannot be found out.
pub(crate) fn is_runnable(number: i32) -> bool {
    let path = format!("/proc/self/task/{number}/stat");
    let mut text = [0; STAT_BYTES];
    let read = File::open(path).and_then(|mut file| file.read(&mut text)).unwrap_or_default();
    state_of(text.get(..read).unwrap_or_default()) == Some(b'R')
}

/// The letter behind the name, which may itself have brackets (proc(5)).
fn state_of(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_stands_behind_the_last_bracket() {
        assert_eq!(state_of(b"17 (a thread) S 1 2 3"), Some(b'S'));
        assert_eq!(state_of(b"17 (odd) R name) R 1 2"), Some(b'R'));
        assert_eq!(state_of(b"17 (cut"), None);
        assert_eq!(state_of(b""), None);
    }
}
