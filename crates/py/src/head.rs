//! The head of a response: what `start_response` got, checked and copied.
//!
//! Owns the rules for status and fields of PEP 3333. It is checked and copied when `start_response` is called: the traceback then shows
//! the line that is wrong, and what the application does to its list afterwards cannot change what was checked. Fields
//! that belong to the connection (hop-by-hop) are passed on; the front leaves them out, as it is the one who knows the connection.
//! Must not know the link. Makes no Python objects and runs no Python code, so it may be used under a lock.

use std::fmt;

use pelton_http::header_policy::{
    is_content_length, parse_content_length, valid_name, valid_reason, valid_value,
};
use pelton_link::{MAX_HEAD_BYTES, ResponseHead};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// Reused: its buffers stay allocated from request to request.
#[derive(Debug, Default)]
pub(crate) struct Head {
    status: u16,
    reason_end: usize,
    /// Reason, then name and value of each field without anything between.
    bytes: Vec<u8>,
    /// Where name and value of each field end in `bytes`.
    ends: Vec<(u32, u32)>,
    content_length: Option<u64>,
    /// Which route has answered, for metrics.
    pub(crate) route: Vec<u8>,
}

/// Why a head is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Type(String),
    Value(String),
}

impl From<Refusal> for PyErr {
    fn from(refusal: Refusal) -> PyErr {
        match refusal {
            Refusal::Type(message) => PyTypeError::new_err(message),
            Refusal::Value(message) => PyValueError::new_err(message),
        }
    }
}

impl Head {
    /// Takes over status and fields; in an error nothing useful is left. `fields` must be a list or tuple that nobody changes
    /// meanwhile.
    pub(crate) fn fill(
        &mut self,
        status: &Bound<'_, PyAny>,
        fields: &Bound<'_, PyAny>,
    ) -> Result<(), Refusal> {
        self.bytes.clear();
        self.ends.clear();
        self.content_length = None;
        self.take_status(status)?;
        self.take_fields(fields)
    }

    /// Takes over the fields of early hints, which have no status of their own.
    pub(crate) fn fill_early_hints(&mut self, fields: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        self.bytes.clear();
        self.ends.clear();
        (self.reason_end, self.content_length) = (0, None);
        self.take_fields(fields)
    }

    #[inline]
    fn take_fields(&mut self, fields: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        for at in 0.. {
            let Some(field) = borrowed_item(fields, at) else { break };
            // SAFETY: the field is a live object.
            let is_pair = unsafe { ffi::PyTuple_Check(field.as_ptr()) } != 0;
            let (Some(name), Some(value), None) = (
                is_pair.then(|| borrowed_item(&field, 0)).flatten(),
                is_pair.then(|| borrowed_item(&field, 1)).flatten(),
                is_pair.then(|| borrowed_item(&field, 2)).flatten(),
            ) else {
                return Err(Refusal::Type(String::from(
                    "each header must be a tuple of two str, (name, value)",
                )));
            };
            self.take_field(&name, &value)?;
        }
        // Eight bytes of lengths per field and the fixed part, as the link writes them.
        if 16 + self.bytes.len() + 8 * self.ends.len() > MAX_HEAD_BYTES {
            return Err(Refusal::Value(format!("status and headers have more than {MAX_HEAD_BYTES} bytes")));
        }
        Ok(())
    }

    /// Makes another response of it: without the fields of some names, and with others.
    pub(crate) fn change(
        &mut self,
        status: u16,
        reason: &[u8],
        removed: &[&[u8]],
        added: &[(&'static [u8], Vec<u8>)],
    ) {
        let mut changed = Head { status, route: std::mem::take(&mut self.route), ..Head::default() };
        changed.bytes.extend_from_slice(reason);
        changed.reason_end = reason.len();
        for (name, value) in self.fields() {
            if !removed.iter().any(|one| name.eq_ignore_ascii_case(one)) {
                changed.push_field(name, value);
            }
        }
        for (name, value) in added {
            changed.push_field(name, value);
            if is_content_length(name) {
                changed.content_length = parse_content_length(value);
            }
        }
        *self = changed;
    }

    /// The response to a failed application.
    pub(crate) fn fill_internal_error(&mut self, body: &[u8]) {
        self.bytes.clear();
        self.ends.clear();
        self.status = 500;
        self.bytes.extend_from_slice(b"Internal Server Error");
        self.reason_end = self.bytes.len();
        self.push_field(b"Content-Type", b"text/plain; charset=utf-8");
        self.push_field(b"Content-Length", body.len().to_string().as_bytes());
        self.content_length = Some(body.len() as u64);
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// What the application said about the body's length.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the front is to send a file in the place of a body, if it does such things.
    pub(crate) fn names_file(&self) -> bool {
        self.fields().any(|(name, _)| {
            name.eq_ignore_ascii_case(b"x-sendfile") || name.eq_ignore_ascii_case(b"x-accel-redirect")
        })
    }

    /// Status and reason as the link carries them.
    pub(crate) fn response_head(&self, known_length: Option<u64>) -> ResponseHead<'_> {
        let reason = self.bytes.get(..self.reason_end).unwrap_or_default();
        ResponseHead { status: self.status, reason, known_length, route: &self.route }
    }

    /// Names and values in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = self.reason_end;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let name = self.bytes.get(start..name_end as usize).unwrap_or_default();
            let value = self.bytes.get(name_end as usize..value_end as usize).unwrap_or_default();
            start = value_end as usize;
            (name, value)
        })
    }

    fn take_status(&mut self, status: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        let text = latin1_of(status, "the status")?;
        let ([a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], Some((b' ', reason))) =
            (text.get(..3).unwrap_or_default(), text.get(3..).and_then(<[u8]>::split_first))
        else {
            return Err(Refusal::Value(format!("{} is no status such as \"200 OK\"", Quoted(text))));
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        self.status = 100 * digit(a) + 10 * digit(b) + digit(c);
        if self.status < 200 {
            return Err(Refusal::Value(format!("{} is not a final status", Quoted(text))));
        }
        if !valid_reason(reason) {
            return Err(Refusal::Value(format!("the status {} has control characters", Quoted(text))));
        }
        self.bytes.extend_from_slice(reason);
        self.reason_end = self.bytes.len();
        Ok(())
    }

    #[inline]
    fn take_field(&mut self, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        let name = latin1_of(name, "a header name")?;
        let value = latin1_of(value, "a header value")?;
        if !valid_name(name) {
            return Err(Refusal::Value(format!("{} is no header name", Quoted(name))));
        }
        if !valid_value(value) {
            // What follows a line end would become a header, or a whole response, of the client's choice.
            return Err(Refusal::Value(format!(
                "the value of the header {} has control characters: {}",
                Quoted(name),
                Quoted(value)
            )));
        }
        if is_content_length(name) {
            let length = parse_content_length(value.trim_ascii())
                .ok_or_else(|| Refusal::Value(format!("{} is no Content-Length", Quoted(value))))?;
            match self.content_length {
                None => self.content_length = Some(length),
                // Said twice and alike: once is enough.
                Some(before) if before == length => return Ok(()),
                Some(before) => {
                    return Err(Refusal::Value(format!("two Content-Lengths, {before} and {length}")));
                }
            }
        }
        if self.bytes.len() + name.len() + value.len() > MAX_HEAD_BYTES {
            return Err(Refusal::Value(format!("status and headers have more than {MAX_HEAD_BYTES} bytes")));
        }
        self.push_field(name, value);
        Ok(())
    }

    #[inline]
    fn push_field(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len() as u32));
    }
}

/// A string as a message may show it.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, dots) =
            if self.0.len() > 80 { (self.0.get(..80).unwrap_or_default(), "…") } else { (self.0, "") };
        write!(f, "\"{}{dots}\"", shown.escape_ascii())
    }
}

fn latin1_of<'a>(text: &'a Bound<'_, PyAny>, what: &str) -> Result<&'a [u8], Refusal> {
    latin1_bytes(text).ok_or_else(|| {
        // SAFETY: a live object.
        if unsafe { ffi::PyUnicode_Check(text.as_ptr()) } == 0 {
            Refusal::Type(format!("{what} must be str, not {}", crate::errors::type_name(text)))
        } else {
            Refusal::Value(format!("{what} has characters beyond latin-1, which no HTTP header can carry"))
        }
    })
}

/// The characters of a str as latin-1, without a copy; None for anything else.
#[inline]
pub(crate) fn latin1_bytes<'a>(text: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    let text = text.as_ptr();
    // SAFETY: a live object, first checked to be a str and made ready (before 3.12 a str could be not). A str whose kind is one byte per
    // character holds latin-1, `length` bytes from `data`; it never changes and lives as long as the borrow.
    unsafe {
        if ffi::PyUnicode_Check(text) == 0
            || ffi::PyUnicode_READY(text) != 0
            || ffi::PyUnicode_KIND(text) != ffi::PyUnicode_1BYTE_KIND
        {
            return None;
        }
        let length = ffi::PyUnicode_GET_LENGTH(text) as usize;
        Some(std::slice::from_raw_parts(ffi::PyUnicode_DATA(text).cast(), length))
    }
}

/// Where other threads could change a list while it is read, a copy of it, for [`borrowed_item`].
#[inline]
pub(crate) fn unshared<'py>(sequence: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if !cfg!(Py_GIL_DISABLED) || sequence.is_instance_of::<PyTuple>() {
        return Ok(None);
    }
    Ok(Some(sequence.cast::<PyList>()?.to_tuple()))
}

/// An item of a list or tuple (or a subclass, whose own `__getitem__` is passed by); None behind the end and for other objects.
#[inline]
pub(crate) fn borrowed_item<'a, 'py>(
    sequence: &'a Bound<'py, PyAny>,
    at: usize,
) -> Option<Borrowed<'a, 'py, PyAny>> {
    let object = sequence.as_ptr();
    // SAFETY: live and of the kind just checked; the index is checked against the present length. The borrowed item stays alive as long as
    // nobody changes the sequence: callers run no Python code meanwhile, and do not use this on shared lists of a free-threaded
    // interpreter.
    unsafe {
        let item = if ffi::PyList_Check(object) != 0 {
            if at >= ffi::PyList_GET_SIZE(object) as usize {
                return None;
            }
            ffi::PyList_GET_ITEM(object, at as ffi::Py_ssize_t)
        } else if ffi::PyTuple_Check(object) != 0 {
            if at >= ffi::PyTuple_GET_SIZE(object) as usize {
                return None;
            }
            ffi::PyTuple_GET_ITEM(object, at as ffi::Py_ssize_t)
        } else {
            return None;
        };
        Some(Borrowed::from_ptr(sequence.py(), item))
    }
}
