//! What another thread of this process does, as the kernel tells: the processor time that it has used, and whether it lacks a processor.
//!
//! Owns the thread's clock and number while it has a seat. Must not know the scheduler. May be asked from any thread.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::system;

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
        let own = system::own_thread();
        let is_free = self.clock.compare_exchange(0, own.clock, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_free {
            self.thread.store(own.number, Ordering::Relaxed);
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
        if clock == 0 { None } else { system::thread_time(clock) }
    }

    /// Whether the thread runs, or would if it had a processor; false where that cannot be found out.
    pub fn is_runnable(&self) -> bool {
        system::is_runnable(self.thread.load(Ordering::Relaxed))
    }
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
}
