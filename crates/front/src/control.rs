//! How the embedding process speaks to the front: workers come and go, accept, drain, stop, wait, count.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pelton_link::{BodyPool, Doorbell, Origin};

use crate::access::log::AccessLog;
use crate::counters::Counters;
use crate::event_loop::EventLoop;
use crate::event_loop::redirect::Challenges;
use crate::notices::{Level, Notice, Notices};
use crate::scheduling::worker_link::WorkerLink;
use crate::settings::{Rules, Settings};
use crate::transport::listener::ListenerSettings;
use crate::transport::tls::Encryption;

/// What the front has been asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Command {
    /// Serve.
    Serve = 0,
    /// Accept no more, finish what has been received, end.
    Drain = 1,
    /// End now.
    Stop = 2,
}

/// Something to be done once, in order.
#[derive(Debug)]
pub(crate) enum Order {
    Accept,
    SetReady(bool),
    SetAccessLog(Box<Option<AccessLog>>),
    Add(Box<WorkerLink>),
    Retire(u64),
    Died(u64, String),
    CalledItself(u64, u32),
    Mount(String, Vec<u8>),
    Answer(Arc<Doorbell>),
    Encrypt(Box<Encryption>),
    SetChallenges(Challenges),
    Respond(u64, AdminResponse),
    ChangeRules(Box<Rules>),
}

/// The response to somebody who has asked on an admin listener (see [`crate::notices::Asked`]).
#[derive(Debug)]
pub struct AdminResponse {
    /// The status.
    pub status: u16,
    /// Fields besides those about the connection and the framing.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What all workers of a front have in common.
#[derive(Debug)]
pub struct Common {
    /// Memory for bodies.
    pub bodies: BodyPool,
    /// Rings when a worker has news and the front sleeps.
    pub doorbell: Arc<Doorbell>,
}

/// What both threads see.
#[derive(Debug)]
pub(crate) struct Shared {
    command: AtomicU8,
    has_orders: AtomicBool,
    orders: Mutex<VecDeque<Order>>,
    pub counters: Counters,
    pub notices: Notices,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared {
            command: AtomicU8::new(0),
            has_orders: AtomicBool::new(false),
            orders: Mutex::default(),
            counters: Counters::default(),
            notices: Notices::default(),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    /// The front is to do this from now on; what is stronger stays.
    pub(crate) fn tell(&self, command: Command) {
        self.command.fetch_max(command as u8, Ordering::AcqRel);
    }

    /// The front is to do this once.
    pub(crate) fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.has_orders.store(true, Ordering::Release);
    }

    pub(crate) fn command(&self) -> Command {
        match self.command.load(Ordering::Acquire) {
            0 => Command::Serve,
            1 => Command::Drain,
            _ => Command::Stop,
        }
    }

    /// Whether orders have come since the last [`Shared::take_orders`].
    #[inline]
    pub(crate) fn has_orders(&self) -> bool {
        self.has_orders.load(Ordering::Relaxed)
    }

    /// The orders that have come since the last call.
    pub(crate) fn take_orders(&self) -> VecDeque<Order> {
        self.has_orders.swap(false, Ordering::Acquire);
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running front. Dropping the handle stops it and waits for its thread.
#[derive(Debug)]
pub struct FrontHandle {
    shared: Arc<Shared>,
    doorbell: Arc<Doorbell>,
    thread: Option<thread::JoinHandle<()>>,
    origin: Origin,
}

/// Says that the front has ended, however it ended: also when its thread panics.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.notices.post(
                Level::Error,
                "the front has failed (this is a bug); all connections are closed".into(),
            );
        }
        self.0.notices.close();
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.end.notify_all();
    }
}

/// Starts a front on a thread of its own, without workers. `listeners` are bound and listen already; those for the application are not
/// accepted from before [`FrontHandle::accept`].
pub fn start(
    settings: Settings,
    listeners: Vec<ListenerSettings>,
    common: Common,
) -> io::Result<FrontHandle> {
    let shared = Arc::new(Shared::new());
    let doorbell = Arc::clone(&common.doorbell);
    let event_loop = EventLoop::new(settings, listeners, common, Arc::clone(&shared))?;
    let ending = Ending(Arc::clone(&shared));
    let thread = thread::Builder::new().name("pelton-front".into()).spawn(move || {
        let _ending = ending;
        event_loop.run();
    })?;
    Ok(FrontHandle { shared, doorbell, thread: Some(thread), origin: Origin::here() })
}

impl FrontHandle {
    fn tell(&self, command: Command) {
        self.shared.tell(command);
        self.doorbell.ring();
    }

    fn order(&self, order: Order) {
        self.shared.order(order);
        self.doorbell.ring();
    }

    /// Whether this is a copy in a process that was forked from the one in which the front runs: then nothing may be called.
    pub fn is_foreign(&self) -> bool {
        !self.origin.is_here()
    }

    /// Begins to accept connections.
    pub fn accept(&self) {
        self.order(Order::Accept);
    }

    /// Whether readiness checks may say so; they never do without a worker, or with a full queue.
    pub fn set_ready(&self, is_ready: bool) {
        self.order(Order::SetReady(is_ready));
    }

    /// Access lines go to `descriptor` (a duplicate of it) from now on; to nowhere, if it is negative.
    pub fn set_access_log(&self, descriptor: RawFd) -> io::Result<()> {
        self.order(Order::SetAccessLog(Box::new(AccessLog::new(descriptor)?)));
        Ok(())
    }

    /// Hands requests to this worker, too, and posts [`crate::News::Added`] when it does.
    pub fn add_worker(&self, link: WorkerLink) {
        self.order(Order::Add(Box::new(link)));
    }

    /// Hands no more requests to it, and posts [`crate::News::Quiet`] when nothing of it runs any more.
    pub fn retire_worker(&self, number: u64) {
        self.order(Order::Retire(number));
    }

    /// Its process has ended, as `how` says ("was killed by SIGSEGV").
    pub fn worker_died(&self, number: u64, how: String) {
        self.order(Order::Died(number, how));
    }

    /// One of the [`crate::LocalCalls`] was made by the worker process `pid`, or by a child of it.
    pub fn called_itself(&self, number: u64, pid: u32) {
        self.order(Order::CalledItself(number, pid));
    }

    /// New connections are encrypted with this from now on; those that are open go on as they began.
    pub fn encrypt(&self, encryption: Encryption) {
        self.order(Order::Encrypt(Box::new(encryption)));
    }

    /// What ACME servers find from now on.
    pub fn set_challenges(&self, challenges: Challenges) {
        self.order(Order::SetChallenges(challenges));
    }

    /// The response to a question of [`crate::notices::Asked`], by its number.
    pub fn respond(&self, number: u64, response: AdminResponse) {
        self.order(Order::Respond(number, response));
    }

    /// Other rules about requests and responses hold from now on.
    pub fn change_rules(&self, rules: Rules) {
        self.order(Order::ChangeRules(Box::new(rules)));
    }

    /// Files of `folder` are responses to requests below `prefix` from now on.
    pub fn mount(&self, prefix: String, folder: Vec<u8>) {
        self.order(Order::Mount(prefix, folder));
    }

    /// Rings `pulse` from the front's thread, which shows that its event loop runs.
    pub fn answer(&self, pulse: Arc<Doorbell>) {
        self.order(Order::Answer(pulse));
    }

    /// Closes listeners and idle connections; requests already received are still answered, then the front ends.
    pub fn drain(&self) {
        self.tell(Command::Drain);
    }

    /// Ends the front now, whatever is running.
    pub fn stop(&self) {
        self.tell(Command::Stop);
    }

    /// Waits for the end; false when `timeout` ran out first.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = match deadline {
                None => self.shared.end.wait(ended).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.shared.end.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// The next notice; waits for it. None when the front has ended and none is left.
    pub fn next_notice(&self) -> Option<Notice> {
        self.shared.notices.next()
    }

    /// Everything that is counted.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.all()
    }
}

impl Drop for FrontHandle {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.is_foreign() {
            // Its thread does not exist here.
            return std::mem::forget(thread);
        }
        self.stop();
        if let Some(thread) = thread {
            // A panic has been reported by `Ending`.
            let _ = thread.join();
        }
    }
}
