//! The class `Overdue`: a request that is to be interrupted, for the watch's report.
//!
//! Holds copies only, so it may be kept as long as one likes. Made on the watch's thread, with the GIL.

use std::ffi::c_ulong;
use std::sync::Arc;

use pelton_link::request::RequestView;
use pelton_link::{Why, WorkerEnd, coarse_ms};
use pyo3::prelude::*;

use crate::interrupt::Found;

/// Method and decoded path of a request, for people.
pub(crate) fn named(request: &RequestView<'_>) -> (String, String) {
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    (text(request.method()), text(request.path()))
}

/// A request that still runs although the front has answered it 504, or its client has gone.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Overdue {
    /// The link it came over: another link's slots have the same numbers.
    pub(crate) end: Arc<WorkerEnd>,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) why: Why,
    thread: c_ulong,
    seat: Option<u32>,
    method: String,
    path: String,
    client: String,
    age: f64,
}

impl Overdue {
    pub(crate) fn new(end: &Arc<WorkerEnd>, found: Found) -> Self {
        let request = RequestView::new(&found.record);
        let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
        let age = if found.started_ms == 0 { 0 } else { coarse_ms().saturating_sub(found.started_ms) };
        Overdue {
            end: Arc::clone(end),
            slot: found.slot,
            generation: found.generation,
            why: found.why,
            thread: found.thread,
            seat: found.seat,
            method: text(request.as_ref().map(RequestView::method)),
            path: text(request.as_ref().map(RequestView::path)),
            client: text(request.as_ref().map(RequestView::peer)),
            age: age as f64 / 1000.0,
        }
    }
}

#[pymethods]
impl Overdue {
    /// Whether its client has gone; otherwise it took too long.
    #[getter]
    fn client_gone(&self) -> bool {
        self.why != Why::Overdue
    }

    /// The ident of the thread that runs it.
    #[getter]
    fn thread(&self) -> c_ulong {
        self.thread
    }

    /// The seat of the greenlet that runs it, where greenlets do.
    #[getter]
    fn seat(&self) -> Option<u32> {
        self.seat
    }

    /// The method.
    #[getter]
    fn method(&self) -> &str {
        &self.method
    }

    /// The decoded path, without the query.
    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    /// The client's address; empty for a unix socket.
    #[getter]
    fn client(&self) -> &str {
        &self.client
    }

    /// Seconds since its call began, when it was found.
    #[getter]
    fn age(&self) -> f64 {
        self.age
    }

    /// A number that no other request of this worker has.
    #[getter]
    fn number(&self) -> u64 {
        u64::from(self.generation) << 16 | u64::from(self.slot)
    }
}
