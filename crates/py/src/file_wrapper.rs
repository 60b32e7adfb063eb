//! Files as responses: when the front may send a file itself instead of Python reading it.
//!
//! Owns the decision whether what `read()` would give is exactly what lies in the file. That is so for the file objects of `io` and for
//! the named temporary files that wrap them, and not for everything with a `fileno()`: a `GzipFile` has one, too, but it is that
//! of the compressed file. Whatever is not certain is iterated over. Must not know the link. Runs on the request's thread, with the GIL.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// A part of a file, to be sent.
#[derive(Debug)]
pub(crate) struct FilePart {
    /// Our own descriptor: the application may close its file at any time.
    pub(crate) descriptor: OwnedFd,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The rest of the file in a `wsgi.file_wrapper`, from its position; None where iterating is the way.
///
/// Errors are taken for "no": iterating will raise them again if they matter.
pub(crate) fn file_part(wrapper: &Bound<'_, PyAny>) -> Option<FilePart> {
    let file = wrapper.getattr(intern!(wrapper.py(), "filelike")).ok()?;
    let file = plain_file(file)?;
    let py = file.py();
    let raw: RawFd = file.call_method0(intern!(py, "fileno")).ok()?.extract().ok()?;
    // The position that Python knows: with a buffer the descriptor's own is further on.
    let offset: u64 = file.call_method0(intern!(py, "tell")).ok()?.extract().ok()?;
    if raw < 0 {
        return None;
    }
    // SAFETY: the file object is alive and has just said that this descriptor is open; it is only used for this call.
    let descriptor = unsafe { BorrowedFd::borrow_raw(raw) }.try_clone_to_owned().ok()?;
    let file = File::from(descriptor);
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        return None;
    }
    Some(FilePart { descriptor: file.into(), offset, length: metadata.len().saturating_sub(offset) })
}

/// The file object of `io` that it is or wraps.
fn plain_file(file: Bound<'_, PyAny>) -> Option<Bound<'_, PyAny>> {
    static TYPES: PyOnceLock<[Py<PyType>; 4]> = PyOnceLock::new();
    let py = file.py();
    let types = TYPES.get_or_try_init(py, || -> PyResult<_> {
        let io = py.import("io")?;
        let get = |name| Ok::<_, PyErr>(io.getattr(name)?.cast_into::<PyType>()?.unbind());
        let named = py.import("tempfile")?.getattr("_TemporaryFileWrapper")?.cast_into::<PyType>()?;
        Ok([get("FileIO")?, get("BufferedReader")?, get("BufferedRandom")?, named.unbind()])
    });
    let [unbuffered, reader, random, named] = types.ok()?;
    let is = |object: &Bound<'_, PyAny>, class: &Py<PyType>| object.get_type().is(class);
    let file = if is(&file, named) { file.getattr(intern!(py, "file")).ok()? } else { file };
    if is(&file, unbuffered) {
        return Some(file);
    }
    if !(is(&file, reader) || is(&file, random)) || !is(&file.getattr(intern!(py, "raw")).ok()?, unbuffered) {
        return None;
    }
    if is(&file, random) {
        // As `read()` would: what was written must be in the file first.
        file.call_method0(intern!(py, "flush")).ok()?;
    }
    Some(file)
}
