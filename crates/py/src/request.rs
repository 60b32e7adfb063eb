//! Environ: the dict that an application gets, built from a request record.
//!
//! # How it is made cheap
//! Each thread keeps one *warm* dict per listener: the listener's template plus the keys that every request has, with the values of the last
//! request. A new request changes those that differ, then the warm dict is copied, then the other fields are set in
//! the copy. The copy is one block copy and no resize happens, as the warm dict's table is large enough for some twenty more.
//! Whether a value differs is decided by comparing bytes; where it does not, the string object of the last request is used again.
//!
//! # Decisions
//! - Repeated fields become one, joined by `,` (RFC 9110 section 5.3), cookies by `; ` (RFC 6265 section 5.4).
//! - The body is complete and decoded when it arrives here. So `CONTENT_LENGTH` is always its length, also where the client did not
//!   say it, and `HTTP_TRANSFER_ENCODING` is left out: both together would be the very shape of a smuggled request for an
//!   application that forwards them, and Werkzeug would ignore the length (RFC 3875 section 4.1.2 asks for the same). Of a chunked body
//!   that is streamed nobody knows the length: then there is neither, and `wsgi.input_terminated` says that it ends by itself.
//! - Text is latin-1, as PEP 3333 has it.
//!
//! Must not know the link's memory beyond the record. Runs on the thread that owns it, with the GIL.

use pelton_http::known::Known;
use pelton_link::request::{BodyView, RequestView};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{ffi, intern};

use crate::input::Input;
use crate::names::{Key, Names};
use crate::rate::Allowance;
use crate::strings::{Ports, is_latin1, latin1, method, protocol, remembered};

/// Keys that every request has, by their place in [`Warm::values`].
const METHOD: usize = 0;
const PATH: usize = 1;
const QUERY: usize = 2;
const RAW_URI: usize = 3;
const REQUEST_URI: usize = 4;
const PROTOCOL: usize = 5;
const PEER: usize = 6;
const PEER_PORT: usize = 7;
const HOST: usize = 8;
const ALWAYS: [&str; 9] = [
    "REQUEST_METHOD",
    "PATH_INFO",
    "QUERY_STRING",
    "RAW_URI",
    "REQUEST_URI",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "HTTP_HOST",
];

/// The variable of which `rate` makes an object.
const RATE: &[u8] = b"pelton.rate";
pub(crate) struct EnvironBuilder {
    warm: Vec<Warm>,
    names: Names,
    keys: Vec<Py<PyString>>,
    /// The last value of each well-known field.
    values: Vec<Option<Py<PyString>>>,
    ports: Ports,
    /// What the last request said of its client's rate; taken by whoever makes an object of it.
    pub(crate) rate: Option<Box<Allowance>>,
}

struct Warm {
    dict: Py<PyDict>,
    /// What `dict` holds under the keys of [`ALWAYS`].
    values: [Py<PyString>; ALWAYS.len()],
}

impl EnvironBuilder {
    pub(crate) fn new(py: Python<'_>, templates: &[Py<PyDict>]) -> PyResult<Self> {
        let keys: Vec<_> = ALWAYS.iter().map(|key| PyString::intern(py, key).unbind()).collect();
        // Stateless, so all requests without a body share it.
        let no_input = Bound::new(py, Input::empty())?;
        let warm = templates
            .iter()
            .map(|template| {
                let dict = template.bind(py).copy()?;
                let empty = PyString::intern(py, "");
                for key in &keys {
                    dict.set_item(key, &empty)?;
                }
                dict.set_item(intern!(py, "wsgi.input"), &no_input)?;
                let values = std::array::from_fn(|_| empty.clone().unbind());
                Ok(Warm { dict: dict.unbind(), values })
            })
            .collect::<PyResult<_>>()?;
        Ok(EnvironBuilder {
            warm,
            names: Names::new(py),
            keys,
            values: (0..Known::COUNT).map(|_| None).collect(),
            ports: Ports::default(),
            rate: None,
        })
    }

    /// Has every environ from now on contain `value` under `key`.
    pub(crate) fn set_always(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyString>,
        value: &Py<PyAny>,
    ) -> PyResult<()> {
        self.warm.iter().try_for_each(|warm| set(warm.dict.bind(py), key, value.bind(py)))
    }

    /// The dicts of which environs are copies: so many references each of their values has.
    #[inline]
    pub(crate) fn dicts(&self) -> usize {
        self.warm.len()
    }

    /// The environ of a request, with `input` as its body if it has one.
    pub(crate) fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &RequestView<'_>,
        input: Option<&Bound<'py, Input>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let host = request.fields().find(|&(known, ..)| known == Known::Host as u32);
        self.warm_up(py, request, host.map(|(_, _, value)| value))?;
        let Some(warm) = self.warm.get(usize::from(request.header.listener)) else {
            return Err(PyRuntimeError::new_err(
                "the request names a listener that the worker does not know",
            ));
        };
        // SAFETY: attached; the argument is a dict; a new reference or an exception comes back.
        let environ = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(warm.dict.as_ptr()))?
                .cast_into_unchecked::<PyDict>()
        };
        if host.is_none() {
            environ.del_item(intern!(py, "HTTP_HOST"))?;
        }
        self.set_fields(py, &environ, request)?;
        if let Some(input) = input {
            set(&environ, intern!(py, "wsgi.input"), input)?;
        }
        Ok(environ)
    }

    /// Brings the warm dict up to date.
    #[inline]
    fn warm_up(&mut self, py: Python<'_>, request: &RequestView<'_>, host: Option<&[u8]>) -> PyResult<()> {
        let Some(warm) = self.warm.get_mut(usize::from(request.header.listener)) else { return Ok(()) };
        let keys = &self.keys;
        warm.set_bytes(py, keys, METHOD, request.method(), method)?;
        warm.set_bytes(py, keys, PATH, request.path(), latin1)?;
        warm.set_bytes(py, keys, QUERY, request.query(), latin1)?;
        if warm.set_bytes(py, keys, RAW_URI, request.target(), latin1)? {
            let uri = warm.values[RAW_URI].clone_ref(py);
            warm.set(py, keys, REQUEST_URI, uri)?;
        }
        warm.set_bytes(py, keys, PROTOCOL, protocol(request.header.version), latin1)?;
        warm.set_bytes(py, keys, PEER, request.peer(), latin1)?;
        let port = self.ports.of(py, request.header.peer_port);
        if !warm.values[PEER_PORT].is(&port) {
            warm.set(py, keys, PEER_PORT, port)?;
        }
        if let Some(host) = host {
            warm.set_bytes(py, keys, HOST, host, latin1)?;
        }
        Ok(())
    }

    #[inline]
    fn set_fields(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        request: &RequestView<'_>,
    ) -> PyResult<()> {
        // A bit per well-known name; `Known::COUNT` is checked below.
        let mut seen: u128 = 0;
        for (number, name, value) in request.fields() {
            let mut known = u8::try_from(number).ok().and_then(Known::from_u8).unwrap_or_default();
            if known == Known::Other {
                match self.names.of(py, name) {
                    Key::Known(found) => known = found,
                    Key::Other(key) => {
                        set_other(py, environ, &key, value)?;
                        continue;
                    }
                }
            }
            if known == Known::Variable && name == RATE {
                self.rate = Allowance::parse(value).map(Box::new);
                continue;
            }
            if known == Known::Variable {
                set(environ, latin1(py, name)?.bind(py), latin1(py, value)?.bind(py))?;
                continue;
            }
            let bit = 1 << known as u32;
            let repeated = seen & bit != 0;
            seen |= bit;
            let Some(key) = self.names.of_known(known) else { continue };
            let key = key.bind(py);
            match known {
                Known::Host if !repeated && number != 0 => {} // already there
                Known::TransferEncoding => {}                 // see the module's head
                // The front only lets equal lengths through, and a list of them would be no number.
                Known::ContentLength if repeated => {}
                Known::Cookie if repeated => join(py, environ, key, b"; ", value)?,
                _ if repeated => join(py, environ, key, b",", value)?,
                _ => {
                    // The application sees an id twice, and it is one string.
                    let place = if known == Known::RequestId { Known::XRequestId } else { known };
                    let last = self.values.get_mut(place as usize);
                    set(environ, key, &remembered(py, last, value)?)?;
                }
            }
        }
        let was_chunked = seen & (1 << Known::TransferEncoding as u32) != 0;
        if let Some(body_length) = body_length(request)
            && (body_length > 0 || was_chunked)
            && seen & (1 << Known::ContentLength as u32) == 0
        {
            let value = PyString::new(py, &body_length.to_string());
            set(environ, intern!(py, "CONTENT_LENGTH"), &value)?;
        }
        Ok(())
    }
}

const _: () = assert!(Known::COUNT <= u128::BITS as usize, "one bit per well-known name");

impl Warm {
    /// Sets a value unless it is there already; true if it was not.
    #[inline]
    fn set_bytes(
        &mut self,
        py: Python<'_>,
        keys: &[Py<PyString>],
        place: usize,
        bytes: &[u8],
        make: impl Fn(Python<'_>, &[u8]) -> PyResult<Py<PyString>>,
    ) -> PyResult<bool> {
        if self.values.get(place).is_some_and(|value| is_latin1(value.bind(py), bytes)) {
            return Ok(false);
        }
        let value = make(py, bytes)?;
        self.set(py, keys, place, value)?;
        Ok(true)
    }

    fn set(
        &mut self,
        py: Python<'_>,
        keys: &[Py<PyString>],
        place: usize,
        value: Py<PyString>,
    ) -> PyResult<()> {
        if let (Some(key), Some(current)) = (keys.get(place), self.values.get_mut(place)) {
            set(self.dict.bind(py), key.bind(py), value.bind(py))?;
            *current = value;
        }
        Ok(())
    }
}

fn set_other(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    value: &[u8],
) -> PyResult<()> {
    if environ.contains(key)? {
        return join(py, environ, key, b",", value);
    }
    set(environ, key, latin1(py, value)?.bind(py))
}

#[cold]
fn join(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    separator: &[u8],
    value: &[u8],
) -> PyResult<()> {
    let both = match environ.get_item(key)? {
        // Only strings are put under these keys, and nobody else has the dict yet.
        Some(first) => {
            let more = latin1(py, &[separator, value].concat())?;
            first.add(more)?
        }
        None => latin1(py, value)?.into_bound(py).into_any(),
    };
    environ.set_item(key, both)
}

#[inline]
fn set<T>(dict: &Bound<'_, PyDict>, key: &Bound<'_, PyString>, value: &Bound<'_, T>) -> PyResult<()> {
    // SAFETY: attached; all three are live objects of the right kinds, and the dict takes its own references.
    let failed = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) } != 0;
    if failed { Err(PyErr::fetch(dict.py())) } else { Ok(()) }
}

/// None while nobody knows.
fn body_length(request: &RequestView<'_>) -> Option<u64> {
    match request.body() {
        BodyView::None | BodyView::Socket(_) => Some(0),
        BodyView::Inline(bytes) => Some(bytes.len() as u64),
        BodyView::Chunks(_, length) | BodyView::File(_, length) => Some(length),
        BodyView::Stream { length, .. } => length,
    }
}
