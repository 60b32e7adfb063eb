//! The class `Link`: what a front and a worker need of each other, until they fetch it.
//!
//! Within one process both halves; in a worker process only the worker's end, whose front is another process. Owns nothing else. Used from
//! the thread that starts pelton.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pelton_link::{FrontHalf, WorkerEnd, private_link};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The memory between one front and one worker.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Link {
    threads: usize,
    end: Arc<WorkerEnd>,
    front_half: Mutex<Option<FrontHalf>>,
    has_worker: AtomicBool,
}

#[pymethods]
impl Link {
    #[new]
    fn new(threads: usize) -> PyResult<Self> {
        let (front_half, end) = private_link(at_least_one(threads)?)?;
        Ok(Link::over(threads, end, Some(front_half)))
    }

    /// A worker process's end.
    #[staticmethod]
    fn joined(
        threads: usize,
        memory: RawFd,
        bodies: RawFd,
        doorbell: RawFd,
        socket: RawFd,
    ) -> PyResult<Self> {
        let (memory, bodies) = (File::from(duplicate(memory)?), File::from(duplicate(bodies)?));
        let (doorbell, socket) = (duplicate(doorbell)?, duplicate(socket)?);
        let end = WorkerEnd::join(&memory, &bodies, doorbell, socket, at_least_one(threads)?)?;
        Ok(Link::over(threads, Arc::new(end), None))
    }

    /// Requests that can be between front and worker at once.
    #[getter]
    fn slots(&self) -> usize {
        self.end.slots()
    }

    /// The front has died: nobody waits for any response of this link.
    fn sever(&self) {
        self.end.sever();
    }
}

impl Link {
    fn over(threads: usize, end: Arc<WorkerEnd>, front_half: Option<FrontHalf>) -> Self {
        Link { threads, end, front_half: Mutex::new(front_half), has_worker: AtomicBool::new(false) }
    }

    /// How many threads the worker will have.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The front's half, for the first who asks.
    pub fn take_front_half(&self) -> PyResult<FrontHalf> {
        let mut half = self.front_half.lock().unwrap_or_else(PoisonError::into_inner);
        half.take().ok_or_else(|| PyValueError::new_err("this link already has a front"))
    }

    /// The worker's end and the number of threads, for the first who asks.
    pub(crate) fn take_worker_end(&self) -> PyResult<(Arc<WorkerEnd>, usize)> {
        if self.has_worker.swap(true, Ordering::Relaxed) {
            return Err(PyValueError::new_err("this link already has a worker"));
        }
        Ok((Arc::clone(&self.end), self.threads))
    }
}

pub(crate) fn at_least_one(threads: usize) -> PyResult<usize> {
    if threads == 0 {
        return Err(PyValueError::new_err("a link needs at least one thread"));
    }
    Ok(threads)
}

/// A descriptor of our own for what Python names by a number.
pub(crate) fn duplicate(raw: RawFd) -> PyResult<OwnedFd> {
    if raw < 0 {
        return Err(PyValueError::new_err(format!("{raw} is not a descriptor")));
    }
    // SAFETY: not negative; whether it is open is found out by duplicating it, at once.
    Ok(unsafe { BorrowedFd::borrow_raw(raw) }.try_clone_to_owned()?)
}
