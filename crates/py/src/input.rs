//! `wsgi.input`: the request's body as a file for reading.
//!
//! Owns the border between Python and [`Body`]. The object may outlive its request, or be read by another thread while the request runs, so
//! the body lies in a mutex, and `detach` takes it out before the slot is let go: afterwards every method raises ValueError and no
//! memory of the slot can be reached.
//!
//! Under the mutex no Python object is made and no Python code runs; a thread that reads much does it without the GIL, which is no
//! danger to one that waits for the mutex with it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::body::Body;

/// From this size on a read is worth giving the GIL up.
const LONG_READ: usize = 64 * 1024;

enum Content {
    /// No body: reading gives nothing, at any time. Shared by many requests.
    Empty,
    Body(Body),
    /// The request is over.
    Detached,
}

/// The body of a request, as `wsgi.input`.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Input {
    content: Mutex<Content>,
}

#[pymethods]
impl Input {
    /// Up to `size` bytes, or all that is left.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = self.with_body(0, |body| Ok(usize::try_from(body.left()).unwrap_or(usize::MAX)))?;
        let wanted = limit(size).min(wanted);
        if wanted == 0 {
            return Ok(PyBytes::new(py, b""));
        }
        let mut read = Ok(0);
        let bytes = new_bytes(py, wanted, |place| {
            read = self.read_into(py, place);
            *read.as_ref().unwrap_or(&0)
        })?;
        // Another thread may have read in between, or the disk may have failed.
        read.map(|_| bytes)
    }

    /// Fills `buffer` as far as the body goes; gives the number of bytes.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyBuffer::<u8>::get(buffer)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("readinto() needs a writable, contiguous buffer"));
        }
        // Through memory of our own: the buffer's may be changed by others while the GIL is released.
        let left = self.with_body(0, |body| Ok(usize::try_from(body.left()).unwrap_or(usize::MAX)))?;
        let mut bytes = vec![0; left.min(buffer.len_bytes())];
        let read = self.read_into(py, &mut bytes)?;
        let bytes = bytes.get(..read).unwrap_or_default();
        // SAFETY: attached; the buffer is writable, contiguous and at least as long as `bytes` (checked above), it is locked against
        // resizing as long as `buffer` lives, and `bytes` is memory of our own.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.buf_ptr().cast(), bytes.len()) };
        Ok(read)
    }

    /// One line with its end, or its first `size` bytes.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.line(limit(size))?))
    }

    /// All lines that are left; with a positive `hint` no more once they have that many bytes together.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let hint = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|&hint| hint > 0);
        let lines = PyList::empty(py);
        let mut total = 0;
        loop {
            let line = self.line(usize::MAX)?;
            if line.is_empty() {
                return Ok(lines);
            }
            lines.append(PyBytes::new(py, &line))?;
            total += line.len();
            if hint.is_some_and(|hint| total >= hint) {
                return Ok(lines);
            }
        }
    }

    fn readable(&self) -> bool {
        true
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.line(usize::MAX)?;
        Ok((!line.is_empty()).then(|| PyBytes::new(py, &line)))
    }
}

impl Input {
    /// The input of requests without a body.
    pub(crate) fn empty() -> Self {
        Input { content: Mutex::new(Content::Empty) }
    }

    pub(crate) fn new(body: Body) -> Self {
        Input { content: Mutex::new(Content::Body(body)) }
    }

    /// Ends all reading: the request is over.
    pub(crate) fn detach(&self) {
        let content = std::mem::replace(&mut *self.lock(), Content::Detached);
        // Closes a file, outside of the lock.
        drop(content);
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_body<T>(&self, nothing: T, use_body: impl FnOnce(&mut Body) -> io::Result<T>) -> PyResult<T> {
        match &mut *self.lock() {
            Content::Empty => Ok(nothing),
            Content::Body(body) => Ok(use_body(body)?),
            Content::Detached => Err(PyValueError::new_err(
                "I/O operation on closed file: the request of this wsgi.input is over",
            )),
        }
    }

    fn read_into(&self, py: Python<'_>, place: &mut [u8]) -> PyResult<usize> {
        if place.len() < LONG_READ {
            self.with_body(0, |body| body.read(place))
        } else {
            py.detach(|| self.with_body(0, |body| body.read(place)))
        }
    }

    fn line(&self, limit: usize) -> PyResult<Vec<u8>> {
        let mut line = Vec::new();
        self.with_body((), |body| body.read_line(limit, &mut line))?;
        Ok(line)
    }
}

/// None and negative sizes mean "everything".
fn limit(size: Option<isize>) -> usize {
    size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// A bytes object of `length`, cut to what `fill` gives. One copy, unlike making it from a vector.
fn new_bytes(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> usize,
) -> PyResult<Bound<'_, PyBytes>> {
    let Ok(size) = ffi::Py_ssize_t::try_from(length) else {
        return Err(PyValueError::new_err("the size is beyond what bytes can hold"));
    };
    // SAFETY: attached. A fresh bytes object has `length` writable bytes and no other reference, so nobody sees it before it is filled;
    // they are zeroed before they become a slice.
    let (bytes, place) = unsafe {
        let object =
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?;
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
        std::ptr::write_bytes(start, 0, length);
        (object.cast_into_unchecked::<PyBytes>(), std::slice::from_raw_parts_mut(start, length))
    };
    let filled = fill(place);
    Ok(if filled < length { PyBytes::new(py, place.get(..filled).unwrap_or_default()) } else { bytes })
}
