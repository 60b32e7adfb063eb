//! One request after the other on one thread: from the taken slot to the finished one.
//!
//! Owns the course of a call: environ, application, pieces, close, end. What a step means is in `request`, `responder` and `input`;
//! what happens around it (taking, waiting) in `worker`.
//!
//! # Promises, in every case
//! - The slot is finished exactly once, also when this code panics.
//! - `close()` of what the application returned is called exactly once, after the client's answer is decided.
//! - The body is detached before the slot is let go.
//! - The application can be interrupted as long as it runs, and nothing else can (see `interrupt`).
//! - What the application did wrong is reported before the answer that shows it can leave.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, TryLockError};

use penstock_link::Taken;
use penstock_link::request::{BodyView, RequestView};
use pyo3::exceptions::{PyBrokenPipeError, PyConnectionError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyTuple};
use pyo3::{ffi, intern};

use crate::answer::{Flow, More};
use crate::body::Body;
use crate::client_gone::ClientGone;
use crate::client_socket::{Duty, Visit, is_farewell};
use crate::errors::{report_failure, report_misuse, type_name};
use crate::file_wrapper::file_part;
use crate::head::borrowed_item;
use crate::input::Input;
use crate::interrupt::Window;
use crate::request::EnvironBuilder;
use crate::responder::Responder;
use crate::start_response::Callables;
use crate::worker::Worker;

/// What makes a thread's environs.
enum Environs {
    /// A builder of its own.
    Own(EnvironBuilder),
    /// The worker's, which all greenlets use: there are many of them, and a builder is large. It runs no application code; but the collector may run
    /// in the middle, and a finalizer may switch to another greenlet, which then finds it in use and makes one for itself.
    Shared,
}

/// What a serving thread, or greenlet, keeps from request to request.
pub struct Desk<'a, 'py> {
    py: Python<'py>,
    worker: &'a Worker,
    seat: Option<u32>,
    environs: Environs,
    callables: Callables,
    client_gone: ClientGone,
    window: Window<'a>,
    /// Where the thread has something else to do when a client's socket was taken.
    duty: Option<Arc<Duty>>,
}

/// Whether there may be more of an answer.
enum Course {
    /// All of the pieces are sent; the verdict is not given.
    Whole,
    /// The slot is finished already.
    Ended,
    /// The announced length is sent, or no body is wanted; the verdict is given.
    Concluded,
    /// Nobody waits for it.
    Gone,
}

impl<'a, 'py> Desk<'a, 'py> {
    /// A desk of the calling thread.
    pub fn new(py: Python<'py>, worker: &'a Worker) -> PyResult<Self> {
        let environs = Environs::Own(EnvironBuilder::new(py, &worker.environs)?);
        Desk::with(py, worker, None, environs)
    }

    /// A desk of the calling greenlet.
    pub(crate) fn of_greenlet(py: Python<'py>, worker: &'a Worker, seat: u32) -> PyResult<Self> {
        Desk::with(py, worker, Some(seat), Environs::Shared)
    }

    fn with(py: Python<'py>, worker: &'a Worker, seat: Option<u32>, environs: Environs) -> PyResult<Self> {
        let client_gone = new_client_gone(py, worker, &environs)?;
        let callables = new_callables(py, worker)?;
        let window = worker.watched.window(py, seat);
        Ok(Desk { py, worker, seat, environs, callables, client_gone, window, duty: None })
    }

    /// Lets the thread leave, by `duty`, when a request of it has taken its client's socket.
    pub(crate) fn set_duty(&mut self, duty: Arc<Duty>) {
        self.duty = Some(duty);
    }

    /// Runs a request; true when the thread is to leave. A panic ends that request only; afterwards everything that it could have left half
    /// done is made anew.
    pub fn run_guarded(&mut self, taken: Taken) -> PyResult<bool> {
        let had_socket = catch_unwind(AssertUnwindSafe(|| self.run(taken)));
        if had_socket.is_err() {
            let duty = self.duty.take();
            let environs = match self.environs {
                Environs::Own(_) => Environs::Own(EnvironBuilder::new(self.py, &self.worker.environs)?),
                Environs::Shared => Environs::Shared,
            };
            *self = Desk { duty, ..Desk::with(self.py, self.worker, self.seat, environs)? };
        }
        Ok(had_socket.unwrap_or(true) && self.duty.as_ref().is_some_and(|duty| duty.is_left(self.py)))
    }

    /// Gives whether the client's socket was offered.
    fn run(&mut self, taken: Taken) -> bool {
        let (py, worker) = (self.py, self.worker);
        let request = worker.end.request(&taken);
        let is_head = request.is_some_and(|request| request.method() == b"HEAD");
        let responder = self.callables.responder.bind(py).get();
        let word = Window::word(&taken);
        self.client_gone.begin(&taken);
        responder.begin(taken, is_head);
        let window = &self.window;
        let application = worker.application.bind(py).clone();
        let mut visit = None;
        let mut call = Call {
            py,
            worker,
            application,
            responder,
            window,
            input: None,
            environ: None,
            has_socket: false,
            is_over: false,
        };
        let environ = request
            .ok_or_else(|| PyRuntimeError::new_err("the request's record is damaged"))
            .and_then(|request| {
                if let BodyView::Stream { chunks, waits_for_leave, .. } = request.body() {
                    let stream = responder.stream(chunks, waits_for_leave)?;
                    call.input = Some(Bound::new(py, Input::streamed(stream, worker.pauses.clone()))?);
                } else {
                    let take_file = |token| responder.take_file(token);
                    if let Some(body) = Body::of(request.body(), worker.end.arena(), take_file)? {
                        call.input = Some(Bound::new(py, Input::new(body))?);
                    }
                }
                let environ =
                    self.environs.build(py, worker, &request, call.input.as_ref(), &self.client_gone)?;
                if let (BodyView::Socket(token), Some(sockets)) = (request.body(), &worker.client_sockets) {
                    let (descriptor, sockets) = (responder.take_file(token)?, sockets.bind(py));
                    let responder = &self.callables.responder;
                    visit = Visit::begin(sockets, &environ, descriptor, responder, self.duty.clone())?;
                    call.has_socket = true;
                    if visit.is_none() {
                        call.application = sockets.getattr(intern!(py, "refuse"))?;
                    }
                }
                Ok(environ)
            });
        match environ {
            Ok(environ) => {
                call.environ = Some(environ.clone());
                window.open(word);
                call.run(&environ, &self.callables.start_response);
            }
            // Not the application's fault, and without environ the observer has nothing to go by.
            Err(error) => {
                error.write_unraisable(py, Some(worker.application.bind(py)));
                let whole = responder.answer_error(py);
                call.end(!whole);
            }
        }
        drop(call);
        // The environ has gone, and what else the application may have kept of the request is not ours.
        let had_socket = visit.is_some();
        drop(visit);
        if !self.callables.are_ours_alone() {
            match new_callables(py, worker) {
                Ok(callables) => self.callables = callables,
                // Out of memory. The old ones would let the application reach the next request, so the panic's way out is taken.
                Err(error) => std::panic::panic_any(error),
            }
        }
        if !self.client_gone.is_ours_alone(self.environs.dicts()) {
            match new_client_gone(py, worker, &self.environs) {
                Ok(client_gone) => self.client_gone = client_gone,
                Err(error) => std::panic::panic_any(error),
            }
        }
        had_socket
    }
}

/// What tells the requests of one thread whether anybody waits for them.
fn new_client_gone(py: Python<'_>, worker: &Worker, environs: &Environs) -> PyResult<ClientGone> {
    let client_gone = ClientGone::new(py, &worker.end)?;
    if let Environs::Own(builder) = environs {
        builder.set_always(py, intern!(py, "penstock.client_gone"), client_gone.function())?;
    }
    Ok(client_gone)
}

fn new_callables(py: Python<'_>, worker: &Worker) -> PyResult<Callables> {
    Callables::new(py, Responder::new(Arc::clone(&worker.end), worker.pauses.clone()))
}

impl Environs {
    #[inline]
    fn build<'py>(
        &mut self,
        py: Python<'py>,
        worker: &Worker,
        request: &RequestView<'_>,
        input: Option<&Bound<'py, Input>>,
        client_gone: &ClientGone,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = match self {
            // `client_gone` is in it already.
            Environs::Own(builder) => return builder.build(py, request, input),
            Environs::Shared => match worker.environ_builder.try_lock() {
                Ok(mut builder) => match builder.as_mut() {
                    Some(builder) => builder.build(py, request, input)?,
                    None => builder.insert(new_builder(py, worker)?).build(py, request, input)?,
                },
                Err(TryLockError::WouldBlock) => new_builder(py, worker)?.build(py, request, input)?,
                // A panic in the middle of it: what it left is not to be used.
                Err(TryLockError::Poisoned(builder)) => {
                    *builder.into_inner() = None;
                    worker.environ_builder.clear_poison();
                    new_builder(py, worker)?.build(py, request, input)?
                }
            },
        };
        environ.set_item(intern!(py, "penstock.client_gone"), client_gone.function())?;
        Ok(environ)
    }

    /// The dicts of which environs are copies and that have `client_gone`.
    #[inline]
    fn dicts(&self) -> usize {
        match self {
            Environs::Own(builder) => builder.dicts(),
            Environs::Shared => 0,
        }
    }
}

/// A builder for any greenlet. The key is there, so that the copies have the room for it.
fn new_builder(py: Python<'_>, worker: &Worker) -> PyResult<EnvironBuilder> {
    let builder = EnvironBuilder::new(py, &worker.environs)?;
    builder.set_always(py, intern!(py, "penstock.client_gone"), &py.None())?;
    Ok(builder)
}

/// One request. Ends it when dropped, if nothing else has.
struct Call<'a, 'py> {
    py: Python<'py>,
    worker: &'a Worker,
    /// Whom the request is for.
    application: Bound<'py, PyAny>,
    responder: &'a Responder,
    window: &'a Window<'a>,
    input: Option<Bound<'py, Input>>,
    environ: Option<Bound<'py, PyDict>>,
    /// It was offered its client's socket.
    has_socket: bool,
    is_over: bool,
}

impl Drop for Call<'_, '_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(true);
        }
    }
}

impl<'py> Call<'_, 'py> {
    fn run(&mut self, environ: &Bound<'py, PyDict>, start_response: &Py<PyAny>) {
        let result = match self.call(environ, start_response) {
            Ok(result) => result,
            Err(error) => {
                let whole = self.fail(error);
                return self.end(!whole);
            }
        };
        // Lists and tuples have no `close`, and all of their pieces are there already.
        let is_plain = result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>();
        let course = if is_plain { self.send_all(&result) } else { self.send_from(&result) };
        let verdict = match course {
            Ok(Course::Ended) => return self.is_over = true,
            Ok(Course::Concluded) => None,
            Ok(Course::Gone) => Some(true),
            Ok(Course::Whole) => match self.responder.check_whole(self.py) {
                Ok(whole) => {
                    self.report_misuse();
                    Some(!whole)
                }
                Err(fault) => Some(!self.fail(fault.into())),
            },
            Err(error) => Some(!self.fail(error)),
        };
        if !is_plain {
            self.close(&result, verdict);
        }
        self.end(verdict.unwrap_or(false));
    }

    #[inline]
    fn call(&self, environ: &Bound<'py, PyDict>, start_response: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = [std::ptr::null_mut(), environ.as_ptr(), start_response.as_ptr()];
        // SAFETY: attached; two live arguments behind a spare place that the callee may use (the flag says so) while it runs; a new reference
        // or an exception comes back.
        unsafe {
            let result = ffi::PyObject_Vectorcall(
                self.application.as_ptr(),
                arguments.as_ptr().add(1),
                2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
                std::ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(self.py, result)
        }
    }

    /// Sends a list or tuple: nothing is published before the end, as there is nothing to wait for.
    #[inline]
    fn send_all(&self, result: &Bound<'py, PyAny>) -> PyResult<Course> {
        // No code of the application runs from here on: what waits for the client now is only our sending, which the client's going ends.
        self.window.close(self.py);
        let only = borrowed_item(result, 0)
            .filter(|_| borrowed_item(result, 1).is_none())
            .map(|item| item.to_owned());
        if let Some(only) = only {
            let piece = piece_of(&only)?.as_bytes();
            // Nobody of this request reads any more: the application has returned, and a list has no `close`.
            self.detach_input();
            if self.responder.answer_whole(self.py, piece)? {
                return Ok(Course::Ended);
            }
        }
        // A tuple, because the list could change while a piece waits for the client.
        let pieces = match result.cast::<PyList>() {
            Ok(list) => list.to_tuple(),
            Err(_) => result.cast::<PyTuple>()?.clone(),
        };
        let length = pieces
            .iter_borrowed()
            .map(|piece| piece_of(&piece).map(|bytes| bytes.as_bytes().len() as u64))
            .sum();
        // A wrong piece is found out in its turn, after the right ones before it.
        let length = PyResult::<u64>::ok(length);
        for piece in pieces.iter_borrowed() {
            if let Flow::Gone = self.send(&piece, length, More::Follows)? {
                return Ok(Course::Gone);
            }
        }
        Ok(Course::Whole)
    }

    fn send_from(&self, result: &Bound<'py, PyAny>) -> PyResult<Course> {
        if result.get_type().is(&self.worker.file_wrapper)
            && let Some(part) = file_part(result)
        {
            match self.responder.send_file(self.py, part)? {
                Some(Flow::Gone) => return Ok(Course::Gone),
                Some(Flow::Complete) => return Ok(self.conclude()),
                Some(Flow::Open) => return Ok(Course::Whole),
                None => {}
            }
        }
        let pieces = result.try_iter().map_err(|error| {
            if error.is_instance_of::<PyTypeError>(self.py) {
                let message =
                    format!("the application must return an iterable of bytes, not {}", type_name(result));
                let clearer = PyTypeError::new_err(message);
                clearer.set_cause(self.py, Some(error));
                return clearer;
            }
            error
        })?;
        let has_begun = Cell::new(false);
        let course = self.send_pieces(pieces, &has_begun);
        if has_begun.get() {
            // What follows, `close()` first of all, is not only there for the client.
            self.window.forbid_departure(self.py);
        }
        course
    }

    /// `has_begun` becomes true when the client has seen a part of an answer whose end nobody knows.
    fn send_pieces(&self, pieces: Bound<'_, PyIterator>, has_begun: &Cell<bool>) -> PyResult<Course> {
        let mut is_complete = false;
        for piece in pieces {
            let piece = piece?;
            if is_complete {
                // The client has its answer; only that there was more is worth a word.
                if !piece_of(&piece)?.as_bytes().is_empty() {
                    self.responder
                        .note_misuse("the body is longer than its Content-Length: the rest is left out");
                    self.report_misuse();
                    break;
                }
                continue;
            }
            match self.send(&piece, None, More::Unknown)? {
                Flow::Open => {
                    if !has_begun.get() && !piece_of(&piece)?.as_bytes().is_empty() {
                        has_begun.set(true);
                        self.window.allow_departure();
                    }
                }
                Flow::Gone => return Ok(Course::Gone),
                Flow::Complete => {
                    self.conclude();
                    is_complete = true;
                    // Where no body is wanted nothing is wrong with having one; it may be endless.
                    if self.responder.has_no_body() {
                        break;
                    }
                }
            }
        }
        Ok(if is_complete { Course::Concluded } else { Course::Whole })
    }

    fn send(&self, piece: &Bound<'_, PyAny>, known_length: Option<u64>, more: More) -> PyResult<Flow> {
        let piece = piece_of(piece)?;
        // PEP 3333: an empty piece must not send the head. But it is an occasion to find out that nobody waits.
        if piece.as_bytes().is_empty() {
            return Ok(if self.responder.is_gone(self.py) { Flow::Gone } else { Flow::Open });
        }
        Ok(self.responder.send(self.py, piece, known_length, more)?)
    }

    /// The client gets the end of its answer now, whatever the application still does.
    fn conclude(&self) -> Course {
        self.report_misuse();
        self.responder.conclude(self.py, false);
        Course::Concluded
    }

    /// Calls `close()`; the client has the verdict first.
    fn close(&self, result: &Bound<'py, PyAny>, verdict: Option<bool>) {
        let close = match result.getattr_opt(intern!(self.py, "close")) {
            Ok(None) => return,
            Ok(Some(close)) => Ok(close),
            Err(error) => Err(error),
        };
        if let Some(broken) = verdict {
            self.responder.conclude(self.py, broken);
        }
        if let Err(error) = close.and_then(|close| close.call0()) {
            self.report_failure(error);
        }
    }

    /// Reports what the application raised and answers 500; false if it is too late for that.
    fn fail(&self, error: PyErr) -> bool {
        // Our own word to a `write`, or to whoever wants the socket, when the client has gone: the application did nothing wrong.
        let is_ours = (error.is_instance_of::<PyBrokenPipeError>(self.py)
            || self.has_socket && error.is_instance_of::<PyConnectionError>(self.py))
            && self.responder.is_gone(self.py);
        let is_farewell = self.responder.is_handed_over() && is_farewell(&error, self.py);
        if !is_ours && !is_farewell {
            self.report_failure(error);
        }
        self.responder.answer_error(self.py)
    }

    fn report_failure(&self, error: PyErr) {
        if let Some(environ) = &self.environ {
            let report = || report_failure(self.worker.observer.bind(self.py), environ, error);
            self.window.shielded(self.py, report);
        }
    }

    #[inline]
    fn report_misuse(&self) {
        if let (Some(message), Some(environ)) = (self.responder.take_misuse(), &self.environ) {
            let report = || report_misuse(self.worker.observer.bind(self.py), environ, &message);
            self.window.shielded(self.py, report);
        }
    }

    /// Lets go of the slot.
    #[inline]
    fn end(&mut self, broken: bool) {
        self.is_over = true;
        self.window.close(self.py);
        self.detach_input();
        self.responder.end(self.py, broken);
    }

    #[inline]
    fn detach_input(&self) {
        if let Some(input) = &self.input {
            input.get().detach(self.py);
        }
    }
}

#[inline]
fn piece_of<'a, 'py>(piece: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    piece.cast::<PyBytes>().map_err(|_| {
        PyTypeError::new_err(format!("the pieces of a body must be bytes, not {}", type_name(piece)))
    })
}
