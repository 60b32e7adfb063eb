//! How many threads a worker has, how many of them have nothing to do, and how many too many there are.
//!
//! Owns these counts, and the alarm that goes off when the last idle thread has gone to a request. Decides nothing: who makes threads
//! looks at [`Crowding`] and says how many of the idle ones shall leave. Must not know which thread takes what: that is `scheduler`'s.
//!
//! A thread counts as idle from the moment it begins to wait until it has taken a request. So the counts change when a thread
//! runs out of work, not with each request.
//!
//! # Who touches what
//! | word | who |
//! |---|---|
//! | `members` | each thread for its own seat: once in, once out |
//! | `threads`, `idle`, `least_idle` | counted by the threads; `least_idle` is put back by the observer |
//! | `surplus` | set by who decides, counted down by idle threads that leave |
//! | `short` | futex: counts up when `idle` becomes 0 while somebody observes |

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::wake;

/// What an observer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowding {
    /// Threads that take requests.
    pub threads: u32,
    /// Those of them that wait for one.
    pub idle: u32,
    /// Most that were at a request at the same time since the last look.
    pub most_busy: u32,
    /// Requests that no thread has taken.
    pub waiting: u32,
    /// The oldest of these has waited at least for so long; 0 where a thread is idle, which will take it.
    pub head_age: Duration,
}

#[derive(Debug)]
pub(crate) struct Population {
    members: Vec<AtomicBool>,
    threads: AtomicU32,
    idle: AtomicU32,
    least_idle: AtomicU32,
    surplus: AtomicU32,
    short: AtomicU32,
    is_observed: AtomicBool,
}

impl Population {
    pub(crate) fn new(seats: usize) -> Self {
        Population {
            members: (0..seats).map(|_| AtomicBool::new(false)).collect(),
            threads: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            least_idle: AtomicU32::new(0),
            surplus: AtomicU32::new(0),
            short: AtomicU32::new(0),
            is_observed: AtomicBool::new(false),
        }
    }

    /// The thread of this seat takes requests from now on.
    pub(crate) fn enter(&self, seat: usize) {
        if let Some(member) = self.members.get(seat)
            && !member.swap(true, Ordering::SeqCst)
        {
            self.threads.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// It does no more, or is at something that is no request any more. May come twice, and from any thread while its own is not idle.
    pub(crate) fn leave(&self, seat: usize) {
        if let Some(member) = self.members.get(seat)
            && member.swap(false, Ordering::SeqCst)
        {
            self.threads.fetch_sub(1, Ordering::SeqCst);
            self.tell_if_short();
        }
    }

    pub(crate) fn is_member(&self, seat: usize) -> bool {
        self.members.get(seat).is_some_and(|member| member.load(Ordering::Relaxed))
    }

    pub(crate) fn begin_idling(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end_idling(&self) {
        let left = self.idle.fetch_sub(1, Ordering::SeqCst).saturating_sub(1);
        if left < self.least_idle.load(Ordering::Relaxed) {
            self.least_idle.fetch_min(left, Ordering::Relaxed);
        }
        if left == 0 {
            self.tell_if_short();
        }
    }

    fn tell_if_short(&self) {
        if self.is_observed.load(Ordering::SeqCst) && self.idle.load(Ordering::SeqCst) == 0 {
            self.tell();
        }
    }

    /// Ends the observer's wait.
    pub(crate) fn tell(&self) {
        self.short.fetch_add(1, Ordering::SeqCst);
        wake::wake(&self.short, u32::MAX, wake::Sharing::Private);
    }

    /// So many of the threads that idle, or come to idle, shall leave.
    pub(crate) fn set_surplus(&self, count: u32) {
        self.surplus.store(count, Ordering::SeqCst);
    }

    pub(crate) fn has_surplus(&self) -> bool {
        self.surplus.load(Ordering::SeqCst) > 0
    }

    /// Whether the calling thread, which idles, is one of those that shall leave.
    pub(crate) fn is_surplus(&self) -> bool {
        let less = |count: u32| count.checked_sub(1);
        self.surplus.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    fn look(&self, waiting: u32, head_age: Duration) -> Crowding {
        let (threads, idle) = (self.threads.load(Ordering::SeqCst), self.idle.load(Ordering::SeqCst));
        let least_idle = self.least_idle.swap(idle, Ordering::SeqCst).min(idle);
        Crowding { threads, idle, most_busy: threads.saturating_sub(least_idle), waiting, head_age }
    }

    /// Sleeps until no thread has been idle for `foresight` and nobody waits, or a request has waited for `patience` although no thread
    /// is idle; or until `timeout` is over. While fewer than `expected` threads have come, those that are missing count as idle. `queue` gives how many requests were
    /// ever handed over and ever taken.
    /// `is_over` ends the wait. For one observer at a time.
    pub(crate) fn observe(
        &self,
        wanted: &Wanted,
        queue: impl Fn() -> (u32, u32),
        is_over: impl Fn() -> bool,
    ) -> Crowding {
        let deadline = Instant::now() + wanted.timeout;
        // The requests up to this one were there at that time: as long as they have not all been taken, the head is as old at least.
        let mut mark: Option<(u32, Instant)> = None;
        let mut full_since: Option<Instant> = None;
        self.is_observed.store(true, Ordering::SeqCst);
        let crowding = loop {
            let ticket = self.short.load(Ordering::SeqCst);
            let now = Instant::now();
            let (given, taken) = queue();
            let waiting = given.wrapping_sub(taken);
            let is_full = self.idle.load(Ordering::SeqCst) == 0
                && self.threads.load(Ordering::SeqCst) >= wanted.expected;
            let age = match mark {
                Some((up_to, since)) if (up_to.wrapping_sub(taken) as i32) > 0 => now - since,
                _ => {
                    mark = (waiting > 0).then_some((given, now));
                    Duration::ZERO
                }
            };
            full_since = if is_full { full_since.or(Some(now)) } else { None };
            let is_due = match waiting {
                0 => full_since.is_some_and(|since| now - since >= wanted.foresight),
                _ => is_full && age >= wanted.patience,
            };
            if is_due {
                break self.look(waiting, age);
            }
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() || is_over() {
                break self.look(waiting, if is_full { age } else { Duration::ZERO });
            }
            // Full, or about to be: nothing tells when the next request comes, or a new thread. While one is idle it tells.
            let is_near = self.idle.load(Ordering::SeqCst) == 0
                || self.threads.load(Ordering::SeqCst) < wanted.expected;
            let pause = if is_near { left.min(wanted.tick) } else { left };
            wake::wait(&self.short, ticket, Some(pause), wake::Sharing::Private);
        };
        self.is_observed.store(false, Ordering::SeqCst);
        crowding
    }
}

/// What an observer waits for; see [`Scheduler::observe`](crate::Scheduler::observe).
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// How long a request has to wait, while all threads are at requests, before it is reported.
    pub patience: Duration,
    /// How long all threads have to be at requests, while none waits, before it is reported.
    pub foresight: Duration,
    /// How often it is looked while all threads are at requests.
    pub tick: Duration,
    /// When it returns in any case.
    pub timeout: Duration,
    /// So many threads there will be, or are already.
    pub expected: u32,
}
