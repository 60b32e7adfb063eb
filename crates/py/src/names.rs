//! Keys of environ as Python strings, made once per thread.
//!
//! Owns the table from field names to keys. Well-known keys are interned: applications look them up with interned literals, and a dict
//! compares such keys by address. Others are not, because in some versions of CPython interned strings live for ever, and
//! clients choose these names. Must not know values. Runs on the thread that owns it, with the GIL.

use std::collections::HashMap;

use pelton_http::known::Known;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Names that are not well known and whose keys are remembered. More than any application sees; fewer than a client could send.
const REMEMBERED: usize = 256;
/// Longer names are rare and not worth the memory.
const REMEMBERED_LENGTH: usize = 64;

/// What a field name becomes.
pub(crate) enum Key<'py> {
    /// A well-known name after all, though the record did not say so.
    Known(Known),
    Other(Bound<'py, PyString>),
}

pub(crate) struct Names {
    known: Vec<Py<PyString>>,
    others: Vec<Py<PyString>>,
    /// Places in `others` by the name as sent, so that the usual case needs no folding of letters.
    places: HashMap<Box<[u8]>, usize>,
}

impl Names {
    pub(crate) fn new(py: Python<'_>) -> Self {
        let known =
            Known::all().iter().map(|known| PyString::intern(py, known.cgi_name()).unbind()).collect();
        Names { known, others: Vec::new(), places: HashMap::new() }
    }

    /// The key of a well-known name.
    #[inline]
    pub(crate) fn of_known(&self, known: Known) -> Option<&Py<PyString>> {
        self.known.get(known as usize)
    }

    /// The key of any other name: upper case, `-` as `_`, after `HTTP_`.
    pub(crate) fn of<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Key<'py> {
        if let Some(key) = self.places.get(name).and_then(|&place| self.others.get(place)) {
            return Key::Other(key.bind(py).clone());
        }
        let known = Known::lookup(name);
        if known != Known::Other {
            return Key::Known(known);
        }
        let key = PyString::new(py, &cgi_name(name));
        if name.len() <= REMEMBERED_LENGTH {
            if self.others.len() >= REMEMBERED {
                // A client that makes names up gains nothing: those in real use are back after one request.
                self.others.clear();
                self.places.clear();
            }
            self.places.insert(name.into(), self.others.len());
            self.others.push(key.clone().unbind());
        }
        Key::Other(key)
    }
}

fn cgi_name(name: &[u8]) -> String {
    let mut key = String::with_capacity(5 + name.len());
    key.push_str("HTTP_");
    key.extend(name.iter().map(|&byte| match byte {
        b'-' => '_',
        byte => char::from(byte.to_ascii_uppercase()),
    }));
    key
}
