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
//! lacks a processor ([`crate::thread_clock`]). A puller that blocks loses the role. One that computes keeps it for [`LONGEST_TURN`] of processor
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
//! | `slowness`, `probe_at`, `tick` | anyone, relaxed: a statistic, a lost update does not matter |
//! | bell, crowd, crowd_waiting, eager | in the region, because the front reads them; see `layout` |
//!
//! Named races. *Take-over against finish*: the puller finishes while the sentinel decides; both change `role` by compare-exchange from
//! a value that names the sequence, so one of them fails: a sentinel that fails goes back to watching, a puller that fails is
//! an ordinary thread from then on. *Nap against start*: the sentinel sets `nap`, then looks at `role`; the puller sets `role`, then looks
//! at `nap`; both sequentially consistent, so at least one sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::layout::{BELL_ASLEEP, BELL_AWAKE};
use crate::population::{Crowding, Population, Wanted};
use crate::thread_clock::ThreadClock;
use crate::wake;
use crate::worker_end::{Taken, WorkerEnd};

/// How long the same request may keep the puller before the sentinel acts.
pub const TICK: Duration = Duration::from_micros(200);
/// How much processor time one request may use in the role of puller where no lock of the interpreter limits it: as much as CPython's switch
/// interval.
const LONGEST_TURN: Duration = Duration::from_millis(5);
/// While every look finds the puller at another request, looks become rarer, up to this: each one costs as much as several quick
/// requests. The first request that blocks then waits a little longer to be found out, the next ones do not.
const LONG_TICK: u64 = 1000;
/// Ticks without any request after which the sentinel sleeps for good.
const CALM_TICKS: u32 = 10;
/// `slowness` is a moving average of "this request was slow", in 1/65536, with a weight of 1/16 for the newest.
const ONE: u32 = 1 << 16;
const EAGER_ABOVE: u32 = ONE * 3 / 10;
const PULL_BELOW: u32 = ONE * 2 / 10;
/// Eager mode cannot tell a request that blocks from one that waits for the GIL: both take long. So it is left from time to time:
/// if requests really block, a few ticks bring it back; if not, pull mode stays.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_SLOWNESS: u32 = EAGER_ABOVE - 1;

/// Threads there can be at the same time beyond those that were planned: for each request that stays on its thread (a WebSocket), and for
/// each permit that is lent.
pub const SPARE_THREADS: usize = 4096;

/// Pullers there can be; more processors than these are used only by requests that compute for longer than [`LONGEST_TURN`].
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

/// What the sentinel saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Which of the roles.
    place: usize,
    role: u64,
    at: Instant,
    /// The puller's processor time then, if it can be had.
    consumed: Option<Duration>,
    /// Without the interpreter's lock: what its request does. With the lock, [`Scheduler::take_over`] finds it out.
    finding: Option<Finding>,
}

/// What a request that keeps its puller for long does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Blocks,
    Computes,
}

/// What the sentinel saw of one role when it looked last.
#[derive(Clone, Copy, Debug)]
struct Look {
    role: u64,
    /// Since when it has watched the request that runs there; only without the interpreter's lock.
    suspicion: Option<Suspicion>,
    /// The puller's processor time when the watch on this request began.
    consumed: Duration,
}

impl Look {
    fn new(role: u64) -> Self {
        Look { role, suspicion: None, consumed: Duration::ZERO }
    }
}

/// What to think of a request that has used `computed` of the last `elapsed`, and `in_all` since the watch on it began. None: look again.
/// `lacks_processor` is asked only where it decides, because it costs a system call.
fn judge(
    elapsed: Duration,
    computed: Duration,
    in_all: Duration,
    lacks_processor: impl FnOnce() -> bool,
) -> Option<Finding> {
    if in_all >= LONGEST_TURN {
        return Some(Finding::Computes);
    }
    let seems_to_block = elapsed >= TICK / 2 && computed * 2 < elapsed;
    (seems_to_block && !lacks_processor()).then_some(Finding::Blocks)
}

/// See the module's head.
#[derive(Debug)]
pub struct Scheduler {
    end: Arc<WorkerEnd>,
    /// One, or with a free interpreter one for each processor.
    roles: Box<[AtomicU64]>,
    interpreter: Interpreter,
    nap: AtomicU32,
    slowness: AtomicU32,
    probe_at: AtomicU64,
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
            slowness: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
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
            self.note(false);
        } else if let Some(began) = seat.began.take() {
            let slowness = self.note(began.elapsed() > TICK);
            if !self.is_eager() {
                return;
            }
            let now = self.started.elapsed().as_micros() as u64;
            if slowness < PULL_BELOW {
                self.leave_eager(slowness);
            } else if now > self.probe_at.load(Ordering::Relaxed) {
                self.leave_eager(PROBE_SLOWNESS);
            }
        }
    }

    fn note(&self, slow: bool) -> u32 {
        let old = self.slowness.load(Ordering::Relaxed);
        if old == 0 && !slow {
            return 0;
        }
        let new = if slow { old + (ONE - old) / 16 } else { old - old.div_ceil(16) };
        self.slowness.store(new, Ordering::Relaxed);
        new
    }

    fn enter_eager(&self) {
        let until = self.started.elapsed() + PROBE_EVERY;
        self.probe_at.store(until.as_micros() as u64, Ordering::Relaxed);
        self.end.sleepers().eager.store(1, Ordering::SeqCst);
        // What is ready now was pushed when the front woke nobody for it. The caller takes one itself.
        let others = self.end.ready().saturating_sub(1);
        self.wake_crowd(others as u32);
    }

    fn leave_eager(&self, slowness: u32) {
        self.slowness.store(slowness, Ordering::Relaxed);
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

    fn end_nap(&self) {
        if self.nap.load(Ordering::SeqCst) != 0 && self.nap.swap(0, Ordering::SeqCst) != 0 {
            wake::wake(&self.nap, 1, wake::Sharing::Private);
        }
    }

    /// Sleeps until there may be something to take. Call it without the GIL.
    pub fn wait(&self, seat: &mut Seat) -> Wake {
        self.end.settle();
        self.begin_idling(seat);
        loop {
            if self.is_stopping() {
                return Wake::Stop;
            }
            if self.population.has_surplus() && self.may_leave(seat) && self.population.is_surplus() {
                return Wake::Leave;
            }
            if self.own_role(seat).is_some() {
                if seat.role == 0 {
                    self.sleep_on_bell();
                } else if self.end.ready() > 0 {
                    // It may have been the sentinel: another one has to be.
                    self.wake_crowd(1);
                } else {
                    // It had the role before the scheduler became eager.
                    self.give_up_role(seat);
                    continue;
                }
                return if self.is_stopping() { Wake::Stop } else { Wake::Retry };
            }
            if self.is_vacant(0) {
                // Its holder has let go of it just now: it is never left vacant while a thread waits.
                continue;
            }
            if self.is_eager() {
                if self.end.ready() > 0 {
                    return Wake::Retry;
                }
            } else if self
                .end
                .sentinel
                .compare_exchange(0, seat.number, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                let suspicion = self.watch();
                self.end.sentinel.store(0, Ordering::SeqCst);
                self.end.settle();
                match suspicion {
                    Some(suspicion) => return Wake::Suspect(suspicion),
                    None => continue,
                }
            }
            self.sleep_in_crowd();
        }
    }

    /// Whether nobody relies on this thread, which comes to wait: others pull and watch, and nothing is there to be taken.
    fn may_leave(&self, seat: &Seat) -> bool {
        let has_role = |word: &AtomicU64| puller_of(word.load(Ordering::SeqCst)) == seat.number;
        !self.is_vacant(0) && !self.roles.iter().any(has_role) && self.end.ready() == 0
    }

    fn is_vacant(&self, place: usize) -> bool {
        self.roles.get(place).is_some_and(|word| puller_of(word.load(Ordering::SeqCst)) == 0)
    }

    fn sleep_on_bell(&self) {
        let bell = &self.end.sleepers().bell;
        bell.store(BELL_ASLEEP, Ordering::SeqCst);
        // The front sets the tail, then looks at the bell; we set the bell, then look at the tail.
        while self.end.ready() == 0 && !self.is_stopping() && bell.load(Ordering::SeqCst) == BELL_ASLEEP {
            wake::wait(bell, BELL_ASLEEP, None, self.end.sharing());
        }
        bell.store(BELL_AWAKE, Ordering::SeqCst);
    }

    fn sleep_in_crowd(&self) {
        let sleepers = self.end.sleepers();
        let ticket = sleepers.crowd.load(Ordering::SeqCst);
        sleepers.crowd_waiting.fetch_add(1, Ordering::SeqCst);
        let needed = self.is_stopping()
            || (self.population.has_surplus() && self.end.ready() == 0)
            || self.is_vacant(0)
            || if self.is_eager() {
                self.end.ready() > 0
            } else {
                self.end.sentinel.load(Ordering::SeqCst) == 0
                    || (self.roles.len() > 1 && self.has_work_for_another())
            };
        if !needed {
            wake::wait(&sleepers.crowd, ticket, None, self.end.sharing());
        }
        sleepers.crowd_waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// The sentinel's watch: until a puller has been at one request for a tick, a request waits for which there is a role, or the mode changes.
    fn watch(&self) -> Option<Suspicion> {
        let mut looks: Vec<Look> =
            self.roles.iter().map(|word| Look::new(word.load(Ordering::SeqCst))).collect();
        let mut calm = 0;
        loop {
            let tick = self.tick.load(Ordering::Relaxed);
            // `nap` is 0 here: a plain timed sleep that `stop` can end.
            wake::wait(&self.nap, 0, Some(Duration::from_micros(tick)), wake::Sharing::Private);
            self.end.settle();
            if self.is_stopping() || self.is_eager() || self.is_vacant(0) {
                return None;
            }
            if self.roles.len() > 1 && self.has_work_for_another() {
                return None;
            }
            let (mut runs, mut gets_on) = (false, true);
            for (place, look) in looks.iter_mut().enumerate() {
                let Some(role) = self.roles.get(place).map(|word| word.load(Ordering::SeqCst)) else { break };
                if role & RUNNING != 0 {
                    runs = true;
                    if role == look.role {
                        gets_on = false;
                        if let Some(suspicion) = self.suspect(place, look) {
                            return Some(suspicion);
                        }
                        continue;
                    }
                }
                *look = Look::new(role);
            }
            if runs {
                calm = 0;
                let next = if gets_on { (tick * 2).min(LONG_TICK) } else { TICK.as_micros() as u64 };
                self.tick.store(next, Ordering::Relaxed);
            } else {
                calm += 1;
                if calm > CALM_TICKS {
                    self.nap();
                    calm = 0;
                }
            }
        }
    }

    /// The puller of this role has been at the same request since the last look.
    fn suspect(&self, place: usize, look: &mut Look) -> Option<Suspicion> {
        let puller = self.clock_of(puller_of(look.role));
        let consumed = puller.and_then(ThreadClock::processor_time);
        let now = Suspicion { place, role: look.role, at: Instant::now(), consumed, finding: None };
        if self.interpreter == Interpreter::Locked {
            // The lock tells the rest: see `take_over`.
            return Some(now);
        }
        let consumed = consumed.unwrap_or_default();
        if look.suspicion.is_none() {
            look.consumed = consumed;
        }
        let first = *look.suspicion.get_or_insert(now);
        let computed = consumed.saturating_sub(first.consumed.unwrap_or_default());
        let in_all = consumed.saturating_sub(look.consumed);
        let mut lacks_processor = false;
        let finding = judge(now.at.duration_since(first.at), computed, in_all, || {
            lacks_processor = puller.is_some_and(ThreadClock::is_runnable);
            lacks_processor
        });
        if lacks_processor {
            // What it did not get says nothing about what it would have done.
            look.suspicion = Some(now);
        }
        finding.map(|finding| Suspicion { finding: Some(finding), ..first })
    }

    /// Sleeps until somebody runs a request. Whoever begins one changes its role first, and looks at `nap` then.
    fn nap(&self) {
        let is_running = |word: &AtomicU64| word.load(Ordering::SeqCst) & RUNNING != 0;
        self.nap.store(1, Ordering::SeqCst);
        while self.nap.load(Ordering::SeqCst) != 0
            && !self.is_vacant(0)
            && !self.roles.iter().any(is_running)
            && !self.is_stopping()
            && !self.is_eager()
        {
            wake::wait(&self.nap, 1, None, wake::Sharing::Private);
        }
        self.nap.store(0, Ordering::SeqCst);
    }

    /// Makes this thread the puller if the suspected one is still at the same request. Where the interpreter has a lock, call it with that held:
    /// that it could be had is the proof that the request does not just compute or wait for a processor.
    pub fn take_over(&self, seat: &mut Seat, suspicion: Suspicion) -> bool {
        let Some(word) = self.roles.get(suspicion.place) else { return false };
        // Read before the exchange: after it the old puller may be anywhere.
        let finding = suspicion.finding.unwrap_or_else(|| self.finding_since(&suspicion));
        let mine = with_puller(suspicion.role, seat.number);
        if word.compare_exchange(suspicion.role, mine, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        seat.role = suspicion.place;
        self.tick.store(TICK.as_micros() as u64, Ordering::Relaxed);
        // More threads do not help requests that compute; only blocking ones make the scheduler eager.
        if finding == Finding::Blocks && self.note(true) > EAGER_ABOVE {
            self.enter_eager();
        } else {
            // This thread was the sentinel; another one has to be.
            self.wake_crowd(1);
        }
        true
    }

    /// With the interpreter's lock held: what the suspected request has done since.
    fn finding_since(&self, suspicion: &Suspicion) -> Finding {
        let now = self.clock_of(puller_of(suspicion.role)).and_then(ThreadClock::processor_time);
        let computed = match (suspicion.consumed, now) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => Duration::ZERO,
        };
        if computed * 2 < suspicion.at.elapsed().max(TICK) { Finding::Blocks } else { Finding::Computes }
    }

    fn clock_of(&self, number: u32) -> Option<&ThreadClock> {
        self.clocks.get((number as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_that_uses_no_processor_although_it_could_blocks() {
        assert_eq!(judge(MS, Duration::ZERO, Duration::ZERO, || false), Some(Finding::Blocks));
        assert_eq!(judge(MS, MS / 3, MS / 3, || false), Some(Finding::Blocks));
    }

    #[test]
    fn a_request_that_lacks_a_processor_is_looked_at_again() {
        assert_eq!(judge(MS, Duration::ZERO, Duration::ZERO, || true), None);
        assert_eq!(judge(100 * MS, MS, 4 * MS, || true), None);
    }

    #[test]
    fn a_request_that_computes_keeps_its_role_for_as_much_as_the_interpreters_lock_would_let_it() {
        let never = || unreachable!("it is asked only of a request that seems to block");
        assert_eq!(judge(4 * MS, 4 * MS, 4 * MS, never), None);
        assert_eq!(judge(5 * MS, 5 * MS, LONGEST_TURN, never), Some(Finding::Computes));
        // Also where it got the processor time in pieces.
        assert_eq!(judge(Duration::ZERO, Duration::ZERO, LONGEST_TURN, never), Some(Finding::Computes));
    }

    #[test]
    fn nothing_is_said_after_less_than_half_a_tick() {
        let never = || unreachable!("it is asked only of a request that seems to block");
        assert_eq!(judge(TICK / 4, Duration::ZERO, Duration::ZERO, never), None);
    }
}
