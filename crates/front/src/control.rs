//! How the embedding process speaks to the front: start, drain, stop, wait, count.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use penstock_link::{Doorbell, FrontHalf};

use crate::counters::Counters;
use crate::event_loop::EventLoop;
use crate::notices::{Level, Notice, Notices};
use crate::settings::Settings;

/// What the front has been told to do.
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

/// What both threads see.
#[derive(Debug)]
pub(crate) struct Shared {
    command: AtomicU8,
    pub counters: Counters,
    pub notices: Notices,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Shared {
    pub(crate) fn command(&self) -> Command {
        match self.command.load(Ordering::Acquire) {
            0 => Command::Serve,
            1 => Command::Drain,
            _ => Command::Stop,
        }
    }
}

/// A running front. Dropping the handle stops it and waits for its thread.
#[derive(Debug)]
pub struct FrontHandle {
    shared: Arc<Shared>,
    doorbell: Arc<Doorbell>,
    thread: Option<thread::JoinHandle<()>>,
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

/// Starts a front on a thread of its own. `listeners` are bound and listen already; `threads` is what the worker behind `half` has.
pub fn start(
    settings: Settings,
    listeners: Vec<OwnedFd>,
    half: FrontHalf,
    threads: usize,
) -> io::Result<FrontHandle> {
    let shared = Arc::new(Shared {
        command: AtomicU8::new(0),
        counters: Counters::default(),
        notices: Notices::default(),
        ended: Mutex::new(false),
        end: Condvar::new(),
    });
    let doorbell = Arc::clone(&half.doorbell);
    let event_loop = EventLoop::new(settings, listeners, half, threads, Arc::clone(&shared))?;
    let ending = Ending(Arc::clone(&shared));
    let thread = thread::Builder::new().name("penstock-front".into()).spawn(move || {
        let _ending = ending;
        event_loop.run();
    })?;
    Ok(FrontHandle { shared, doorbell, thread: Some(thread) })
}

impl FrontHandle {
    fn tell(&self, command: Command) {
        self.shared.command.fetch_max(command as u8, Ordering::AcqRel);
        self.doorbell.ring();
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
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by `Ending`.
            let _ = thread.join();
        }
    }
}
