//! The class `Link`: both halves of a private link until the front and the worker fetch theirs.
//!
//! Owns nothing else. Used from the thread that starts penstock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use penstock_link::{FrontHalf, WorkerEnd, private_link};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The memory between one front and one worker, private to this process.
#[pyclass(frozen, module = "penstock._engine")]
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
        if threads == 0 {
            return Err(PyValueError::new_err("a link needs at least one thread"));
        }
        let (front_half, end) = private_link(threads)?;
        Ok(Link {
            threads,
            end,
            front_half: Mutex::new(Some(front_half)),
            has_worker: AtomicBool::new(false),
        })
    }

    /// Requests that can be between front and worker at once.
    #[getter]
    fn slots(&self) -> usize {
        self.end.slots()
    }
}

impl Link {
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
