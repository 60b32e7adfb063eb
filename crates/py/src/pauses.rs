//! How the greenlets of a worker wait: not by blocking their thread, on which all the others run, but by parking themselves.
//!
//! Owns the two callables by which the runner parks and resumes greenlets, and the knowledge of the one thread where that is done. A worker of
//! any other kind has none, and so have the other threads of a process with greenlets (a pool for what blocks, for example): they sleep.
//!
//! The native frames of several greenlets lie on one thread and take turns whenever Python code runs. So nobody may hold a lock, a
//! borrow or a state of the thread across a call of anything here.

use std::ffi::c_ulong;
use std::sync::{Arc, OnceLock};

use pyo3::ffi;
use pyo3::prelude::*;

/// Shared by a worker and whatever of it waits.
#[derive(Clone, Default)]
pub(crate) struct Pauses(Arc<OnceLock<Hub>>);

struct Hub {
    /// As `threading.get_ident()` names it.
    thread: c_ulong,
    pause: Py<PyAny>,
    resume: Py<PyAny>,
}

fn own_thread(_py: Python<'_>) -> c_ulong {
    // SAFETY: attached, so the thread has an ident.
    unsafe { ffi::PyThread_get_thread_ident() }
}

impl Pauses {
    /// The calling thread is the one whose greenlets run requests; false where that has been said before. `pause(slot)` parks the calling greenlet and
    /// returns when the slot may have news; `resume(slot)` lets all that are parked for it look again.
    pub(crate) fn begin(&self, py: Python<'_>, pause: Py<PyAny>, resume: Py<PyAny>) -> bool {
        self.0.set(Hub { thread: own_thread(py), pause, resume }).is_ok()
    }

    /// Parks the calling greenlet until the slot may have news. None: the caller is none of ours and has to sleep. An error is what somebody has raised in
    /// the greenlet meanwhile, for example because its time is over.
    pub(crate) fn pause(&self, py: Python<'_>, slot: u32) -> Option<PyResult<()>> {
        let hub = self.0.get().filter(|hub| hub.thread == own_thread(py))?;
        Some(hub.pause.call1(py, (slot,)).map(drop))
    }

    /// Whether the caller has to use [`Pauses::pause`] instead of sleeping.
    pub(crate) fn must_pause(&self, py: Python<'_>) -> bool {
        self.0.get().is_some_and(|hub| hub.thread == own_thread(py))
    }

    /// Something happened to the slot on this side of the link. From any thread.
    pub(crate) fn resume(&self, py: Python<'_>, slot: u32) {
        if let Some(hub) = self.0.get()
            && let Err(error) = hub.resume.call1(py, (slot,))
        {
            error.write_unraisable(py, Some(hub.resume.bind(py)));
        }
    }
}
