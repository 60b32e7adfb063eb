//! The class `Worker`: the loop in which a thread takes requests and runs them.
//!
//! Owns what all threads of a worker share. Which thread takes when is the scheduler's business, what happens to a request is `desk`'s.
//! `serve` runs on threads that Python made, never on the main thread, so signals are not its concern; `next_overdue` on the watch's own.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use penstock_link::{Scheduler, Wake, WorkerEnd};
use pyo3::exceptions::{PyBaseException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::desk::Desk;
use crate::front::timeout_of;
use crate::interrupt::Watched;
use crate::link::Link;
use crate::overdue::Overdue;
use crate::pauses::Pauses;
use crate::request::EnvironBuilder;

/// The heart beats at least this often, and a request whose window was shut when it was to be interrupted is found after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Calls one WSGI application for the requests that arrive over one link.
#[pyclass(frozen, module = "penstock._engine")]
pub struct Worker {
    pub(crate) end: Arc<WorkerEnd>,
    scheduler: Scheduler,
    pub(crate) application: Py<PyAny>,
    pub(crate) environs: Vec<Py<PyDict>>,
    pub(crate) file_wrapper: Py<PyType>,
    pub(crate) observer: Py<PyAny>,
    pub(crate) watched: Watched,
    pub(crate) pauses: Pauses,
    /// What the desks of all greenlets build environs with, one at a time; see `desk`.
    pub(crate) environ_builder: Mutex<Option<EnvironBuilder>>,
}

#[pymethods]
impl Worker {
    #[new]
    fn new(
        link: &Bound<'_, Link>,
        application: Py<PyAny>,
        environs: Vec<Py<PyDict>>,
        file_wrapper: Py<PyType>,
        observer: Py<PyAny>,
    ) -> PyResult<Self> {
        let (end, threads) = link.get().take_worker_end()?;
        let scheduler = Scheduler::new(Arc::clone(&end), threads);
        let watched = Watched::default();
        Ok(Worker {
            end,
            scheduler,
            application,
            environs,
            file_wrapper,
            observer,
            watched,
            pauses: Pauses::default(),
            environ_builder: Mutex::default(),
        })
    }

    /// Run requests on the calling thread until `stop`, or one request only.
    #[pyo3(signature = (thread, *, once = false))]
    fn serve(&self, py: Python<'_>, thread: usize, once: bool) -> PyResult<()> {
        let Some(mut seat) = self.scheduler.seat(thread) else {
            return Err(PyValueError::new_err(format!("there is no free seat for thread {thread}")));
        };
        let mut desk = Desk::new(py, self)?;
        loop {
            // The GIL is held all the time, also between requests; other threads get it when the interpreter yields.
            while let Some(taken) = self.scheduler.try_take(&mut seat) {
                desk.run_guarded(taken)?;
                if once {
                    self.scheduler.leave(seat);
                    return Ok(());
                }
            }
            match py.detach(|| self.scheduler.wait(&mut seat)) {
                Wake::Retry => {}
                Wake::Suspect(suspicion) => {
                    self.scheduler.take_over(&seat, suspicion);
                }
                Wake::Stop => return Ok(()),
            }
        }
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
    fn serve_greenlet(&self, py: Python<'_>, seat: u32, rest: &Bound<'_, PyAny>) -> PyResult<()> {
        self.serve_on_greenlet(py, seat, rest)
    }

    /// Announce that the thread is about to sleep on its descriptor; False when there is something to do.
    fn prepare_sleep(&self, takes_requests: bool) -> bool {
        self.end.prepare_sleep(takes_requests && !self.is_stopping())
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

    /// Mark such a request as interrupted and give its greenlet's seat; None when that is over.
    fn claim(&self, py: Python<'_>, overdue: &Bound<'_, Overdue>) -> Option<u32> {
        let overdue = overdue.get();
        let is_ours = Arc::ptr_eq(&overdue.end, &self.end);
        if is_ours { self.watched.claim(py, overdue.slot, overdue.generation, overdue.why) } else { None }
    }

    /// Let every serving thread return once it has finished its request.
    fn stop(&self) {
        self.scheduler.stop();
    }

    /// Wait for a request that is to be interrupted; None when the time is over.
    fn next_overdue(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<Overdue>> {
        let deadline = Instant::now() + timeout_of(timeout)?;
        // What came for requests that the front has given to another worker would keep its place on the disk.
        py.detach(|| self.end.drop_stale_files());
        loop {
            // The interpreter has just let us in: that is what a beat says.
            self.end.beat();
            // Read before looking, so that what becomes overdue after the look ends the wait.
            let ticket = self.end.alarm();
            if let Some(found) = self.watched.find(py, &self.end) {
                return Ok(Some(Overdue::new(&self.end, found)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            py.detach(|| self.end.wait_alarm(ticket, left.min(LONGEST_PAUSE)));
        }
    }

    /// Raise an exception in the thread of such a request; False when that is over.
    fn interrupt(&self, overdue: &Bound<'_, Overdue>, exception: &Bound<'_, PyType>) -> PyResult<bool> {
        if !exception.is_subclass_of::<PyBaseException>()? {
            return Err(PyTypeError::new_err("only classes of exceptions can be raised"));
        }
        let overdue = overdue.get();
        let is_ours = Arc::ptr_eq(&overdue.end, &self.end);
        Ok(is_ours && self.watched.interrupt(overdue.slot, overdue.generation, overdue.why, exception))
    }
}

impl Worker {
    pub(crate) fn is_stopping(&self) -> bool {
        self.scheduler.is_stopping()
    }

    /// The worker's end of the link.
    pub fn link_end(&self) -> Arc<WorkerEnd> {
        Arc::clone(&self.end)
    }
}
