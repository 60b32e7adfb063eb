//! Children that the application forks while it runs a request: what they read in place of the request, and how one ends that comes back.
//!
//! That they reach nobody is `pelton_link`'s doing (`fork`); here nothing is decided but that such a child does not go on. What is said, and with
//! which code it ends, is Python's (`pelton/process/forks.py`).

use std::os::fd::RawFd;
use std::sync::Mutex;

use pelton_link::{Kept, keep_open_descriptor};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

pub(crate) const FOREIGN: &str =
    "this process was forked from the one that serves the request: only that one can read it or answer it";

/// What a method that needs the request raises in such a child.
pub(crate) fn foreign() -> PyErr {
    PyRuntimeError::new_err(FOREIGN)
}

/// The application has forked, and its child has come back here, perhaps with what it raised: this process ends.
#[cold]
pub(crate) fn end_child(py: Python<'_>, error: Option<PyErr>) -> ! {
    let raised = error.map(|error| error.into_value(py));
    let reported =
        py.import("pelton.process.forks").and_then(|forks| forks.call_method1("come_back", (raised,)));
    if let Err(error) = reported {
        error.print(py);
    }
    // SAFETY: ends the process, without anything that was registered for its end.
    unsafe { libc::_exit(1) }
}

/// The process in which this object was made.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Origin {
    origin: pelton_link::Origin,
}

#[pymethods]
impl Origin {
    #[new]
    fn new() -> Self {
        Origin { origin: pelton_link::Origin::here() }
    }

    /// Whether that is this process, and not one that was forked from it since.
    fn is_here(&self) -> bool {
        self.origin.is_here()
    }
}

/// A descriptor that leads nowhere in forked children, as long as this object lives and is not closed.
#[pyclass(frozen, module = "pelton._engine")]
pub struct KeptDescriptor {
    kept: Mutex<Option<Kept>>,
}

#[pymethods]
impl KeptDescriptor {
    #[new]
    fn new(descriptor: RawFd) -> PyResult<Self> {
        Ok(KeptDescriptor { kept: Mutex::new(Some(keep_open_descriptor(descriptor)?)) })
    }

    /// To be called before the descriptor is closed.
    fn close(&self) {
        drop(self.kept.lock().map(|mut kept| kept.take()));
    }
}
