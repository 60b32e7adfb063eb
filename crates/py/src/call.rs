//! The course of one call: the application, the pieces of its response, `close()`, and the end.
//!
//! What a step means is in `responder` and `input`; `request_runner` prepares a call and cleans up behind it. Its promises are in the head of `request_runner`.
//! Runs on the thread or greenlet of the request.

use std::cell::Cell;

use pelton_http::Known;
use pyo3::exceptions::{PyBrokenPipeError, PyConnectionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyTuple};
use pyo3::{ffi, intern};

use crate::client_socket::is_farewell;
use crate::errors::{report_failure, report_misuse, type_name};
use crate::file_ranges::ASKED;
use crate::file_wrapper::file_part;
use crate::fork::end_child;
use crate::head::{borrowed_item, latin1_bytes, unshared};
use crate::input::Input;
use crate::interrupt::Window;
use crate::responder::Responder;
use crate::response::{Flow, More};
use crate::worker::Worker;

/// Whether there may be more of a response.
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

/// One request. Ends it when dropped, if nothing else has.
pub(crate) struct Call<'a, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) worker: &'a Worker,
    /// Whom the request is for.
    pub(crate) application: Bound<'py, PyAny>,
    pub(crate) responder: &'a Responder,
    pub(crate) window: &'a Window<'a>,
    pub(crate) input: Option<Bound<'py, Input>>,
    pub(crate) environ: Option<Bound<'py, PyDict>>,
    /// It was offered its client's socket.
    pub(crate) has_socket: bool,
    pub(crate) is_over: bool,
}

impl Drop for Call<'_, '_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(true);
        }
        if self.worker.tells_routes() {
            self.responder.environ.forget(self.py);
        }
    }
}

impl<'py> Call<'_, 'py> {
    pub(crate) fn run(&mut self, environ: &Bound<'py, PyDict>, start_response: &Py<PyAny>) {
        if self.worker.tells_routes() {
            self.responder.environ.keep(environ);
        }
        let returned = self.call(environ, start_response);
        let result = match self.at_home(returned) {
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

    /// What the application gave back, unless it has forked and this is the child, which ends here.
    #[inline]
    fn at_home<T>(&self, returned: PyResult<T>) -> PyResult<T> {
        if self.worker.end.is_foreign() { end_child(self.py, returned.err()) } else { returned }
    }

    /// Sends a list or tuple: nothing is published before the end, as there is nothing to wait for.
    #[inline]
    fn send_all(&self, result: &Bound<'py, PyAny>) -> PyResult<Course> {
        // No code of the application runs from here on: what waits for the client now is only our sending, which the client's going ends.
        self.window.close(self.py);
        let copy = unshared(result)?;
        let result = copy.as_ref().map_or(result, |copy| copy.as_any());
        let only = borrowed_item(result, 0)
            .filter(|_| borrowed_item(result, 1).is_none())
            .map(|item| item.to_owned());
        if let Some(only) = only {
            let piece = piece_of(&only)?.as_bytes();
            // Nobody of this request reads any more: the application has returned, and a list has no `close`.
            self.detach_input();
            if self.responder.respond_whole(self.py, piece)? {
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
            match self.responder.send_file(self.py, part, &self.asked_of_file())? {
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

    /// `has_begun` becomes true when the client has seen a part of a response whose end nobody knows.
    fn send_pieces(&self, pieces: Bound<'_, PyIterator>, has_begun: &Cell<bool>) -> PyResult<Course> {
        let mut is_complete = false;
        for piece in pieces {
            let piece = self.at_home(piece)?;
            if is_complete {
                // The client has its response; only that there was more is worth a word.
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

    /// What the request says of ranges and conditions; nothing where that is not the server's business.
    fn asked_of_file(&self) -> Vec<(Known, Vec<u8>)> {
        let Some(environ) = self.environ.as_ref().filter(|_| self.responder.leaves_ranges()) else {
            return Vec::new();
        };
        let find = |name: &str| environ.get_item(name).ok().flatten();
        if find("REQUEST_METHOD").and_then(|method| Some(latin1_bytes(&method)? == b"GET")) != Some(true) {
            return Vec::new();
        }
        let asked = ASKED.iter().filter_map(|(name, known)| {
            let value = find(name)?;
            Some((*known, latin1_bytes(&value)?.to_vec()))
        });
        asked.collect()
    }

    /// The client gets the end of its response now, whatever the application still does.
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
        if let Err(error) = self.at_home(close.and_then(|close| close.call0())) {
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
        self.responder.note_route(self.py);
        self.responder.respond_error(self.py)
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
    pub(crate) fn end(&mut self, broken: bool) {
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
