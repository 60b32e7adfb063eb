//! What another thread of this process does, as the kernel tells: the processor time that it has used, and whether it lacks a processor.
//!
//! Owns the thread's clock and number while it has a seat. Must not know the scheduler. May be asked from any thread.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// A line of /proc/self/task/N/stat up to the state: the number, a name of at most 15 bytes in brackets, one letter.
const STAT_BYTES: usize = 64;

/// One thread, or none.
#[derive(Debug, Default)]
pub(crate) struct ThreadClock {
    /// 0 without a thread.
    clock: AtomicI32,
    thread: AtomicI32,
}

impl ThreadClock {
    /// Is that of the calling thread from now on; false where another thread has it.
    pub fn take_for_this_thread(&self) -> bool {
        let is_free = self.clock.compare_exchange(0, own_clock(), Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_free {
            // SAFETY: no preconditions.
            self.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        }
        is_free
    }

    /// The thread has gone.
    pub fn give_back(&self) {
        self.clock.store(0, Ordering::SeqCst);
    }

    /// The processor time that the thread has used; None without a thread.
    pub fn processor_time(&self) -> Option<Duration> {
        let clock = self.clock.load(Ordering::Relaxed);
        if clock == 0 {
            return None;
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes to `time`; an id whose thread has ended is reported as an error.
        if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
            return None;
        }
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }

    /// Whether the thread runs, or would if it had a processor; false where that cannot be found out.
    pub fn is_runnable(&self) -> bool {
        let path = format!("/proc/self/task/{}/stat", self.thread.load(Ordering::Relaxed));
        let mut text = [0; STAT_BYTES];
        let read = File::open(path).and_then(|mut file| file.read(&mut text)).unwrap_or_default();
        state_of(text.get(..read).unwrap_or_default()) == Some(b'R')
    }
}

/// The letter behind the name, which may itself have brackets (proc(5)).
fn state_of(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end + 2).copied()
}

fn own_clock() -> libc::clockid_t {
    let mut clock = 0;
    // SAFETY: the calling thread exists; `clock` is written by the call.
    let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    // Clock ids of threads are never 0 (that is CLOCK_REALTIME); 1 would be CLOCK_MONOTONIC, which reads as "computes all the time".
    if failed == 0 { clock } else { libc::CLOCK_MONOTONIC }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A thread with a clock of its own that does `work` once it has said so.
    fn beginning(work: impl FnOnce() + Send + 'static) -> (Arc<ThreadClock>, thread::JoinHandle<()>) {
        let clock = Arc::new(ThreadClock::default());
        let (began, begins) = mpsc::channel();
        let its_clock = Arc::clone(&clock);
        let thread = thread::spawn(move || {
            assert!(its_clock.take_for_this_thread());
            began.send(()).expect("the test waits");
            work();
        });
        begins.recv().expect("the thread begins");
        (clock, thread)
    }

    #[test]
    fn a_thread_that_computes_is_runnable_and_its_time_grows() {
        let ends = Arc::new(AtomicBool::new(false));
        let its_end = Arc::clone(&ends);
        let (clock, thread) = beginning(move || {
            while !its_end.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let before = clock.processor_time().expect("it has a thread");
        while clock.processor_time() == Some(before) {
            thread::yield_now();
        }
        assert!(clock.is_runnable());
        ends.store(true, Ordering::Relaxed);
        thread.join().expect("it ends");
    }

    #[test]
    fn a_thread_that_waits_is_not_runnable() {
        let (end, ends) = mpsc::channel::<()>();
        let (clock, thread) = beginning(move || {
            let _ = ends.recv();
        });
        // Until it has come to wait.
        while clock.is_runnable() {
            thread::yield_now();
        }
        drop(end);
        thread.join().expect("it ends");
    }

    #[test]
    fn a_clock_has_one_thread_at_a_time() {
        let clock = ThreadClock::default();
        assert_eq!(clock.processor_time(), None);
        assert!(clock.take_for_this_thread());
        assert!(!clock.take_for_this_thread());
        clock.give_back();
        assert!(clock.take_for_this_thread());
    }

    #[test]
    fn the_state_stands_behind_the_last_bracket() {
        assert_eq!(state_of(b"17 (a thread) S 1 2 3"), Some(b'S'));
        assert_eq!(state_of(b"17 (odd) R name) R 1 2"), Some(b'R'));
        assert_eq!(state_of(b"17 (cut"), None);
        assert_eq!(state_of(b""), None);
    }
}
