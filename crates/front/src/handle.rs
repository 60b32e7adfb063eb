//! A running front as the embedding process holds it: starts it, gives it orders, waits for its end. Runs on threads of that process.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pelton_link::{Doorbell, Origin};

use crate::access::log::AccessLog;
use crate::control::{AdminResponse, Challenges, Command, Common, Order, Shared};
use crate::event_loop;
use crate::notices::{Level, Notice};
use crate::scheduling::worker_link::WorkerLink;
use crate::settings::{Rules, Settings};
use crate::transport::listener::ListenerSettings;
use crate::transport::tls::Encryption;

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
    let front = event_loop::open(settings, listeners, common, Arc::clone(&shared))?;
    let ending = Ending(Arc::clone(&shared));
    let thread = thread::Builder::new().name("pelton-front".into()).spawn(move || {
        let _ending = ending;
        event_loop::run(front);
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
