//! Who is told when an application fails or breaks a rule.
//!
//! Owns the calls of the observer. Must not decide what the client gets. Runs on the request's thread, with the GIL.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

/// The application raised `error`. Nothing the observer does can stop the request: its own errors go to `sys.unraisablehook`.
pub(crate) fn report_failure(observer: &Bound<'_, PyAny>, environ: &Bound<'_, PyDict>, error: PyErr) {
    let py = observer.py();
    let error = error.into_value(py);
    if let Err(error) = observer.call_method1(intern!(py, "failed"), (environ, error)) {
        error.write_unraisable(py, Some(observer));
    }
}

/// The application broke a rule of WSGI; `message` says which.
pub(crate) fn report_misuse(observer: &Bound<'_, PyAny>, environ: &Bound<'_, PyDict>, message: &str) {
    let py = observer.py();
    if let Err(error) = observer.call_method1(intern!(py, "misused"), (environ, message)) {
        error.write_unraisable(py, Some(observer));
    }
}

/// A name for messages: the type of `object`. Makes no Python object, so it may be called under a lock.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    // SAFETY: a live object has a live type, and a type's name is a C string that is set for good when the type is made.
    let name = unsafe { CStr::from_ptr((*ffi::Py_TYPE(object.as_ptr())).tp_name) };
    name.to_string_lossy().into_owned()
}
