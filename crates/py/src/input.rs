//! `wsgi.input`: the request's body as a file for reading.
//!
//! Owns the border between Python and [`Body`]. The object may outlive its request, or be read by another thread while the request runs, so
//! the body lies in a mutex, and `detach` takes it out before the slot is let go: afterwards every method raises ValueError and no
//! memory of the slot can be reached.
//!
//! Under the mutex no Python object is made and no Python code runs; a thread that reads much does it without the GIL, which is no
//! danger to one that waits for the mutex with it. For a body that is still coming a thread waits without the GIL and without the mutex:
//! otherwise one that comes with the GIL, the request's own at its end for example, would stop the whole interpreter for as long as a client likes.
//! A greenlet parks itself instead (see `pauses`).

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pelton_link::Origin;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::body::Body;
use crate::errors::incomplete;
use crate::fork::foreign;
use crate::pauses::Pauses;
use crate::stream::{Got, Stream};

/// From this size on a read is worth giving the GIL up: of a file, for which the disk may be asked.
const LONG_READ: usize = 64 * 1024;
/// And of memory, where it is some tenths of a millisecond. To give it up and get it back among busy threads costs more than to copy less.
const LONG_COPY: usize = 2 * 1024 * 1024;

enum Content {
    /// No body: reading gives nothing, at any time. Shared by many requests.
    Empty,
    Body(Body),
    /// A body that is still coming.
    Stream(Stream),
    /// The request is over.
    Detached,
}

/// The body of a request, as `wsgi.input`.
#[pyclass(frozen, module = "pelton._engine")]
pub(crate) struct Input {
    content: Mutex<Content>,
    pauses: Pauses,
    origin: Origin,
}

#[pymethods]
impl Input {
    /// `size` bytes, or all that is left; fewer only at the end of the body.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        if self.is_streamed() {
            return copied(py, &self.stream_bytes(py, limit(size), Enough::All)?);
        }
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

    /// What there is, but at most `size` bytes; waits for the first of them if it must. Nothing only at the end of the body.
    #[pyo3(signature = (size=None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        if self.is_streamed() {
            return copied(py, &self.stream_bytes(py, limit(size), Enough::Something)?);
        }
        self.read(py, size)
    }

    /// Fills `buffer` as far as the body goes; gives the number of bytes.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyBuffer::<u8>::get(buffer)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("readinto() needs a writable, contiguous buffer"));
        }
        // Through memory of our own: the buffer's may be changed by others while the GIL is released.
        let bytes = if self.is_streamed() {
            self.stream_bytes(py, buffer.len_bytes(), Enough::All)?
        } else {
            let left = self.with_body(0, |body| Ok(usize::try_from(body.left()).unwrap_or(usize::MAX)))?;
            let wanted = left.min(buffer.len_bytes());
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(wanted).map_err(|_| no_memory())?;
            let read =
                self.read_into(py, bytes.spare_capacity_mut().get_mut(..wanted).unwrap_or_default())?;
            // SAFETY: so many were written from the beginning, and are within the capacity.
            unsafe { bytes.set_len(read) };
            bytes
        };
        // SAFETY: attached; the buffer is writable, contiguous and at least as long as `bytes` (which has at most its length), it is locked
        // against resizing as long as `buffer` lives, and `bytes` is memory of our own.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.buf_ptr().cast(), bytes.len()) };
        Ok(bytes.len())
    }

    /// One line with its end, or its first `size` bytes.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        copied(py, &self.line(py, limit(size))?)
    }

    /// All lines that are left; with a positive `hint` no more once they have that many bytes together.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let hint = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|&hint| hint > 0);
        let lines = PyList::empty(py);
        let mut total = 0;
        loop {
            let line = self.line(py, usize::MAX)?;
            if line.is_empty() {
                return Ok(lines);
            }
            lines.append(copied(py, &line)?)?;
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
        let line = self.line(py, usize::MAX)?;
        if line.is_empty() { Ok(None) } else { copied(py, &line).map(Some) }
    }
}

impl Input {
    /// The input of requests without a body.
    pub(crate) fn empty() -> Self {
        Input { content: Mutex::new(Content::Empty), pauses: Pauses::default(), origin: Origin::here() }
    }

    pub(crate) fn new(body: Body) -> Self {
        Input { content: Mutex::new(Content::Body(body)), pauses: Pauses::default(), origin: Origin::here() }
    }

    pub(crate) fn streamed(stream: Stream, pauses: Pauses) -> Self {
        Input { content: Mutex::new(Content::Stream(stream)), pauses, origin: Origin::here() }
    }

    /// Ends all reading: the request is over.
    pub(crate) fn detach(&self, py: Python<'_>) {
        let content = std::mem::replace(&mut *self.lock(), Content::Detached);
        // Outside of the lock: closes a file, or wakes those that wait for a stream and will find it detached.
        if let Content::Stream(stream) = content {
            let slot = stream.slot();
            stream.close();
            self.pauses.resume(py, slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_body<T>(&self, nothing: T, use_body: impl FnOnce(&mut Body) -> io::Result<T>) -> PyResult<T> {
        match &mut *self.lock() {
            Content::Empty => Ok(nothing),
            Content::Body(body) if body.is_shared() && !self.origin.is_here() => Err(foreign()),
            Content::Body(body) => use_body(body).map_err(unread),
            // Whether it is one is asked before, and does not change except to Detached.
            Content::Stream(_) => Ok(nothing),
            Content::Detached => Err(over()),
        }
    }

    fn is_streamed(&self) -> bool {
        matches!(&*self.lock(), Content::Stream(_))
    }

    /// Runs `step` until it has got what it wants, and waits in between.
    fn wait_for(&self, py: Python<'_>, mut step: impl FnMut(&mut Stream) -> Got) -> PyResult<()> {
        loop {
            if !self.origin.is_here() {
                return Err(foreign());
            }
            let got = match &mut *self.lock() {
                Content::Stream(stream) => step(stream),
                _ => return Err(over()),
            };
            match got {
                Got::All => return Ok(()),
                Got::Broken(how) => return Err(incomplete(how)),
                Got::NoMemory => return Err(no_memory()),
                Got::Wait(end, ticket) if self.pauses.must_pause(py) => {
                    if end.is_body_quiet(&ticket) {
                        self.pauses.pause(py, ticket.slot()).unwrap_or(Ok(()))?;
                    }
                }
                Got::Wait(end, ticket) => py.detach(|| end.wait_body(ticket, None)),
            }
        }
    }

    fn stream_bytes(&self, py: Python<'_>, limit: usize, enough: Enough) -> PyResult<Vec<u8>> {
        // Grows with what has come: `limit` is often no more than a client's claim.
        let mut bytes = Vec::new();
        self.wait_for(py, |stream| match stream.read(limit, &mut bytes) {
            Got::Wait(..) | Got::Broken(_) if enough == Enough::Something && !bytes.is_empty() => Got::All,
            got => got,
        })?;
        Ok(bytes)
    }

    fn read_into(&self, py: Python<'_>, place: &mut [MaybeUninit<u8>]) -> PyResult<usize> {
        let is_short = self.with_body(true, |body| {
            Ok(place.len() < if body.is_in_memory() { LONG_COPY } else { LONG_READ })
        })?;
        if is_short {
            self.with_body(0, |body| body.read(place))
        } else {
            py.detach(|| self.with_body(0, |body| body.read(place)))
        }
    }

    fn line(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<u8>> {
        let mut line = Vec::new();
        if self.is_streamed() {
            self.wait_for(py, |stream| stream.read_line(limit, &mut line))?;
            return Ok(line);
        }
        self.with_body((), |body| body.read_line(limit, &mut line))?;
        Ok(line)
    }
}

/// With what a reader of a stream is content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enough {
    All,
    Something,
}

fn over() -> PyErr {
    PyValueError::new_err("I/O operation on closed file: the request of this wsgi.input is over")
}

/// Why a body that has come could not be read.
fn unread(error: io::Error) -> PyErr {
    if error.kind() == io::ErrorKind::OutOfMemory { no_memory() } else { error.into() }
}

fn no_memory() -> PyErr {
    PyMemoryError::new_err("there is no memory for so much of the request's body")
}

/// As an object of Python's; MemoryError where there is no room for it, which `PyBytes::new` would panic about.
fn copied<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |place| {
        place.copy_from_slice(bytes);
        Ok(())
    })
}

/// None and negative sizes mean "everything".
fn limit(size: Option<isize>) -> usize {
    size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// A bytes object of `length`, cut to what `fill` says that it has written from the beginning. One copy, unlike making it from a vector, and nothing
/// is written twice: to zero a megabyte first costs a fifth of copying it.
fn new_bytes(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> usize,
) -> PyResult<Bound<'_, PyBytes>> {
    let Ok(size) = ffi::Py_ssize_t::try_from(length) else {
        return Err(PyValueError::new_err("the size is beyond what bytes can hold"));
    };
    // SAFETY: attached. A fresh bytes object has `length` writable bytes and no other reference, so nobody sees it before it is filled.
    let (bytes, place) = unsafe {
        let object =
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?;
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        (object.cast_into_unchecked::<PyBytes>(), std::slice::from_raw_parts_mut(start, length))
    };
    let filled = fill(place);
    if filled < length {
        let filled = filled.min(place.len());
        // SAFETY: so many were written.
        return copied(py, unsafe { std::slice::from_raw_parts(place.as_ptr().cast(), filled) });
    }
    Ok(bytes)
}
