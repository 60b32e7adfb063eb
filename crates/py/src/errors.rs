//! Where it is reported that an application fails or breaks a rule.
//!
//! Owns the calls of the observer, and the exception for a body that does not come to its end. Must not decide what the client gets. Runs on the request's thread, with the GIL.

use std::ffi::CStr;

use pelton_link::BodyEnd;
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{create_exception, ffi, intern};

create_exception!(
    pelton,
    IncompleteBodyError,
    PyConnectionError,
    "The request's body will never be complete: the rest of it did not come, or broke a rule."
);

/// Why reading a streamed body fails.
pub(crate) fn incomplete(how: BodyEnd) -> PyErr {
    IncompleteBodyError::new_err(match how {
        BodyEnd::Gone => "the client closed its connection before its request body was complete",
        BodyEnd::Late => "the client sent nothing of its request body for too long",
        BodyEnd::Malformed => "the framing of the request body is malformed",
        BodyEnd::TooLarge => "the request body is larger than it may be",
        BodyEnd::Abandoned | BodyEnd::Complete => {
            "nobody waits for the response any more, so the rest of the request body is not received"
        }
    })
}

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
