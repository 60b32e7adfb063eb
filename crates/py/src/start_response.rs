//! The callables `start_response`, `write` and `wsgi.early_hints`, as built-in functions bound to a [`Responder`].
//!
//! Owns their signatures and exc_info; everything else is the responder's. May be called from any thread of the application.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTraceback, PyTuple};

use crate::builtin::{Entry, bind, bound, enter, text};
use crate::errors::type_name;
use crate::head::unshared;
use crate::responder::Responder;
use crate::response::Fault;

static START_RESPONSE: Entry = Entry(ffi::PyMethodDef {
    ml_name: text(c"start_response"),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: start_response },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: text(c"start_response(status, headers, exc_info=None)\n--\n\nBegin the response (PEP 3333)."),
});

static WRITE: Entry = Entry(ffi::PyMethodDef {
    ml_name: text(c"write"),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: write },
    ml_flags: ffi::METH_O,
    ml_doc: text(c"write(data, /)\n--\n\nSend a piece of the body at once (PEP 3333)."),
});

static EARLY_HINTS: Entry = Entry(ffi::PyMethodDef {
    ml_name: text(c"early_hints"),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: early_hints },
    ml_flags: ffi::METH_O,
    ml_doc: text(
        c"early_hints(headers, /)\n--\n\nTell the client what the response will need (103, RFC 8297).",
    ),
});

/// What one thread calls applications with; used again for the next request if the application kept nothing of it.
pub(crate) struct Callables {
    pub(crate) responder: Py<Responder>,
    pub(crate) start_response: Py<PyAny>,
    write: Py<PyAny>,
    /// In the dicts of which environs are copies.
    pub(crate) early_hints: Py<PyAny>,
}

impl Callables {
    pub(crate) fn new(py: Python<'_>, responder: Responder) -> PyResult<Self> {
        let responder = Py::new(py, responder)?;
        let start_response = bind(py, &START_RESPONSE, &responder)?;
        let write = bind(py, &WRITE, &responder)?;
        let early_hints = bind(py, &EARLY_HINTS, &responder)?;
        responder.get().set_write(Some(write.clone_ref(py)));
        Ok(Callables { responder, start_response, write, early_hints })
    }

    /// Whether nobody else has a reference, so that the next request cannot be answered by what was left of the last. `dicts`: how many have
    /// `early_hints`.
    #[inline]
    pub(crate) fn are_ours_alone(&self, dicts: usize) -> bool {
        // A free-threaded interpreter cannot tell cheaply: there each request gets its own.
        if cfg!(Py_GIL_DISABLED) {
            return false;
        }
        // SAFETY: the objects are alive; the GIL is held, as a `Callables` is only used by the thread that serves.
        // The responder is referred to from here and from its three functions; write from here and from the responder.
        unsafe {
            ffi::Py_REFCNT(self.start_response.as_ptr()) == 1
                && ffi::Py_REFCNT(self.write.as_ptr()) == 2
                && ffi::Py_REFCNT(self.early_hints.as_ptr()) == 1 + dicts as ffi::Py_ssize_t
                && ffi::Py_REFCNT(self.responder.as_ptr()) == 4
        }
    }
}

impl Drop for Callables {
    fn drop(&mut self) {
        // Breaks the circle of responder and write.
        drop(self.responder.get().set_write(None));
    }
}

unsafe extern "C" fn start_response(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    enter(|py| {
        // SAFETY: CPython passes the bound object, alive for the call.
        let responder = unsafe { bound::<Responder>(py, object) };
        // SAFETY: the calling convention: `count` arguments by position, then one for each name; all alive for the call.
        let (by_position, by_name) = unsafe {
            let names = Borrowed::from_ptr_or_opt(py, names).map(|names| names.cast_unchecked::<PyTuple>());
            let extra = names.map_or(0, |names| names.len());
            let all = if count as usize + extra == 0 {
                &[][..]
            } else {
                std::slice::from_raw_parts(arguments, count as usize + extra)
            };
            let (by_position, values) = all.split_at(count as usize);
            (by_position, names.map(|names| (names, values)))
        };
        // SAFETY: as above.
        let argument = |pointer: &*mut ffi::PyObject| unsafe { Borrowed::from_ptr(py, *pointer) };
        let (status, fields, mut exc_info) = match by_position {
            [status, fields] => (argument(status), argument(fields), None),
            [status, fields, exc_info] => (argument(status), argument(fields), Some(argument(exc_info))),
            other => {
                let message =
                    format!("start_response takes a status and headers, got {} arguments", other.len());
                return Err(PyTypeError::new_err(message));
            }
        };
        if let Some((names, values)) = by_name {
            for (name, value) in names.iter_borrowed().zip(values) {
                if exc_info.is_some() || name.cast::<PyString>()? != "exc_info" {
                    return Err(PyTypeError::new_err(format!(
                        "start_response has no argument {} left",
                        *name
                    )));
                }
                exc_info = Some(argument(value));
            }
        }
        start(responder.get(), &status, &fields, exc_info.filter(|info| !info.is_none()))
    })
}

#[inline]
fn start<'py>(
    responder: &Responder,
    status: &Bound<'py, PyAny>,
    fields: &Bound<'py, PyAny>,
    exc_info: Option<Borrowed<'_, 'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    if !fields.is_instance_of::<PyList>() {
        let message = format!("the headers must be a list, not {}", type_name(fields));
        return Err(PyTypeError::new_err(message));
    }
    let copy = unshared(fields)?;
    let fields = copy.as_ref().map_or(fields, |copy| copy.as_any());
    match responder.start(status, fields, exc_info.is_some()) {
        Ok(write) => {
            // Now, for Flask takes its request out of the environ before the application returns.
            responder.note_route(status.py());
            Ok(write)
        }
        Err(Fault::TooLate) => Err(raised_again(exc_info)),
        Err(fault) => Err(fault.into()),
    }
}

/// The exception of an exc_info, with its traceback. Nothing here keeps a reference to it.
fn raised_again(exc_info: Option<Borrowed<'_, '_, PyAny>>) -> PyErr {
    let Some(exc_info) = exc_info else { return Fault::TooLate.into() };
    let parts: PyResult<(Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>)> = exc_info.extract();
    match parts {
        Ok((_, value, traceback)) => {
            let error = PyErr::from_value(value);
            if let Ok(traceback) = traceback.cast_into::<PyTraceback>() {
                error.set_traceback(exc_info.py(), Some(traceback));
            }
            error
        }
        Err(error) => error,
    }
}

unsafe extern "C" fn write(object: *mut ffi::PyObject, data: *mut ffi::PyObject) -> *mut ffi::PyObject {
    enter(|py| {
        // SAFETY: CPython passes the bound object and the argument, alive for the call.
        let (responder, data) = unsafe { (bound::<Responder>(py, object), Borrowed::from_ptr(py, data)) };
        let Ok(data) = data.cast::<PyBytes>() else {
            let message = format!("write() takes bytes, not {}", type_name(&data));
            return Err(PyTypeError::new_err(message));
        };
        responder.get().write(py, &data)?;
        Ok(py.None())
    })
}

unsafe extern "C" fn early_hints(
    object: *mut ffi::PyObject,
    fields: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    enter(|py| {
        // SAFETY: CPython passes the bound object and the argument, alive for the call.
        let (responder, fields) = unsafe { (bound::<Responder>(py, object), Borrowed::from_ptr(py, fields)) };
        // A copy, which nobody changes meanwhile; it runs the code of an iterator, but under no lock.
        let fields = py.get_type::<PyTuple>().call1((&*fields,))?;
        responder.get().early_hints(&fields)?;
        Ok(py.None())
    })
}
