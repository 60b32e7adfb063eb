//! Which of a worker's threads takes the next request.
//!
//! # Why
//! Waking a thread for each request costs more than most requests. So one thread at a time, the *puller*, runs requests back to
//! back, without a system call and without giving up the GIL between them, as long as they are quick. Another thread, the *sentinel*,
//! looks every [`TICK`] whether the puller is still at the same request. If so, and if the interpreter lets it in, that request
//! blocks (or computes for long), and the sentinel takes the puller's role over. All other idle threads, the *crowd*, sleep.
//! Where most requests block, waiting for a tick each time is too slow: the scheduler is *eager* then, and the front
//! wakes one thread for each ready request.
//!
//! # Without the interpreter's lock
//! Threads compute side by side there, so there is a role of puller for each processor ([`Interpreter::Free`]). Role 0 is the one of before: whoever
//! has it sleeps on the bell. The others are held only by threads that run requests: a thread takes one when requests are left over
//! (a puller that leaves some wakes a thread; so does the sentinel, a tick later), and gives it up when it finds none. And that the
//! sentinel runs proves nothing there: it looks at the puller's processor clock for a tick, and then asks the kernel whether the puller
//! lacks a processor ([`crate::thread_clock`]). A puller that blocks loses the role. One that computes keeps it for [`judgement::LONGEST_TURN`] of processor
//! time, as long as the lock would have let it: while processors are short, more pullers would only slow each other down.
//!
//! # Guarantees
//! 1. A thread runs one request at a time, so never more than `threads` run at once, whoever pulls.
//! 2. In pull mode a ready request is never left lying: the role of puller is never vacant while any thread waits (each thread
//!    that comes to wait takes a vacant role), the puller sleeps only after it has seen the ring empty with its bell set, and a
//!    puller that is stuck in a request is watched as long as there is an idle thread.
//! 3. In eager mode a thread that finds the ring empty registers as a sleeper *before* it looks again.
//! 4. Waiting never holds the GIL, taking never blocks.
//!
//! # Who touches what
//! | word | who |
//! |---|---|
//! | `roles` = (sequence, running, puller) each | the puller for its own; a sentinel may replace the puller; a waiting thread may take a vacant role; all by compare-exchange |
//! | `sentinel` | taken when 0 by a waiting thread, given back by its holder; lies in `worker_end`, where reports are deferred while it is set |
//! | `nap` | futex: 1 while the sentinel sleeps without a time-out; whoever turns it to 0 wakes it |
//! | `slowness`, `tick` | anyone, relaxed: a statistic, a lost update does not matter |
//! | bell, crowd, crowd_waiting, eager | in the region, because the front reads them; see `layout` |
//!
//! Named races. *Take-over against finish*: the puller finishes while the sentinel decides; both change `role` by compare-exchange from
//! a value that names the sequence, so one of them fails: a sentinel that fails goes back to watching, a puller that fails is
//! an ordinary thread from then on. *Nap against start*: the sentinel sets `nap`, then looks at `role`; the puller sets `role`, then looks
//! at `nap`; both sequentially consistent, so at least one sees the other.

mod judgement;
mod slowness;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::layout::BELL_AWAKE;
use crate::population::{Crowding, Population, Wanted};
use crate::thread_clock::ThreadClock;
use crate::wake;
use crate::worker_end::{Taken, WorkerEnd};

use self::slowness::Slowness;
pub use self::waiting::Suspicion;

/// How long the same request may keep the puller before the sentinel acts.
pub const TICK: Duration = Duration::from_micros(200);
/// Threads there can be at the same time beyond those that were planned: for each request that stays on its thread (a WebSocket), and for
/// each permit that is lent.
pub const SPARE_THREADS: usize = 4096;

/// Pullers there can be; more processors than these are used only by requests that compute for longer than [`judgement::LONGEST_TURN`].
const MOST_PULLERS: usize = 64;

/// Whether the threads that the scheduler serves can run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// One at a time: [`Scheduler::try_take`] and [`Scheduler::take_over`] are called with the lock held.
    Locked,
    /// All of them.
    Free {
        /// On so many at once.
        processors: usize,
    },
}

/// A thread's place in the scheduler; made once by the thread itself.
#[derive(Debug)]
pub struct Seat {
    /// 1 to `threads`; 0 means nobody in the scheduler's words.
    number: u32,
    /// The role that it has, or had last.
    role: usize,
    /// When the running request began, in eager mode.
    began: Option<Instant>,
    /// Whether the last request was run as the puller.
    pulled: bool,
    /// Whether it counts as idle.
    is_idle: bool,
}

impl Seat {
    /// The number that it was asked for with.
    pub fn number(&self) -> usize {
        self.number as usize - 1
    }
}

/// What a thread that waited is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Try to take.
    Retry,
    /// The puller has been at one request for a whole tick. Get the GIL, then call [`Scheduler::take_over`].
    Suspect(Suspicion),
    /// Leave.
    Stop,
    /// There are more threads than are wanted: call [`Scheduler::leave`], this one is not needed.
    Leave,
}

/// Decides which of a worker's threads takes the next request.
#[derive(Debug)]
pub struct Scheduler {
    end: Arc<WorkerEnd>,
    /// One, or with a free interpreter one for each processor.
    roles: Box<[AtomicU64]>,
    interpreter: Interpreter,
    nap: AtomicU32,
    slowness: Slowness,
    /// The sentinel's present tick in microseconds: short after a take-over, longer as long as there is none.
    tick: AtomicU64,
    stopping: AtomicBool,
    /// Each thread's processor clock, while it has a seat.
    clocks: Vec<ThreadClock>,
    population: Population,
    started: Instant,
}

const RUNNING: u64 = 1 << 16;
const SEQUENCE: u64 = 1 << 17;

fn puller_of(role: u64) -> u32 {
    (role & 0xFFFF) as u32
}

fn with_puller(role: u64, puller: u32) -> u64 {
    (role & !(0xFFFF | RUNNING)) | u64::from(puller)
}

impl Scheduler {
    /// A scheduler for `threads` threads (at most 32,768), and [`SPARE_THREADS`] more, over one link.
    pub fn new(end: Arc<WorkerEnd>, threads: usize, interpreter: Interpreter) -> Self {
        let threads = threads.clamp(1, 0x8000);
        let pullers = match interpreter {
            Interpreter::Locked => 1,
            Interpreter::Free { processors } => processors.min(threads).clamp(1, MOST_PULLERS),
        };
        Scheduler {
            end,
            roles: (0..pullers).map(|_| AtomicU64::new(0)).collect(),
            interpreter,
            nap: AtomicU32::new(0),
            slowness: Slowness::default(),
            tick: AtomicU64::new(TICK.as_micros() as u64),
            stopping: AtomicBool::new(false),
            clocks: (0..threads + SPARE_THREADS).map(|_| ThreadClock::default()).collect(),
            population: Population::new(threads + SPARE_THREADS),
            started: Instant::now(),
        }
    }

    /// The seat of the calling thread, or None when `number` is out of range or taken.
    pub fn seat(&self, number: usize) -> Option<Seat> {
        if !self.clocks.get(number)?.take_for_this_thread() {
            return None;
        }
        Some(Seat { number: number as u32 + 1, role: 0, began: None, pulled: false, is_idle: false })
    }

    /// The thread of this seat takes requests: one of those that are counted.
    pub fn enter(&self, seat: &Seat) {
        self.population.enter(seat.number());
    }

    /// Gives the seat up, so that another thread can have its number. What it was to take is left to the others, of whom there has to be one.
    pub fn leave(&self, mut seat: Seat) {
        self.settle(&mut seat);
        self.give_up(seat);
        // What woke it may have meant that one is needed; whoever is woken now looks again.
        self.wake_crowd(1);
    }

    /// The same after a request that has gone on as something else (a WebSocket): how long it took says nothing about requests.
    pub fn give_up(&self, mut seat: Seat) {
        self.end_idling(&mut seat);
        self.vacate(seat.number());
        if let Some(clock) = self.clocks.get(seat.number()) {
            clock.give_back();
        }
    }

    /// The thread of this seat is at something that is no request any more: the others need not wait until its silence is found out. There has to
    /// be another thread. May be called from any thread while the seat's own is at a request that it took.
    pub fn vacate(&self, number: usize) {
        self.population.leave(number);
        for word in &self.roles {
            let mut role = word.load(Ordering::SeqCst);
            while puller_of(role) as usize == number + 1 {
                match word.compare_exchange(role, with_puller(role, 0), Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => {
                        // Whoever watches or sleeps takes the vacant role when it comes to wait again.
                        self.end_nap();
                        self.wake_crowd(1);
                        break;
                    }
                    Err(now) => role = now,
                }
            }
        }
    }

    /// Makes every thread leave once it has finished its request.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let sleepers = self.end.sleepers();
        sleepers.bell.store(BELL_AWAKE, Ordering::SeqCst);
        sleepers.crowd.fetch_add(1, Ordering::SeqCst);
        self.nap.store(0, Ordering::SeqCst);
        let sharing = self.end.sharing();
        wake::wake(&sleepers.bell, u32::MAX, sharing);
        wake::wake(&sleepers.crowd, u32::MAX, sharing);
        wake::wake(&self.nap, u32::MAX, wake::Sharing::Private);
        self.population.tell();
    }

    /// Sleeps until all threads are at requests while another one waits, or the time is over; see [`Wanted`]. For one caller at a time, without
    /// the GIL. Returns at once after `stop`.
    pub fn observe(&self, wanted: &Wanted) -> Crowding {
        self.population.observe(wanted, || self.end.given_and_taken(), || self.is_stopping())
    }

    /// So many of the threads that have nothing to do shall leave, also of those that will have nothing to do later. There has to be more than one
    /// thread that stays.
    pub fn dismiss(&self, count: u32) {
        self.population.set_surplus(count);
        self.wake_crowd(count);
    }

    /// The processor time that each of the threads that take requests has used, by its seat.
    pub fn processor_times(&self, mut found: impl FnMut(usize, Duration)) {
        for (number, clock) in self.clocks.iter().enumerate() {
            if self.population.is_member(number)
                && let Some(time) = clock.processor_time()
            {
                found(number, time);
            }
        }
    }

    fn begin_idling(&self, seat: &mut Seat) {
        if !seat.is_idle {
            seat.is_idle = true;
            self.population.begin_idling();
        }
    }

    #[inline]
    fn end_idling(&self, seat: &mut Seat) {
        if std::mem::take(&mut seat.is_idle) {
            self.population.end_idling();
        }
    }

    /// Whether `stop` has been called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn is_eager(&self) -> bool {
        self.end.sleepers().eager.load(Ordering::SeqCst) != 0
    }

    /// The next request for this thread, if it may take one now. Call it with the GIL held, at once after the last request.
    pub fn try_take(&self, seat: &mut Seat) -> Option<Taken> {
        self.settle(seat);
        if self.is_stopping() {
            return None;
        }
        if self.is_eager() {
            return self.take_eagerly(seat);
        }
        let (word, role) = self.own_role(seat)?;
        let was_running = role & RUNNING != 0;
        let Some(taken) = self.end.take() else {
            // Only the first role is kept by a thread that has nothing to do. Fails where the sentinel has just taken over: then the role is no
            // longer ours to change.
            let idle = if seat.role == 0 { role & !RUNNING } else { with_puller(role, 0) };
            if idle != role {
                let _ = word.compare_exchange(role, idle, Ordering::SeqCst, Ordering::SeqCst);
            }
            return None;
        };
        self.end_idling(seat);
        let running = (role + SEQUENCE) | RUNNING;
        seat.pulled = word.compare_exchange(role, running, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !was_running {
            self.end_nap();
        }
        if self.roles.len() > 1 && self.has_work_for_another() {
            self.wake_crowd(1);
        }
        Some(taken)
    }

    /// The role of this thread, and its word: the one that it has, or a vacant one. One beside the first is only taken for a request that waits.
    #[inline]
    fn own_role(&self, seat: &mut Seat) -> Option<(&AtomicU64, u64)> {
        let word = self.roles.get(seat.role)?;
        let role = word.load(Ordering::SeqCst);
        if puller_of(role) == seat.number {
            return Some((word, role));
        }
        for (place, word) in self.roles.iter().enumerate() {
            let role = word.load(Ordering::SeqCst);
            if puller_of(role) == 0 && (place == 0 || self.end.ready() > 0) {
                let mine = with_puller(role, seat.number);
                if word.compare_exchange(role, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    seat.role = place;
                    return Some((word, mine));
                }
            }
        }
        None
    }

    /// Whether a request waits, and a processor for it may be idle.
    fn has_work_for_another(&self) -> bool {
        self.end.ready() > 0 && self.roles.iter().any(|word| puller_of(word.load(Ordering::SeqCst)) == 0)
    }

    fn take_eagerly(&self, seat: &mut Seat) -> Option<Taken> {
        let taken = self.end.take()?;
        self.end_idling(seat);
        // Whoever runs a request cannot watch the bell: the next thread that comes to wait will.
        self.give_up_role(seat);
        seat.began = Some(Instant::now());
        Some(taken)
    }

    fn give_up_role(&self, seat: &Seat) {
        let Some(word) = self.roles.get(seat.role) else { return };
        let role = word.load(Ordering::SeqCst);
        if puller_of(role) == seat.number {
            let _ = word.compare_exchange(role, with_puller(role, 0), Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Accounts for the request that this thread has just run, if any.
    fn settle(&self, seat: &mut Seat) {
        if std::mem::take(&mut seat.pulled) {
            self.slowness.note(false);
        } else if let Some(began) = seat.began.take() {
            self.slowness.note(began.elapsed() > TICK);
            if self.is_eager() && self.slowness.ends_eagerness(self.started.elapsed()) {
                self.leave_eager();
            }
        }
    }

    fn enter_eager(&self) {
        self.slowness.begin_eagerness(self.started.elapsed());
        self.end.sleepers().eager.store(1, Ordering::SeqCst);
        // What is ready now was pushed when the front woke nobody for it. The caller takes one itself.
        let others = self.end.ready().saturating_sub(1);
        self.wake_crowd(others as u32);
    }

    fn leave_eager(&self) {
        self.end.sleepers().eager.store(0, Ordering::SeqCst);
        // In eager mode nobody is sentinel; the caller will be puller, one of the crowd has to watch it.
        self.wake_crowd(1);
    }

    fn wake_crowd(&self, count: u32) {
        let sleepers = self.end.sleepers();
        if count > 0 && sleepers.crowd_waiting.load(Ordering::SeqCst) > 0 {
            sleepers.crowd.fetch_add(1, Ordering::SeqCst);
            wake::wake(&sleepers.crowd, count, self.end.sharing());
        }
    }
}
