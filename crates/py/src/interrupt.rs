//! Interrupting a request that takes too long, or that goes on for a client who has gone, and nothing but that request.
//!
//! Owns which serving thread is at which request, as the watch sees it, and the raising of an exception there. That a request is to be
//! interrupted is the front's word; what is raised is Python's decision.
//!
//! # Why it never hits anything else
//! Python raises an exception in another thread "soon": before the next bytecode which that thread runs, whoever's that is by then. So each
//! serving thread has a [`Window`], open as long as the application's code runs for a request:
//! - it opens with the call of the application, naming slot and generation;
//! - it is shut while our observer is called, whose report must not be torn;
//! - it closes when nothing of the application is left to be called: after `close()`, or for plain lists after the call itself. That is
//!   always before the slot is let go, so the front cannot have put another request into it while the window names the slot.
//!
//! That the client has gone is no reason to interrupt just anything: what the application does may matter to others. Only the iterable of an
//! response that has begun is there for the client alone, so for this reason the window is open a crack only: while such an iterable is asked
//! for its next piece, and not while it is closed.
//!
//! Who interrupts marks the window's word by compare-exchange, and then raises, both under the lock. Closing swaps the word out. So either the
//! mark comes too late and fails, and nothing is raised; or the closing thread finds it. Then it waits for the lock, after which the exception
//! has been raised or is pending, runs a piece of bytecode of our own that meets what is pending, and drops it. No bytecode can run
//! between the two, so nobody else has met it. The crack is closed in the same way. None of this needs the GIL to be right. A request that was never looked at costs a
//! store and a swap.
//!
//! Greenlets have a window each, too, but for them nothing is ever pending: who interrupts does it on their own thread, while none of them runs, by
//! claiming the request (the same mark) and raising the exception in the greenlet at once.
//!
//! What was raised lands in the application, in whatever it calls, or in a destructor, where Python can only print it: then the request
//! goes on, and its writes find that nobody waits.

use std::collections::HashMap;
use std::ffi::{c_long, c_ulong};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pelton_link::request::RequestView;
use pelton_link::{Taken, Why, WorkerEnd, coarse_ms};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyType};

use crate::overdue::named;
use crate::worker::RunningRequest;

/// The window's word: generation << 32 | marks | slot + 1; 0 while it is closed.
fn word_of(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | (u64::from(slot) + 1)
}

/// It may be interrupted because its client has gone.
const DEPARTABLE: u64 = 1 << 29;
/// The watch has been given this request. Slots are far fewer than these bits would need.
const SEEN: u64 = 1 << 30;
/// An exception has been raised for it.
const RAISED: u64 = 1 << 31;
const MARKS: u64 = DEPARTABLE | SEEN | RAISED;

/// What one serving thread, or greenlet, is at.
struct Running {
    /// As `threading.get_ident()` names it.
    thread: c_ulong,
    /// Which of the greenlets on that thread; None where a thread runs one request at a time.
    seat: Option<u32>,
    word: AtomicU64,
}

/// All serving threads of a worker.
#[derive(Default)]
pub(crate) struct Watched {
    /// Python code is never run under the lock, and its holder never waits.
    threads: Mutex<Vec<Arc<Running>>>,
}

/// A request to be interrupted, as it was found.
pub(crate) struct Found {
    /// [`Why::Overdue`] or [`Why::Departed`].
    pub(crate) why: Why,
    pub(crate) thread: c_ulong,
    /// Which of the greenlets on that thread, where it has such.
    pub(crate) seat: Option<u32>,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// A copy; damaged or empty where the request's was.
    pub(crate) record: Vec<u8>,
    /// When it began, by `coarse_ms`.
    pub(crate) started_ms: u64,
}

impl Watched {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Vec<Arc<Running>>> {
        self.threads.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// The window of the calling thread, or of the greenlet with this seat.
    pub(crate) fn window(&self, py: Python<'_>, seat: Option<u32>) -> Window<'_> {
        // SAFETY: attached, so the thread has an ident.
        let thread = unsafe { ffi::PyThread_get_thread_ident() };
        let running = Arc::new(Running { thread, seat, word: AtomicU64::new(0) });
        self.lock(py).push(Arc::clone(&running));
        Window { watched: self, running }
    }

    /// A request to be interrupted whose window is open for that and which was not found before.
    pub(crate) fn find(&self, py: Python<'_>, end: &WorkerEnd) -> Option<Found> {
        let wanted = end.to_interrupt();
        if wanted.is_empty() {
            return None;
        }
        let threads = self.lock(py);
        wanted.into_iter().find_map(|(slot, generation, why)| {
            let word = word_of(slot, generation);
            let running = threads.iter().find(|running| mark(running, word, opening(why), SEEN))?;
            // Its thread does not get past the closing of its window before we let the lock go, so the record stays until then.
            let (record, started_ms) = end.look_at(slot, generation).unwrap_or_default();
            let (thread, seat) = (running.thread, running.seat);
            Some(Found { why, thread, seat, slot, generation, record, started_ms })
        })
    }

    /// The threads in which the application runs now, each with method and path of its request.
    pub(crate) fn running(&self, py: Python<'_>, end: &WorkerEnd) -> HashMap<c_ulong, (String, String)> {
        let threads = self.lock(py);
        let request_of = |running: &Arc<Running>| {
            let word = running.word.load(Ordering::Acquire) & !MARKS;
            let slot = ((word & 0xFFFF_FFFF) as u32).checked_sub(1)?;
            let (record, _) = end.look_at(slot, (word >> 32) as u32)?;
            Some((running.thread, named(&RequestView::new(&record)?)))
        };
        threads.iter().filter_map(request_of).collect()
    }

    /// The same for whoever looks on: all requests that run, greenlets' too.
    pub(crate) fn requests(&self, py: Python<'_>, end: &WorkerEnd) -> Vec<RunningRequest> {
        let threads = self.lock(py);
        let request_of = |running: &Arc<Running>| {
            let word = running.word.load(Ordering::Acquire) & !MARKS;
            let slot = ((word & 0xFFFF_FFFF) as u32).checked_sub(1)?;
            let (record, started_ms) = end.look_at(slot, (word >> 32) as u32)?;
            let request = RequestView::new(&record)?;
            let (method, path) = named(&request);
            let client = String::from_utf8_lossy(request.peer()).into_owned();
            let age = coarse_ms().saturating_sub(started_ms) as f64 / 1000.0;
            Some((running.thread, running.seat, slot, method, path, client, age))
        };
        threads.iter().filter_map(request_of).collect()
    }

    /// Marks the request as interrupted, for the caller to raise the exception in its greenlet before any other one runs; gives the greenlet's seat. None as
    /// for [`Watched::interrupt`]. To be called on the greenlets' own thread: so the window cannot close between the mark and the raising.
    pub(crate) fn claim(&self, py: Python<'_>, slot: u32, generation: u32, why: Why) -> Option<u32> {
        let (word, needed) = (word_of(slot, generation), SEEN | opening(why));
        let threads = self.lock(py);
        let is_it = |running: &&Arc<Running>| running.seat.is_some() && mark(running, word, needed, RAISED);
        threads.iter().find(is_it)?.seat
    }

    /// Raises `exception` in the thread that is at the request, once; false when its window is closed (to this reason), it was not found
    /// before, or it was interrupted already.
    pub(crate) fn interrupt(
        &self,
        slot: u32,
        generation: u32,
        why: Why,
        exception: &Bound<'_, PyType>,
    ) -> bool {
        let threads = self.lock(exception.py());
        let word = word_of(slot, generation);
        let needed = SEEN | opening(why);
        // What is pending for a thread would meet any of its greenlets: those are claimed.
        let is_it = |running: &&Arc<Running>| running.seat.is_none() && mark(running, word, needed, RAISED);
        let Some(running) = threads.iter().find(is_it) else {
            return false;
        };
        // SAFETY: attached; the exception is a live class; an ident that no thread has is found out.
        let found = unsafe { ffi::PyThreadState_SetAsyncExc(running.thread as c_long, exception.as_ptr()) };
        found > 0
    }
}

/// How far the window must be open.
fn opening(why: Why) -> u64 {
    if why == Why::Overdue { 0 } else { DEPARTABLE }
}

/// Adds a mark to a window's word if it is about this request, has the marks that are needed, and not this one.
fn mark(running: &Running, request: u64, needed: u64, mark: u64) -> bool {
    let mut word = running.word.load(Ordering::Relaxed);
    while word & !MARKS == request && word & needed == needed && word & mark == 0 {
        match running.word.compare_exchange_weak(word, word | mark, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
    false
}

pub(crate) struct Window<'a> {
    watched: &'a Watched,
    running: Arc<Running>,
}

impl Window<'_> {
    /// What [`Window::open`] is to be given for this request.
    pub(crate) fn word(taken: &Taken) -> u64 {
        word_of(taken.slot(), taken.generation())
    }

    /// The application is about to be called.
    #[inline]
    pub(crate) fn open(&self, word: u64) {
        self.running.word.store(word, Ordering::Release);
    }

    /// The application has nothing left to run. To be called before the slot is let go; may be called again.
    #[inline]
    pub(crate) fn close(&self, py: Python<'_>) {
        let word = self.running.word.swap(0, Ordering::AcqRel);
        if word & (SEEN | RAISED) != 0 {
            self.come_to_rest(py, word);
        }
    }

    /// What runs now is there for the client only. To be called while the window is open.
    pub(crate) fn allow_departure(&self) {
        self.running.word.fetch_or(DEPARTABLE, Ordering::AcqRel);
    }

    /// What runs from now on may be there for others.
    pub(crate) fn forbid_departure(&self, py: Python<'_>) {
        let word = self.running.word.fetch_and(!DEPARTABLE, Ordering::AcqRel);
        if word & RAISED != 0 {
            self.come_to_rest(py, word);
        }
    }

    /// Runs something of ours that must not be interrupted. An open window is open again afterwards, unless it had been used.
    pub(crate) fn shielded<T>(&self, py: Python<'_>, act: impl FnOnce() -> T) -> T {
        let word = self.running.word.swap(0, Ordering::AcqRel);
        if word & (SEEN | RAISED) != 0 {
            self.come_to_rest(py, word);
        }
        let result = act();
        if word & RAISED == 0 {
            self.running.word.store(word, Ordering::Release);
        }
        result
    }

    #[cold]
    fn come_to_rest(&self, py: Python<'_>, word: u64) {
        // Whoever has marked the word is done with it once we have had the lock.
        drop(self.watched.lock(py));
        if word & RAISED != 0 {
            meet_pending(py);
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // Without the interpreter at hand: the lock is never held for long, and never by someone who waits for it.
        let mut threads = self.watched.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|running| !Arc::ptr_eq(running, &self.running));
    }
}

/// Lets a pending exception happen where it does no harm.
///
/// Not `PyThreadState_SetAsyncExc(ident, NULL)`: up to 3.12 that leaves the interpreter's flag behind, which sends all threads through the slow
/// way of every jump and call until somebody is interrupted again.
fn meet_pending(py: Python<'_>) {
    // Once is enough, unless others raise something here as well.
    for _ in 0..4 {
        if py.eval(c"None", Some(&PyDict::new(py)), None).is_ok() {
            return;
        }
    }
}
