//! The response to one request on its way to the link: what stands behind `start_response` and `write`.
//!
//! Owns the right to the slot ([`Taken`]) from the beginning of a request to its end, and the waiting for the client. What may be sent when
//! is decided in `response`. Must not know environ, or where the pieces come from.
//!
//! # Threads
//! Usually one thread uses it, but an application may hand `write` to others. So everything lies in a mutex:
//! - Under it no Python object is made and no Python code runs: a thread that waits for it holds the GIL.
//! - For waiting on the client `Taken` is *lent* out of the mutex; who needs it meanwhile waits, without the GIL, for its return.
//! - Greenlets, which share a thread, wait for both by parking (see `pauses`).

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pelton_http::Known;
use pelton_link::{LEND_FROM, Loan, Spent, Taken, WorkerEnd, Writable};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::file_ranges::{Cut, cut, leaves_ranges};
use crate::file_wrapper::FilePart;
use crate::fork::{FOREIGN, foreign};
use crate::head::Head;
use crate::pauses::Pauses;
use crate::response::{Fault, Flow, More, Response, Stage};
use crate::route::KeptEnviron;
use crate::stream::Stream;

/// A longer pattern is cut.
const LONGEST_ROUTE: usize = 200;

const ERROR_BODY: &[u8] = b"Internal Server Error";

/// See the module's head.
#[pyclass(frozen, module = "pelton._engine", name = "_Responder")]
pub(crate) struct Responder {
    end: Arc<WorkerEnd>,
    response: Mutex<Response>,
    returned: Condvar,
    pauses: Pauses,
    /// Which slot the present request is in.
    slot: AtomicU32,
    /// The request's environ, where its route is written, until the response is started.
    pub(crate) environ: KeptEnviron,
}

impl Responder {
    pub(crate) fn new(end: Arc<WorkerEnd>, pauses: Pauses) -> Self {
        let (response, returned, slot) = (Mutex::default(), Condvar::new(), AtomicU32::new(0));
        Responder { end, response, returned, pauses, slot, environ: KeptEnviron::default() }
    }

    /// Sets what `start_response` returns; gives the former one, for the caller to drop outside of the lock.
    pub(crate) fn set_write(&self, write: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.lock().write, write)
    }

    fn lock(&self) -> MutexGuard<'_, Response> {
        // No code that could panic halfway through a change runs under the lock.
        self.response.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response, with `Taken` in its place. Fails only in a greenlet that has to wait for that, with what somebody raises there.
    #[inline]
    fn try_enter(&self, py: Python<'_>) -> Result<MutexGuard<'_, Response>, Fault> {
        let response = self.lock();
        if !response.lent {
            return Ok(response);
        }
        drop(response);
        self.wait_for_return(py).map_err(Fault::Raised)
    }

    #[cold]
    fn wait_for_return(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Response>> {
        loop {
            if self.end.is_foreign() {
                // Whoever has it is a thread of the process that this one was forked from.
                return Err(foreign());
            }
            let response = self.lock();
            if !response.lent {
                return Ok(response);
            }
            drop(response);
            match self.pauses.pause(py, self.slot.load(Ordering::Relaxed)) {
                Some(paused) => paused?,
                None => py.detach(|| {
                    let response = self.lock();
                    drop(self.returned.wait_while(response, |response| response.lent));
                }),
            }
        }
    }

    /// The same for what must be done in any case: to raise something meanwhile fails, as it is too late for that.
    #[inline]
    fn enter(&self, py: Python<'_>) -> MutexGuard<'_, Response> {
        loop {
            match self.try_enter(py) {
                Ok(response) => return response,
                Err(fault) => PyErr::from(fault).write_unraisable(py, None),
            }
        }
    }

    /// The link that responses go to.
    pub(crate) fn link_end(&self) -> &Arc<WorkerEnd> {
        &self.end
    }

    /// A request begins.
    pub(crate) fn begin(&self, taken: Taken, is_head_request: bool) {
        self.slot.store(taken.slot(), Ordering::Relaxed);
        let mut response = self.lock();
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
            let mut response = self.lock();
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
        let mut response = self.try_enter(py)?;
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
        if self.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut hints = Head::default();
        hints.fill_early_hints(fields).map_err(Fault::Head)?;
        self.try_enter(fields.py())?.put_early_hints(&self.end, &hints)
    }

    /// Sends a piece; the head before it, if that has not left. `known_length` is what the application did not say but is certain.
    pub(crate) fn send(
        &self,
        py: Python<'_>,
        piece: &Bound<'_, PyBytes>,
        known_length: Option<u64>,
        more: More,
    ) -> Result<Flow, Fault> {
        if self.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut response = self.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            return Ok(Flow::Gone);
        }
        response.put_head(&self.end, known_length)?;
        let mut rest = response.admit(piece.as_bytes());
        if rest.len() >= LEND_FROM && self.end.can_lend() {
            // Bytes never change, so the front can send them from where they are. It may give the reference back at any time: without
            // the GIL, the interpreter's next turn takes it.
            let bytes = PyBackedBytes::from(piece.clone());
            let end = rest.len();
            let mut start = 0;
            while start < end {
                let next = end.min(start + LEND_AT_ONCE);
                let mut loan: Loan = Box::new(Window { bytes: bytes.clone_ref(py), range: start..next });
                while let Err(no_room) = response.lend(&self.end, loan, next - start)? {
                    loan = no_room;
                    match self.wait(py, response)? {
                        (_, Writable::Gone) => return Ok(Flow::Gone),
                        (again, _) => response = again,
                    }
                }
                start = next;
            }
            return response.settle(&self.end, more);
        }
        while let Some(too_much) = response.put(&self.end, rest) {
            rest = too_much;
            match self.wait(py, response)? {
                (_, Writable::Gone) => return Ok(Flow::Gone),
                (again, _) => response = again,
            }
        }
        response.settle(&self.end, more)
    }

    /// Answers with this body and ends the request, all in one step: the way of most responses. False, and nothing done beyond what `send`
    /// and `check_whole` would do again, where it is too large for that, something was sent before, or a broken rule is to be reported.
    pub(crate) fn respond_whole(&self, py: Python<'_>, body: &[u8]) -> Result<bool, Fault> {
        let mut response = self.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            response.finish(&self.end, false);
            return Ok(true);
        }
        let length = body.len() as u64;
        if body.len() > SURELY_FITS || response.stage == Stage::Sent || !response.is_length_right(length) {
            return Ok(false);
        }
        let known_length = response.worth_saying(length);
        response.put_head(&self.end, known_length)?;
        let body = response.admit(body);
        let left = response.put(&self.end, body);
        debug_assert!(left.is_none(), "a ring has room for the largest head and this");
        response.finish(&self.end, false);
        Ok(true)
    }

    /// Sends the rest of a file, as far as announced. None: the front cannot be given files at present; only the head was sent, and the bytes
    /// have to go as data. `asked`: what the request says of ranges and conditions, where the application leaves that to the server.
    pub(crate) fn send_file(
        &self,
        py: Python<'_>,
        part: FilePart,
        asked: &[(Known, Vec<u8>)],
    ) -> Result<Option<Flow>, Fault> {
        let mut response = self.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            return Ok(Some(Flow::Gone));
        }
        if response.stage == Stage::Started
            && !asked.is_empty()
            && let Some(cut) = cut(&response.head, part.length, asked)
        {
            return self.send_cut(response, part, &cut);
        }
        response.put_head(&self.end, Some(part.length))?;
        let length = response.admit_length(part.length);
        if length > 0 {
            // A file is given only when its frame can follow at once: one without a frame would lie about until the request is over.
            while !self.end.has_room_for_file(response.taken.as_ref().ok_or(Fault::Over)?) {
                match self.wait(py, response)? {
                    (_, Writable::Gone) => return Ok(Some(Flow::Gone)),
                    (again, _) => response = again,
                }
            }
            let taken = response.taken.as_mut().ok_or(Fault::Over)?;
            let Ok(token) = self.end.give_file(taken, part.descriptor) else { return Ok(None) };
            let fitted = self.end.put_file(taken, token, part.offset, length);
            debug_assert!(fitted, "nobody else fills the ring while the response is locked");
            response.sent += length;
        }
        response.settle(&self.end, More::Unknown).map(Some)
    }

    /// Sends a part of a file, or none of it, in the place of all of it. The ring has room for that behind any head.
    fn send_cut(
        &self,
        mut response: MutexGuard<'_, Response>,
        part: FilePart,
        cut: &Cut,
    ) -> Result<Option<Flow>, Fault> {
        let length = cut.range.end - cut.range.start;
        let taken = response.taken.as_mut().ok_or(Fault::Over)?;
        // First of all, for without it all of the file goes as data.
        let token = match length {
            0 => None,
            _ => match self.end.give_file(taken, part.descriptor) {
                Ok(token) => Some(token),
                Err(_) => return Ok(None),
            },
        };
        response.head.change(cut.status, cut.reason, cut.removed, &cut.added);
        response.started();
        response.put_head(&self.end, None)?;
        if let Some(token) = token {
            let taken = response.taken.as_mut().ok_or(Fault::Over)?;
            let fitted = self.end.put_file(taken, token, part.offset + cut.range.start, length);
            debug_assert!(fitted, "nothing but a head has been written");
            response.sent += length;
        }
        response.settle(&self.end, More::Unknown).map(Some)
    }

    /// Whether the application leaves it to the server to send a part of its file.
    pub(crate) fn leaves_ranges(&self) -> bool {
        leaves_ranges(&self.lock().head)
    }

    /// Slot and generation of the present request.
    pub(crate) fn request(&self) -> (u32, u32) {
        self.lock().taken.as_ref().map_or((u32::MAX, u32::MAX), |taken| (taken.slot(), taken.generation()))
    }

    /// Spends of the client's rate, and waits for the front's word. Fails where `request` is over or nobody waits for its response any more.
    pub(crate) fn spend(&self, py: Python<'_>, request: (u32, u32), cost: u32) -> Result<Spent, Fault> {
        if self.end.is_foreign() {
            return Err(Fault::Foreign);
        }
        let mut response = self.try_enter(py)?;
        loop {
            if response.taken.as_ref().is_none_or(|taken| (taken.slot(), taken.generation()) != request) {
                return Err(Fault::Over);
            }
            if response.put_spending(&self.end, cost)? {
                break;
            }
            response = self.wait_for_room(py, response)?;
        }
        response = self.wait_for_room(py, response)?;
        response.taken.as_ref().and_then(|taken| self.end.spent(taken)).ok_or(Fault::Gone)
    }

    fn wait_for_room<'a>(
        &'a self,
        py: Python<'_>,
        response: MutexGuard<'a, Response>,
    ) -> Result<MutexGuard<'a, Response>, Fault> {
        match self.wait(py, response)? {
            (_, Writable::Gone) => Err(Fault::Gone),
            (response, _) => Ok(response),
        }
    }

    /// Fetches the file of the request's body.
    pub(crate) fn take_file(&self, token: u64) -> io::Result<OwnedFd> {
        match &self.lock().taken {
            Some(taken) => self.end.take_file(taken, token),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Takes the client's socket, in place of a response; why not, where that is impossible. The slot is let go of at once.
    pub(crate) fn take_socket(&self) -> Result<(), &'static str> {
        if self.end.is_foreign() {
            return Err(FOREIGN);
        }
        let mut response = self.lock();
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
        if !self.end.take_socket(&taken) {
            response.taken = Some(taken);
            return Err(
                "the client has gone, or the server has answered it: its socket is not to be had any more",
            );
        }
        response.stage = Stage::HandedOver;
        self.end.hand_over(taken);
        Ok(())
    }

    /// Whether the client's socket was taken.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.lock().stage == Stage::HandedOver
    }

    /// The request's body, where it is streamed.
    pub(crate) fn stream(&self, chunks: &[u8], waits_for_leave: bool) -> io::Result<Stream> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the request's body has no window");
        let response = self.lock();
        let taken = response.taken.as_ref().ok_or_else(damaged)?;
        let reader = self.end.body_reader(taken, chunks, waits_for_leave).ok_or_else(damaged)?;
        Ok(Stream::new(Arc::clone(&self.end), reader))
    }

    /// `write`: sends at once, also the head alone.
    pub(crate) fn write(&self, py: Python<'_>, piece: &Bound<'_, PyBytes>) -> Result<(), Fault> {
        match self.send(py, piece, None, More::Unknown)? {
            Flow::Gone if self.is_handed_over() => Ok(()),
            Flow::Gone => Err(Fault::Gone),
            Flow::Open => Ok(()),
            Flow::Complete => {
                // The verdict is not this caller's to give: the application may still fail, or write too much.
                let mut response = self.try_enter(py)?;
                if let Some(taken) = response.taken.as_mut() {
                    self.end.publish(taken);
                }
                Ok(())
            }
        }
    }

    /// Publishes and waits, without the GIL and the lock, until there is room.
    fn wait<'a>(
        &'a self,
        py: Python<'_>,
        mut response: MutexGuard<'a, Response>,
    ) -> Result<(MutexGuard<'a, Response>, Writable), Fault> {
        let mut taken = response.taken.take().ok_or(Fault::Over)?;
        response.lent = true;
        drop(response);
        self.end.publish(&mut taken);
        let away = Returning { responder: self, taken: Some(taken) };
        let writable = match &away.taken {
            Some(taken) => self.wait_writable(py, taken),
            None => Ok(Writable::Gone),
        };
        drop(away);
        if self.pauses.must_pause(py) {
            // Other greenlets may have parked because `Taken` was away.
            self.pauses.resume(py, self.slot.load(Ordering::Relaxed));
        }
        let writable = writable.map_err(Fault::Raised)?;
        Ok((self.try_enter(py)?, writable))
    }

    fn wait_writable(&self, py: Python<'_>, taken: &Taken) -> PyResult<Writable> {
        if !self.pauses.must_pause(py) {
            return Ok(py.detach(|| self.end.wait_writable(taken, None)));
        }
        loop {
            if let Some(writable) = self.end.try_writable(taken) {
                return Ok(writable);
            }
            self.pauses.pause(py, taken.slot()).unwrap_or(Ok(()))?;
        }
    }

    /// The application failed: where nothing has left yet the client gets status 500. False where the response is beyond repair.
    pub(crate) fn respond_error(&self, py: Python<'_>) -> bool {
        let mut response = self.enter(py);
        if !matches!(response.stage, Stage::Fresh | Stage::Started) {
            return false;
        }
        response.head.fill_internal_error(ERROR_BODY);
        response.started();
        let sent = response.put_head(&self.end, None).is_ok();
        let body = response.admit(ERROR_BODY);
        sent && response.put(&self.end, body).is_none()
    }

    /// Whether the response has everything that was announced; sends the head if there was no body at all.
    pub(crate) fn check_whole(&self, py: Python<'_>) -> Result<bool, Fault> {
        let mut response = self.try_enter(py)?;
        if response.stage == Stage::HandedOver {
            return Ok(true);
        }
        let known_length = response.worth_saying(0);
        response.put_head(&self.end, known_length)?;
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
        self.lock().bodyless
    }

    /// Whether nobody waits for the response any more.
    pub(crate) fn is_gone(&self, py: Python<'_>) -> bool {
        self.enter(py).taken.as_ref().is_some_and(|taken| self.end.is_gone(taken))
    }

    /// Records that a rule was broken; only the first one of a request counts.
    pub(crate) fn note_misuse(&self, message: &str) {
        self.lock().note(|| message.to_owned());
    }

    /// The broken rule to report, if any.
    pub(crate) fn take_misuse(&self) -> Option<String> {
        self.lock().misuse.take()
    }

    /// Gives the verdict; the slot stays ours.
    pub(crate) fn conclude(&self, py: Python<'_>, broken: bool) {
        if let Some(taken) = self.enter(py).taken.as_mut() {
            self.end.conclude(taken, broken);
        }
    }

    /// Ends the request, with this verdict if there was none. Does nothing where it is over.
    pub(crate) fn end(&self, py: Python<'_>, broken: bool) {
        self.enter(py).finish(&self.end, broken);
    }
}

/// A slow reader must not tie down more than this beside what the front may keep for it: then the writer waits.
const LEND_AT_ONCE: usize = 1 << 20;

/// A part of a bytes object.
struct Window {
    bytes: PyBackedBytes,
    range: Range<usize>,
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

/// A body up to this length goes out in one step behind any head: half of what a ring has left then.
const SURELY_FITS: usize = (pelton_link::RESPONSE_BYTES - pelton_link::MAX_HEAD_BYTES) / 2;

/// Brings `Taken` back whatever happens.
struct Returning<'a> {
    responder: &'a Responder,
    taken: Option<Taken>,
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        let mut response = self.responder.lock();
        response.taken = self.taken.take();
        response.lent = false;
        self.responder.returned.notify_all();
    }
}
