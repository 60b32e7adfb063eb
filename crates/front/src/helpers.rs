//! A few threads for what would hold up the event loop: reading from a cold disk, compressing large pieces.
//!
//! Owns the threads, which are started with the first job and end with the loop. A job owns all that it needs, and gives one value
//! back; the loop is woken by its doorbell and takes the values in its next turn. At most one job of a connection is under way at
//! a time, so the queue is bounded by the number of connections.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use pelton_link::Doorbell;

type Job<D> = Box<dyn FnOnce() -> D + Send>;

/// More would compete with the workers for the processors.
const MOST_THREADS: usize = 4;

#[derive(Debug)]
struct State<D> {
    queue: Mutex<Queue<D>>,
    wanted: Condvar,
    done: Mutex<Vec<D>>,
    has_done: AtomicBool,
    doorbell: Arc<Doorbell>,
}

struct Queue<D> {
    jobs: VecDeque<Job<D>>,
    has_ended: bool,
}

impl<D> std::fmt::Debug for Queue<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("jobs", &self.jobs.len()).field("has_ended", &self.has_ended).finish()
    }
}

/// `D` is what jobs give back.
#[derive(Debug)]
pub struct Helpers<D: Send + 'static> {
    state: Arc<State<D>>,
    threads: usize,
    /// See `most`; None before somebody has asked.
    most: Option<usize>,
}

impl<D: Send + 'static> Helpers<D> {
    /// No thread yet; `doorbell` wakes whoever takes the results.
    pub fn new(doorbell: Arc<Doorbell>) -> Self {
        let state = State {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), has_ended: false }),
            wanted: Condvar::new(),
            done: Mutex::new(Vec::new()),
            has_done: AtomicBool::new(false),
            doorbell,
        };
        Helpers { state: Arc::new(state), threads: 0, most: None }
    }

    /// Has `job` done by a helper. Where no thread can be started it is done here and now.
    pub fn run(&mut self, job: impl FnOnce() -> D + Send + 'static) {
        let waiting = {
            let mut queue = self.state.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.jobs.push_back(Box::new(job));
            queue.jobs.len()
        };
        if self.threads == 0 || (waiting > 1 && self.threads < self.most()) {
            let state = Arc::clone(&self.state);
            let started = thread::Builder::new().name("pelton-helper".into()).spawn(move || work(&state));
            match started {
                Ok(_) => self.threads += 1,
                Err(_) if self.threads == 0 => {
                    let next =
                        self.state.queue.lock().unwrap_or_else(PoisonError::into_inner).jobs.pop_back();
                    if let Some(job) = next {
                        self.state.give_back(job());
                    }
                }
                // Those that there are will come to it.
                Err(_) => {}
            }
        }
        self.state.wanted.notify_one();
    }

    /// How many threads there may be. To find it out takes twenty system calls, for it also looks for a quota.
    fn most(&mut self) -> usize {
        let find = || thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        *self.most.get_or_insert_with(find)
    }

    /// What has been done since the last call.
    #[inline]
    pub fn take(&self) -> Vec<D> {
        if !self.state.has_done.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.state.has_done.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.state.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<D: Send + 'static> Drop for Helpers<D> {
    /// What waits is given up. A helper that waits for a disk ends when that has answered; nobody waits for it.
    fn drop(&mut self) {
        let mut queue = self.state.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.has_ended = true;
        queue.jobs.clear();
        self.state.wanted.notify_all();
    }
}

impl<D> State<D> {
    fn give_back(&self, value: D) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(value);
        self.has_done.store(true, Ordering::Relaxed);
        // The ring is a system call, which orders both before it.
        self.doorbell.ring();
    }
}

fn work<D>(state: &State<D>) {
    loop {
        let job = {
            let mut queue = state.queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if queue.has_ended {
                    return;
                }
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                queue = state.wanted.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        };
        state.give_back(job());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_are_done_beside_and_come_back() {
        let doorbell = Arc::new(Doorbell::new().unwrap());
        let mut helpers = Helpers::new(doorbell);
        let (done, all_done) = mpsc::channel();
        for number in 0..20_u32 {
            let done = done.clone();
            helpers.run(move || {
                done.send(()).unwrap();
                (number, thread::current().id())
            });
        }
        for _ in 0..20 {
            all_done.recv().unwrap();
        }
        let mut found = Vec::new();
        while found.len() < 20 {
            found.extend(helpers.take());
            thread::yield_now();
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        assert!(found.iter().map(|(number, _)| *number).eq(0..20));
        assert!(found.iter().all(|(_, thread)| *thread != thread::current().id()));
        assert!(helpers.take().is_empty());
    }

    #[test]
    fn what_waits_at_the_end_is_given_up() {
        struct OnDrop(mpsc::Sender<&'static str>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                let _ = self.0.send("dropped");
            }
        }
        let mut helpers = Helpers::new(Arc::new(Doorbell::new().unwrap()));
        let (hold, held) = mpsc::channel::<()>();
        let (tell, dropped) = mpsc::channel();
        let first = tell.clone();
        helpers.threads = MOST_THREADS;
        // Not one thread: nothing can be begun before the end.
        let waiting = OnDrop(tell);
        helpers.run(move || {
            let _ = held.recv();
            drop(waiting);
        });
        drop(helpers);
        assert_eq!(dropped.recv().unwrap(), "dropped");
        drop((hold, first));
    }
}
