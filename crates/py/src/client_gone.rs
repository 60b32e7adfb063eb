//! `environ["pelton.client_gone"]`: a function that says whether nobody waits for the response any more.
//!
//! # How it costs next to nothing
//! It is in the dict of which every environ is a copy, so a request only tells it which one it is: a store. That is right as long as nobody
//! has kept the function of the request before, which would then speak of this one. So after each request its references are counted, and if
//! there is one too many (the environ lives on, in a traceback perhaps), the thread makes a new one; the old one goes on to speak of the
//! old request, which is over, and says True for ever.
//!
//! May be called by any thread at any time. Nothing here waits or locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pelton_link::{Taken, WorkerEnd};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::builtin::{Entry, bind, bound, enter, text};

static CLIENT_GONE: Entry = Entry(ffi::PyMethodDef {
    ml_name: text(c"client_gone"),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: client_gone },
    ml_flags: ffi::METH_NOARGS,
    ml_doc: text(
        c"client_gone()\n--\n\nWhether nobody waits for the response any more. True once the request is over.",
    ),
});

/// Which request is meant.
#[pyclass(frozen, module = "pelton._engine", name = "_Asked")]
struct Asked {
    end: Arc<WorkerEnd>,
    /// generation << 32 | slot. At first one that does not exist, of which all is over.
    request: AtomicU64,
}

/// The function of one thread; see the module's head.
pub(crate) struct ClientGone {
    asked: Py<Asked>,
    function: Py<PyAny>,
}

impl ClientGone {
    pub(crate) fn new(py: Python<'_>, end: &Arc<WorkerEnd>) -> PyResult<Self> {
        let request = AtomicU64::new(u64::from(u32::MAX));
        let asked = Py::new(py, Asked { end: Arc::clone(end), request })?;
        let function = bind(py, &CLIENT_GONE, &asked)?;
        Ok(ClientGone { asked, function })
    }

    pub(crate) fn function(&self) -> &Py<PyAny> {
        &self.function
    }

    /// It speaks of this request from now on.
    #[inline]
    pub(crate) fn begin(&self, taken: &Taken) {
        let request = u64::from(taken.generation()) << 32 | u64::from(taken.slot());
        self.asked.get().request.store(request, Ordering::Relaxed);
    }

    /// Whether it is known to nobody but this thread and the `dicts` of which environs are copies.
    #[inline]
    pub(crate) fn is_ours_alone(&self, dicts: usize) -> bool {
        // A free-threaded interpreter cannot tell cheaply: there each request gets its own.
        if cfg!(Py_GIL_DISABLED) {
            return false;
        }
        // SAFETY: the objects are alive; the GIL is held, as this is only used by the thread that serves.
        unsafe {
            ffi::Py_REFCNT(self.function.as_ptr()) == 1 + dicts as ffi::Py_ssize_t
                && ffi::Py_REFCNT(self.asked.as_ptr()) == 2
        }
    }
}

unsafe extern "C" fn client_gone(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    enter(|py| {
        // SAFETY: CPython passes the bound object, alive for the call.
        let asked = unsafe { bound::<Asked>(py, object) };
        let request = asked.get().request.load(Ordering::Relaxed);
        let is_left = asked.get().end.is_left(request as u32, (request >> 32) as u32);
        Ok(PyBool::new(py, is_left).to_owned().into_any().unbind())
    })
}
