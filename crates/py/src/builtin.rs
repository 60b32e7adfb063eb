//! Built-in functions bound to an object of ours: what `start_response`, `write` and `client_gone` are.
//!
//! Instead of classes with `__call__`: the interpreter calls them without making a tuple of the arguments. Owns the binding and the border
//! that no panic crosses; must not know what the functions do.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A method table entry that lives as long as the process.
pub(crate) struct Entry(pub(crate) ffi::PyMethodDef);
// SAFETY: never written; the pointers in it are to static text and functions.
unsafe impl Sync for Entry {}

pub(crate) const fn text(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}

/// A function that calls the entry's with `object` as its first argument, and keeps that alive.
pub(crate) fn bind<T>(py: Python<'_>, entry: &'static Entry, object: &Py<T>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; the entry is static and CPython only reads it; a new reference or an exception comes back.
    unsafe {
        let function =
            ffi::PyCFunction_NewEx((&raw const entry.0).cast_mut(), object.as_ptr(), ptr::null_mut());
        Ok(Bound::from_owned_ptr_or_err(py, function)?.unbind())
    }
}

/// Turns a result into what CPython expects; no panic leaves it.
pub(crate) fn enter(call: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> *mut ffi::PyObject {
    Python::attach(|py| {
        let error = match catch_unwind(AssertUnwindSafe(|| call(py))) {
            Ok(Ok(value)) => return value.into_ptr(),
            Ok(Err(error)) => error,
            Err(_) => PyRuntimeError::new_err("a fault of pelton; please report it"),
        };
        error.restore(py);
        ptr::null_mut()
    })
}

/// The object that a function is bound to.
///
/// # Safety
/// `object` must be the `self` of a function that [`bind`] made for a `T`, alive for `'a`.
pub(crate) unsafe fn bound<'a, T>(py: Python<'a>, object: *mut ffi::PyObject) -> Borrowed<'a, 'a, T> {
    // SAFETY: `bind` binds nothing else.
    unsafe { Borrowed::from_ptr(py, object).cast_unchecked() }
}
