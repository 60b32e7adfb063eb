//! The class `Worker`: the loop in which a thread takes requests and runs them.
//!
//! Owns what all threads of a worker share. Which thread takes when is the scheduler's business, what happens to a request is `desk`'s.
//! `serve` runs on threads that Python made, never on the main thread, so signals are not its concern.

use std::sync::Arc;

use penstock_link::{Scheduler, Wake, WorkerEnd};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::desk::Desk;
use crate::link::Link;

/// Calls one WSGI application for the requests that arrive over one link.
#[pyclass(frozen, module = "penstock._engine")]
pub struct Worker {
    pub(crate) end: Arc<WorkerEnd>,
    scheduler: Scheduler,
    pub(crate) application: Py<PyAny>,
    pub(crate) environs: Vec<Py<PyDict>>,
    pub(crate) file_wrapper: Py<PyType>,
    pub(crate) observer: Py<PyAny>,
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
        Ok(Worker { end, scheduler, application, environs, file_wrapper, observer })
    }

    /// Run requests on the calling thread until `stop`.
    fn serve(&self, py: Python<'_>, thread: usize) -> PyResult<()> {
        let Some(mut seat) = self.scheduler.seat(thread) else {
            return Err(PyValueError::new_err(format!("there is no free seat for thread {thread}")));
        };
        let mut desk = Desk::new(py, self)?;
        loop {
            // The GIL is held all the time, also between requests; other threads get it when the interpreter yields.
            while let Some(taken) = self.scheduler.try_take(&mut seat) {
                desk.run_guarded(taken)?;
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

    /// Let every serving thread return once it has finished its request.
    fn stop(&self) {
        self.scheduler.stop();
    }
}

impl Worker {
    /// The worker's end of the link.
    pub fn link_end(&self) -> Arc<WorkerEnd> {
        Arc::clone(&self.end)
    }
}
