//! Which of the application's routes a request has met, as its framework says it in the environ.
//!
//! Owns where each framework leaves it. Runs on the request's thread, in `start_response`, and only where metrics are counted.
//! What an attribute of the application raises is none of its business.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{Bound, ffi, intern};

/// An environ from the beginning of a request until its response is started, and how many keys it had: the smallest applications add none, and three searches
/// in it would be most of what metrics cost them. Without a lock: whoever takes it out has it.
#[derive(Default)]
pub(crate) struct KeptEnviron {
    /// A dict with a reference of ours, or null.
    dict: AtomicPtr<ffi::PyObject>,
    keys: AtomicUsize,
}

impl KeptEnviron {
    /// As the application gets it. It must be taken out again.
    #[inline]
    pub(crate) fn keep(&self, environ: &Bound<'_, PyDict>) {
        self.keys.store(environ.len(), Ordering::Relaxed);
        let before = self.dict.swap(environ.clone().into_ptr(), Ordering::AcqRel);
        debug_assert!(before.is_null(), "who begins a request has ended the former one");
    }

    /// The pattern, such as `/users/<int:id>`; None where nobody has said it, and for whoever asks again.
    #[inline]
    pub(crate) fn route<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        let environ = self.take(py)?;
        let keys = self.keys.load(Ordering::Relaxed);
        if environ.len() == keys && has_none_behind(&environ, keys) { None } else { route_of(&environ) }
    }

    /// The request is over.
    #[inline]
    pub(crate) fn forget(&self, py: Python<'_>) {
        drop(self.take(py));
    }

    #[inline]
    fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        if self.dict.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let dict = self.dict.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: attached. Null, or a dict whose reference was put there by `keep`, and belongs to whoever has swapped it out.
        unsafe { Bound::from_owned_ptr_or_opt(py, dict).map(|dict| dict.cast_into_unchecked()) }
    }
}

/// Whether no key has been added behind so many places. A dict keeps the order in which its keys came, and fills the gap of one that was taken out only when
/// it makes room: so one that came in its stead is found.
#[inline]
fn has_none_behind(environ: &Bound<'_, PyDict>, places: usize) -> bool {
    let mut at = places as ffi::Py_ssize_t;
    // SAFETY: attached, and a live dict; any number may be given, and one that is no place ends the search. Nothing is asked for but whether there is one.
    unsafe { ffi::PyDict_Next(environ.as_ptr(), &raw mut at, ptr::null_mut(), ptr::null_mut()) == 0 }
}

fn route_of<'py>(environ: &Bound<'py, PyDict>) -> Option<Bound<'py, PyString>> {
    let py = environ.py();
    let item = |key| environ.get_item(key).ok().flatten();
    let pattern = if let Some(route) = item(intern!(py, "pelton.route")) {
        route
    } else if let Some(request) = item(intern!(py, "werkzeug.request")) {
        // Flask's and Werkzeug's requests; None where nothing has matched.
        let rule = request.getattr_opt(intern!(py, "url_rule")).ok()??;
        rule.getattr_opt(intern!(py, "rule")).ok()??
    } else {
        item(intern!(py, "bottle.route"))?.getattr_opt(intern!(py, "rule")).ok()??
    };
    pattern.cast_into::<PyString>().ok()
}
