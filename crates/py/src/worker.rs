//! The class `Worker`: the loop in which a thread takes requests and runs them.
//!
//! Owns what all threads of a worker share. Which thread takes when is the scheduler's business, what happens to a request is `request_runner`'s.
//! `serve` runs on threads that Python made, never on the main thread, so signals are not its concern; `next_overdue` on the watch's own.

use std::ffi::c_ulong;
use std::num::NonZero;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pelton_link::{Crowding, Interpreter, Scheduler, Seat, SelfCall, Taken, Wake, Wanted, WorkerEnd};
use pyo3::exceptions::{PyBaseException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::client_socket::Replacement;
use crate::fork::end_child;
use crate::front_settings::timeout_of;
use crate::interrupt::Watched;
use crate::link::Link;
use crate::overdue::{Overdue, named};
use crate::pauses::Pauses;
use crate::processor_time::ProcessorTime;
use crate::request::EnvironBuilder;
use crate::request_runner::RequestRunner;
use crate::system::run_delay;

/// The heart beats at least this often, and a request whose window was shut when it was to be interrupted is found after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Threads, how many idle, most at requests, requests that wait, for how long, how long the interpreter was waited for, time computed.
type Observed = (u32, u32, u32, u32, f64, f64, f64);

/// A request that runs: ident of its thread, its greenlet's number there, slot, method, path, client, and seconds since it began.
pub(crate) type RunningRequest = (c_ulong, Option<u32>, u32, String, String, String, f64);

/// Whether the threads of this interpreter run at the same time, and on how many processors. An extension that asks for the lock brings it back
/// later: then threads take each other's role more often than they need to, and nothing else changes.
fn interpreter() -> Interpreter {
    if cfg!(Py_GIL_DISABLED) {
        Interpreter::Free { processors: std::thread::available_parallelism().map_or(1, NonZero::get) }
    } else {
        Interpreter::Locked
    }
}

/// Calls one WSGI application for the requests that arrive over one link.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Worker {
    pub(crate) end: Arc<WorkerEnd>,
    scheduler: Arc<Scheduler>,
    pub(crate) application: Py<PyAny>,
    pub(crate) environs: Vec<Py<PyDict>>,
    pub(crate) file_wrapper: Py<PyType>,
    pub(crate) observer: Py<PyAny>,
    /// Makes the sockets that applications see; without it there are none.
    pub(crate) client_sockets: Option<Py<PyAny>>,
    pub(crate) watched: Watched,
    /// Requests for spare threads that the watch has seen (wraps).
    spares_seen: AtomicU32,
    pub(crate) pauses: Pauses,
    /// Whether the front learns which route has answered.
    tells_routes: AtomicBool,
    processor_time: ProcessorTime,
    /// What the request runners of all greenlets build environs with, one at a time; see `request_runner`.
    pub(crate) environ_builder: Mutex<Option<EnvironBuilder>>,
}

#[pymethods]
impl Worker {
    #[new]
    #[pyo3(signature = (link, application, environs, file_wrapper, observer, client_sockets=None))]
    fn new(
        link: &Bound<'_, Link>,
        application: Py<PyAny>,
        environs: Vec<Py<PyDict>>,
        file_wrapper: Py<PyType>,
        observer: Py<PyAny>,
        client_sockets: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let (end, threads) = link.get().take_worker_end()?;
        let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), threads, interpreter()));
        let watched = Watched::default();
        Ok(Worker {
            end,
            scheduler,
            application,
            environs,
            file_wrapper,
            observer,
            client_sockets,
            watched,
            spares_seen: AtomicU32::new(0),
            pauses: Pauses::default(),
            tells_routes: AtomicBool::new(false),
            processor_time: ProcessorTime::default(),
            environ_builder: Mutex::default(),
        })
    }

    /// Run requests on the calling thread until `stop`, or one only: that for which it was made.
    #[pyo3(signature = (thread, *, once = false, on_departure = None))]
    fn serve(
        &self,
        py: Python<'_>,
        thread: usize,
        once: bool,
        on_departure: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let Some(mut seat) = self.scheduler.seat(thread) else {
            return Err(PyValueError::new_err(format!("there is no free seat for thread {thread}")));
        };
        if once {
            let result = self.serve_self_call(py);
            self.leave_if_foreign(py);
            self.scheduler.leave(seat);
            return result;
        }
        match self.serve_in(py, &mut seat, on_departure) {
            Ok(Leave::AtTheEnd) => Ok(()),
            Ok(Leave::ForASocket) => {
                self.scheduler.give_up(seat);
                Ok(())
            }
            Ok(Leave::NotNeeded) => {
                self.scheduler.leave(seat);
                Ok(())
            }
            // The thread is of no use, but its number is.
            Err(error) => {
                self.scheduler.give_up(seat);
                Err(error)
            }
        }
    }

    /// Wait until all threads have been at requests for `foresight`, or another one has waited for `patience`, or for `timeout`.
    fn observe(
        &self,
        py: Python<'_>,
        timeout: f64,
        patience: f64,
        foresight: f64,
        tick: f64,
        expected: u32,
    ) -> PyResult<Observed> {
        let [timeout, patience] = [timeout_of(timeout)?, timeout_of(patience)?];
        let [foresight, tick] = [timeout_of(foresight)?, timeout_of(tick)?];
        let (crowding, delayed, seen_at) = py.detach(|| {
            let seen = self.scheduler.observe(&Wanted { patience, foresight, tick, timeout, expected });
            (seen, run_delay(), Instant::now())
        });
        let Crowding { threads, idle, most_busy, waiting, head_age } = crowding;
        // Without the time in which the lock may have been free, but there was no processor for this thread.
        let lock_wait = seen_at.elapsed().saturating_sub(run_delay().saturating_sub(delayed)).as_secs_f64();
        let computed = self.processor_time.computed(&self.scheduler);
        Ok((threads, idle, most_busy, waiting, head_age.as_secs_f64(), lock_wait, computed))
    }

    /// Tell the front what was decided about threads, for whoever asks on an admin listener.
    fn tell_sized(&self, threads: u32, computing: u32, reason: u32) {
        self.end.tell_sized(threads, computing, reason);
    }

    /// Tell the front of each request which route has answered it.
    fn tell_routes(&self) {
        self.tells_routes.store(true, Ordering::Relaxed);
    }

    /// The requests that run now.
    fn requests(&self, py: Python<'_>) -> Vec<RunningRequest> {
        self.watched.requests(py, &self.end)
    }

    /// Let so many threads return that have nothing to do, now or when that comes.
    fn dismiss(&self, count: u32) {
        self.scheduler.dismiss(count);
    }

    /// Serve on greenlets of the calling thread; gives the descriptor to sleep on.
    fn listen(&self, py: Python<'_>, pause: Py<PyAny>, resume: Py<PyAny>) -> PyResult<RawFd> {
        let bell = self.end.listen()?;
        if !self.pauses.begin(py, pause, resume) {
            return Err(PyValueError::new_err("this worker serves on greenlets already"));
        }
        Ok(bell)
    }

    /// Run requests on the calling greenlet, until `rest` returns False.
    fn serve_greenlet(
        &self,
        py: Python<'_>,
        seat: u32,
        rest: &Bound<'_, PyAny>,
        on_departure: Py<PyAny>,
    ) -> PyResult<()> {
        self.serve_on_greenlet(py, seat, rest, on_departure)
    }

    /// How many clients' sockets the application has taken and still has.
    fn sockets_held(&self) -> u32 {
        self.end.sockets_held()
    }

    /// Announce that the thread is about to sleep on its descriptor; False when there is something to do.
    fn prepare_sleep(&self, takes_requests: bool) -> bool {
        // In a forked child there is never anything to do.
        self.end.is_foreign() || self.end.prepare_sleep(takes_requests && !self.is_stopping())
    }

    /// Make the descriptor unreadable; False when it never will be again.
    fn answer_bell(&self) -> bool {
        self.end.answer_bell()
    }

    /// The slots that have news for greenlets which are parked.
    fn take_roused(&self) -> Vec<u32> {
        let mut slots = Vec::new();
        self.end.take_roused(&mut slots);
        slots
    }

    /// Mark an overdue request as interrupted and give its greenlet's seat; None when the request is over.
    fn claim(&self, py: Python<'_>, overdue: &Bound<'_, Overdue>) -> Option<u32> {
        let overdue = overdue.get();
        let is_ours = Arc::ptr_eq(&overdue.end, &self.end);
        if is_ours { self.watched.claim(py, overdue.slot, overdue.generation, overdue.why) } else { None }
    }

    /// Let every serving thread return once it has finished its request.
    fn stop(&self) {
        self.scheduler.stop();
        // The watch must not be what holds up the end of the process.
        self.end.raise_alarm();
    }

    /// Wait for a request that is to be interrupted; None when the time is over. `beats`: whether that is a sign of life. Where greenlets
    /// serve, it takes their hub, too, which only the caller knows about.
    #[pyo3(signature = (timeout, beats = true))]
    fn next_overdue(&self, py: Python<'_>, timeout: f64, beats: bool) -> PyResult<Option<Overdue>> {
        let deadline = Instant::now() + timeout_of(timeout)?;
        // What came for requests that the front has given to another worker would keep its place on the disk.
        py.detach(|| self.end.drop_stale_files());
        loop {
            // The interpreter has just let us in: that is what a beat says.
            if beats {
                self.end.beat();
            }
            // Read before looking, so that what becomes overdue after the look ends the wait.
            let ticket = self.end.alarm();
            if let Some(found) = self.watched.find(py, &self.end) {
                return Ok(Some(Overdue::new(&self.end, found)));
            }
            if self.end.spares() != self.spares_seen.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_stopping() {
                return Ok(None);
            }
            py.detach(|| self.end.wait_alarm(ticket, left.min(LONGEST_PAUSE)));
        }
    }

    /// How many requests need a thread of their own that were not reported before.
    fn take_spares(&self) -> u32 {
        let all = self.end.spares();
        let new = all.wrapping_sub(self.spares_seen.swap(all, Ordering::Relaxed));
        // More cannot be there, whatever the other end has written.
        new.min(self.end.slots() as u32)
    }

    /// Raise an exception in the thread of an overdue request; False when the request is over.
    fn interrupt(&self, overdue: &Bound<'_, Overdue>, exception: &Bound<'_, PyType>) -> PyResult<bool> {
        if !exception.is_subclass_of::<PyBaseException>()? {
            return Err(PyTypeError::new_err("only classes of exceptions can be raised"));
        }
        let overdue = overdue.get();
        let is_ours = Arc::ptr_eq(&overdue.end, &self.end);
        Ok(is_ours && self.watched.interrupt(overdue.slot, overdue.generation, overdue.why, exception))
    }
}

/// Why a thread serves no more.
enum Leave {
    /// The worker ends.
    AtTheEnd,
    /// It is at a client's socket, perhaps for hours: another thread has its place.
    ForASocket,
    /// There are more than are needed.
    NotNeeded,
}

impl Worker {
    fn serve_in(&self, py: Python<'_>, seat: &mut Seat, on_departure: Option<Py<PyAny>>) -> PyResult<Leave> {
        let mut runner = RequestRunner::new(py, self)?;
        self.scheduler.enter(seat);
        if let Some(on_departure) = on_departure {
            runner.set_replacement(Replacement::new(
                Some((Arc::clone(&self.scheduler), seat.number())),
                on_departure,
            ));
        }
        loop {
            // The GIL is held all the time, also between requests; other threads get it when the interpreter yields.
            while let Some(taken) = self.scheduler.try_take(seat) {
                let departs = runner.run_guarded(taken)?;
                self.leave_if_foreign(py);
                if departs {
                    return Ok(Leave::ForASocket);
                }
            }
            match py.detach(|| self.scheduler.wait(seat)) {
                Wake::Retry => {}
                Wake::Suspect(suspicion) => {
                    self.scheduler.take_over(seat, suspicion);
                }
                Wake::Stop => return Ok(Leave::AtTheEnd),
                Wake::Leave => return Ok(Leave::NotNeeded),
            }
        }
    }

    /// Runs a request for which a permit was lent, or reports one that waits; nothing, if it has been taken back meanwhile.
    fn serve_self_call(&self, py: Python<'_>) -> PyResult<()> {
        let Some((taken, self_call)) = self.end.take_spare() else { return Ok(()) };
        // First the log: as long as the called request does not run, its caller waits and can be found.
        if let Err(error) = self.report_self_call(py, &taken, self_call) {
            error.write_unraisable(py, Some(self.observer.bind(py)));
        }
        if self_call.is_report {
            self.end.finish(taken, true);
            return Ok(());
        }
        match RequestRunner::new(py, self) {
            Ok(mut runner) => runner.run_guarded(taken).map(|_has_left| ()),
            Err(error) => {
                self.end.finish(taken, true);
                Err(error)
            }
        }
    }

    fn report_self_call(&self, py: Python<'_>, taken: &Taken, self_call: SelfCall) -> PyResult<()> {
        let called = self.end.request(taken).map(|request| named(&request)).unwrap_or_default();
        let running = self.watched.running(py, &self.end);
        let arguments = (called, self_call.caller_port, !self_call.is_report, running);
        self.observer.bind(py).call_method1("called_itself", arguments).map(drop)
    }

    /// Whatever forked while a request was run here: its child ends before it could touch another one.
    #[inline]
    pub(crate) fn leave_if_foreign(&self, py: Python<'_>) {
        if self.end.is_foreign() {
            end_child(py, None);
        }
    }

    #[inline]
    pub(crate) fn tells_routes(&self) -> bool {
        self.tells_routes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.scheduler.is_stopping()
    }

    /// The worker's end of the link.
    pub fn link_end(&self) -> Arc<WorkerEnd> {
        Arc::clone(&self.end)
    }
}
