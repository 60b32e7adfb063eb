//! Python's strings for what a request says: made from latin-1, or those of the last request where they say the same.
//!
//! Must not know environs. Runs on the thread that owns them, with the GIL.

use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{ffi, intern};

/// Longer values (big cookies, tokens) are made anew: that they come again is less likely, and memory would pile up.
const REMEMBERED_VALUE: usize = 4096;
/// Ports are remembered by their low bits; clients of a load balancer or of localhost come back on the same connections.
const PORTS: usize = 256;

/// The strings of ports: by their low bits, which port a string is for, and the string.
pub(crate) struct Ports(Vec<(u16, Option<Py<PyString>>)>);

impl Default for Ports {
    fn default() -> Self {
        Ports((0..PORTS).map(|_| (0, None)).collect())
    }
}

impl Ports {
    /// The string of a port; an empty one for 0.
    pub(crate) fn of(&mut self, py: Python<'_>, port: u16) -> Py<PyString> {
        let make =
            || if port == 0 { PyString::new(py, "") } else { PyString::new(py, &port.to_string()) }.unbind();
        let Some(place) = self.0.get_mut(usize::from(port) % PORTS) else { return make() };
        match &place.1 {
            Some(text) if place.0 == port => text.clone_ref(py),
            _ => {
                let text = make();
                *place = (port, Some(text.clone_ref(py)));
                text
            }
        }
    }
}

/// The string for `value`: the last one if it had the same bytes.
#[inline]
pub(crate) fn remembered<'py>(
    py: Python<'py>,
    last: Option<&mut Option<Py<PyString>>>,
    value: &[u8],
) -> PyResult<Bound<'py, PyString>> {
    let Some(last) = last else { return latin1(py, value).map(|text| text.into_bound(py)) };
    if let Some(last) = last.as_ref().map(|last| last.bind(py)).filter(|last| is_latin1(last, value)) {
        return Ok(last.clone());
    }
    let text = latin1(py, value)?;
    if value.len() <= REMEMBERED_VALUE {
        *last = Some(text.clone_ref(py));
    }
    Ok(text.into_bound(py))
}

#[inline]
pub(crate) fn latin1(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyString>> {
    // Shorter ones exist already, and the interpreter finds them.
    if bytes.len() > 1 && bytes.is_ascii() {
        return ascii(py, bytes);
    }
    // SAFETY: attached; pointer and length are those of a slice (whose length fits Py_ssize_t, as any slice's does).
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(
            bytes.as_ptr().cast(),
            bytes.len() as ffi::Py_ssize_t,
            std::ptr::null(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked::<PyString>().unbind())
    }
}

/// The same for more than one byte of which it is known that all are ASCII: only to be copied.
#[inline]
fn ascii(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyString>> {
    // SAFETY: attached. A new string, which nobody else has yet, with a byte of room for each of these, which are ASCII, as the caller has checked.
    unsafe {
        let text = ffi::PyUnicode_New(bytes.len() as ffi::Py_ssize_t, 0x7F);
        let text = Bound::from_owned_ptr_or_err(py, text)?;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), ffi::PyUnicode_1BYTE_DATA(text.as_ptr()), bytes.len());
        Ok(text.cast_into_unchecked::<PyString>().unbind())
    }
}

/// Methods are interned, as applications compare them with literals all the time; but only the usual ones, for interned strings may
/// live for ever.
pub(crate) fn method(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyString>> {
    let usual = match bytes {
        b"GET" => intern!(py, "GET"),
        b"HEAD" => intern!(py, "HEAD"),
        b"POST" => intern!(py, "POST"),
        b"PUT" => intern!(py, "PUT"),
        b"DELETE" => intern!(py, "DELETE"),
        b"OPTIONS" => intern!(py, "OPTIONS"),
        b"PATCH" => intern!(py, "PATCH"),
        other => return latin1(py, other),
    };
    Ok(usual.clone().unbind())
}

pub(crate) fn protocol(version: u16) -> &'static [u8] {
    match version {
        10 => b"HTTP/1.0",
        20 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

/// Whether a string that was made here has these bytes as latin-1.
#[inline]
pub(crate) fn is_latin1(text: &Bound<'_, PyString>, bytes: &[u8]) -> bool {
    crate::head::latin1_bytes(text.as_any()).is_some_and(|own| own == bytes)
}
