//! The response to one request on its way to the link: what stands behind `start_response` and `write`.
//!
//! Owns each step from the beginning of a request to its end. What may be sent when is decided in `response`, who waits for whom in
//! `shared_response`. Must not know environ, or where the pieces come from.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pelton_http::Known;
use pelton_link::{LEND_FROM, Spent, Taken, WorkerEnd, Writable};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::file_ranges::leaves_ranges;
use crate::file_wrapper::FilePart;
use crate::fork::FOREIGN;
use crate::head::Head;
use crate::pauses::Pauses;
use crate::response::{Fault, Flow, More, Stage};
use crate::route::KeptEnviron;
use crate::shared_response::SharedResponse;
use crate::stream::Stream;
use crate::uncopied;

/// A longer pattern is cut.
const LONGEST_ROUTE: usize = 200;

const ERROR_BODY: &[u8] = b"Internal Server Error";

#[pyclass(frozen, module = "pelton._engine", name = "_Responder")]
pub(crate) struct Responder {
    shared: SharedResponse,
    /// The request's environ, where its route is written, until the response is started.
    pub(crate) environ: KeptEnviron,
}

impl Responder {
    pub(crate) fn new(end: Arc<WorkerEnd>, pauses: Pauses) -> Self {
        Responder { shared: SharedResponse::new(end, pauses), environ: KeptEnviron::default() }
    }

    /// Sets what `start_response` returns; gives the former one, for the caller to drop outside of the lock.
    pub(crate) fn set_write(&self, write: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.shared.lock().write, write)
    }

    /// The link that responses go to.
    pub(crate) fn link_end(&self) -> &Arc<WorkerEnd> {
        &self.shared.end
    }

    /// A request begins.
    pub(crate) fn begin(&self, taken: Taken, is_head_request: bool) {
        let mut response = self.shared.begin(&taken);
        response.stage = Stage::Fresh;
        response.taken = Some(taken);
        response.is_head_request = is_head_request;
        response.bodyless = is_head_request;
        response.declared = None;
        response.sent = 0;
        response.misuse = None;
        response.misuse_noted = false;
        response.head.route.clear();
    }

    /// Notes which of the application's routes answers, if somebody has said it and nobody has asked yet.
    #[inline]
    pub(crate) fn note_route(&self, py: Python<'_>) {
        if let Some(route) = self.environ.route(py)
            && let Ok(route) = route.to_str()
        {
            let route = route.as_bytes();
            let mut response = self.shared.lock();
            response.head.route.clear();
            response.head.route.extend_from_slice(route.get(..LONGEST_ROUTE).unwrap_or(route));
        }
    }

    /// `start_response`; gives `write`.
    pub(crate) fn start(
        &self,
        status: &Bound<'_, PyAny>,
        fields: &Bound<'_, PyAny>,
        has_exc_info: bool,
    ) -> Result<Py<PyAny>, Fault> {
        let py = status.py();
        let mut response = self.shared.try_enter(py)?;
        match response.stage {
            Stage::Over => return Err(Fault::Over),
            Stage::HandedOver => return response.write(py),
            Stage::Fresh => {}
            Stage::Started if has_exc_info => {}
            Stage::Sent if has_exc_info => return Err(Fault::TooLate),
            Stage::Started | Stage::Sent => return Err(Fault::StartedTwice),
        }
        // A head that is refused must not leave a former one standing.
        response.stage = Stage::Fresh;
        response.head.fill(status, fields).map_err(Fault::Head)?;
        response.started();
        response.write(py)
    }

    /// `wsgi.early_hints`: what the response will need, while it is still made (RFC 8297).
    pub(crate) fn early_hints(&self, fields: &Bound<'_, PyAny>) -> Result<(), Fault> {
        if self.shared.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut hints = Head::default();
        hints.fill_early_hints(fields).map_err(Fault::Head)?;
        self.shared.try_enter(fields.py())?.put_early_hints(&self.shared.end, &hints)
    }

    /// Sends a piece; the head before it, if that has not left. `known_length` is what the application did not say but is certain.
    pub(crate) fn send(
        &self,
        py: Python<'_>,
        piece: &Bound<'_, PyBytes>,
        known_length: Option<u64>,
        more: More,
    ) -> Result<Flow, Fault> {
        if self.shared.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut response = self.shared.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            return Ok(Flow::Gone);
        }
        response.put_head(&self.shared.end, known_length)?;
        let mut rest = response.admit(piece.as_bytes());
        if rest.len() >= LEND_FROM && self.shared.end.can_lend() {
            let length = rest.len();
            return uncopied::lend(&self.shared, py, response, piece, length, more);
        }
        while let Some(too_much) = response.put(&self.shared.end, rest) {
            rest = too_much;
            match self.shared.wait(py, response)? {
                (_, Writable::Gone) => return Ok(Flow::Gone),
                (again, _) => response = again,
            }
        }
        response.settle(&self.shared.end, more)
    }

    /// Answers with this body and ends the request, all in one step: the way of most responses. False, and nothing done beyond what `send`
    /// and `check_whole` would do again, where it is too large for that, something was sent before, or a broken rule is to be reported.
    pub(crate) fn respond_whole(&self, py: Python<'_>, body: &[u8]) -> Result<bool, Fault> {
        let mut response = self.shared.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            response.finish(&self.shared.end, false);
            return Ok(true);
        }
        let length = body.len() as u64;
        if body.len() > SURELY_FITS || response.stage == Stage::Sent || !response.is_length_right(length) {
            return Ok(false);
        }
        let known_length = response.worth_saying(length);
        response.put_head(&self.shared.end, known_length)?;
        let body = response.admit(body);
        let left = response.put(&self.shared.end, body);
        debug_assert!(left.is_none(), "a ring has room for the largest head and this");
        response.finish(&self.shared.end, false);
        Ok(true)
    }

    /// Sends the rest of a file (see [`uncopied::send_file`]).
    pub(crate) fn send_file(
        &self,
        py: Python<'_>,
        part: FilePart,
        asked: &[(Known, Vec<u8>)],
    ) -> Result<Option<Flow>, Fault> {
        uncopied::send_file(&self.shared, py, part, asked)
    }

    /// Whether the application leaves it to the server to send a part of its file.
    pub(crate) fn leaves_ranges(&self) -> bool {
        leaves_ranges(&self.shared.lock().head)
    }

    /// Slot and generation of the present request.
    pub(crate) fn request(&self) -> (u32, u32) {
        self.shared
            .lock()
            .taken
            .as_ref()
            .map_or((u32::MAX, u32::MAX), |taken| (taken.slot(), taken.generation()))
    }

    /// Spends of the client's rate, and waits for the front's word. Fails where `request` is over or nobody waits for its response any more.
    pub(crate) fn spend(&self, py: Python<'_>, request: (u32, u32), cost: u32) -> Result<Spent, Fault> {
        if self.shared.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut response = self.shared.try_enter(py)?;
        loop {
            if response.taken.as_ref().is_none_or(|taken| (taken.slot(), taken.generation()) != request) {
                return Err(Fault::Over);
            }
            if response.put_spending(&self.shared.end, cost)? {
                break;
            }
            response = self.shared.wait_for_room(py, response)?;
        }
        response = self.shared.wait_for_room(py, response)?;
        response.taken.as_ref().and_then(|taken| self.shared.end.spent(taken)).ok_or(Fault::Gone)
    }

    /// Fetches the file of the request's body.
    pub(crate) fn take_file(&self, token: u64) -> io::Result<OwnedFd> {
        match &self.shared.lock().taken {
            Some(taken) => self.shared.end.take_file(taken, token),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Takes the client's socket, in place of a response; why not, where that is impossible. The slot is let go of at once.
    pub(crate) fn take_socket(&self) -> Result<(), &'static str> {
        if self.shared.end.is_foreign() {
            return Err(FOREIGN);
        }
        let mut response = self.shared.lock();
        match response.stage {
            Stage::Fresh | Stage::Started => {}
            Stage::Sent => {
                return Err("the application has begun its response: its socket is not to be had any more");
            }
            Stage::Over => return Err("the request is over, and so is its socket"),
            Stage::HandedOver => return Err("the socket has been taken before"),
        }
        // Present, because it is lent only while something is being sent.
        let taken = response.taken.take().ok_or("the request is over, and so is its socket")?;
        if !self.shared.end.take_socket(&taken) {
            response.taken = Some(taken);
            return Err(
                "the client has gone, or the server has answered it: its socket is not to be had any more",
            );
        }
        response.stage = Stage::HandedOver;
        self.shared.end.hand_over(taken);
        Ok(())
    }

    /// Whether the client's socket was taken.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.shared.lock().stage == Stage::HandedOver
    }

    /// The request's body, where it is streamed.
    pub(crate) fn stream(&self, chunks: &[u8], waits_for_leave: bool) -> io::Result<Stream> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the request's body has no window");
        let response = self.shared.lock();
        let taken = response.taken.as_ref().ok_or_else(damaged)?;
        let reader = self.shared.end.body_reader(taken, chunks, waits_for_leave).ok_or_else(damaged)?;
        Ok(Stream::new(Arc::clone(&self.shared.end), reader))
    }

    /// `write`: sends at once, also the head alone.
    pub(crate) fn write(&self, py: Python<'_>, piece: &Bound<'_, PyBytes>) -> Result<(), Fault> {
        match self.send(py, piece, None, More::Unknown)? {
            Flow::Gone if self.is_handed_over() => Ok(()),
            Flow::Gone => Err(Fault::Gone),
            Flow::Open => Ok(()),
            Flow::Complete => {
                // The verdict is not this caller's to give: the application may still fail, or write too much.
                let mut response = self.shared.try_enter(py)?;
                if let Some(taken) = response.taken.as_mut() {
                    self.shared.end.publish(taken);
                }
                Ok(())
            }
        }
    }

    /// The application failed: where nothing has left yet the client gets status 500. False where the response is beyond repair.
    pub(crate) fn respond_error(&self, py: Python<'_>) -> bool {
        let mut response = self.shared.enter(py);
        if !matches!(response.stage, Stage::Fresh | Stage::Started) {
            return false;
        }
        response.head.fill_internal_error(ERROR_BODY);
        response.started();
        let sent = response.put_head(&self.shared.end, None).is_ok();
        let body = response.admit(ERROR_BODY);
        sent && response.put(&self.shared.end, body).is_none()
    }

    /// Whether the response has everything that was announced; sends the head if there was no body at all.
    pub(crate) fn check_whole(&self, py: Python<'_>) -> Result<bool, Fault> {
        let mut response = self.shared.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            return Ok(true);
        }
        let known_length = response.worth_saying(0);
        response.put_head(&self.shared.end, known_length)?;
        match response.declared {
            // Who names a file announces the length of that (Flask does).
            Some(declared)
                if response.sent < declared && !(response.sent == 0 && response.head.names_file()) =>
            {
                let sent = response.sent;
                response.note(|| {
                    format!("the body has {sent} bytes, Content-Length said {declared}: the response is cut")
                });
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Whether the response is one without a body.
    pub(crate) fn has_no_body(&self) -> bool {
        self.shared.lock().bodyless
    }

    /// Whether nobody waits for the response any more.
    pub(crate) fn is_gone(&self, py: Python<'_>) -> bool {
        self.shared.enter(py).taken.as_ref().is_some_and(|taken| self.shared.end.is_gone(taken))
    }

    /// Records that a rule was broken; only the first one of a request counts.
    pub(crate) fn note_misuse(&self, message: &str) {
        self.shared.lock().note(|| message.to_owned());
    }

    /// The broken rule to report, if any.
    pub(crate) fn take_misuse(&self) -> Option<String> {
        self.shared.lock().misuse.take()
    }

    /// Gives the verdict; the slot stays ours.
    pub(crate) fn conclude(&self, py: Python<'_>, broken: bool) {
        if let Some(taken) = self.shared.enter(py).taken.as_mut() {
            self.shared.end.conclude(taken, broken);
        }
    }

    /// Ends the request, with this verdict if there was none. Does nothing where it is over.
    pub(crate) fn end(&self, py: Python<'_>, broken: bool) {
        self.shared.enter(py).finish(&self.shared.end, broken);
    }
}

/// A body up to this length goes out in one step behind any head: half of what a ring has left then.
const SURELY_FITS: usize = (pelton_link::RESPONSE_BYTES - pelton_link::MAX_HEAD_BYTES) / 2;
