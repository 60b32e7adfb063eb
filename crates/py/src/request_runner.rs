//! One request after the other on one thread: from the taken slot to the finished one.
//!
//! Owns what a thread keeps from request to request, and prepares each call (`call`): the environ (`request`), the input, what the application
//! gets to answer with. What happens around it (taking, waiting) is in `worker`.
//!
//! # Promises, in every case
//! - The slot is finished exactly once, also when this code panics.
//! - `close()` of what the application returned is called exactly once, after the client's response is decided.
//! - The body is detached before the slot is let go.
//! - The application can be interrupted as long as it runs, and nothing else can (see `interrupt`).
//! - What the application did wrong is reported before the response that shows it can leave.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, TryLockError};

use pelton_link::Taken;
use pelton_link::request::{BodyView, RequestView};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::body::Body;
use crate::call::Call;
use crate::client_gone::ClientGone;
use crate::client_socket::{OfferedSocket, Replacement};
use crate::input::Input;
use crate::interrupt::Window;
use crate::rate::{Allowance, Rate};
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
pub struct RequestRunner<'a, 'py> {
    py: Python<'py>,
    worker: &'a Worker,
    seat: Option<u32>,
    environs: Environs,
    callables: Callables,
    client_gone: ClientGone,
    window: Window<'a>,
    /// Where the thread has something else to do when a client's socket was taken.
    replacement: Option<Arc<Replacement>>,
}

impl<'a, 'py> RequestRunner<'a, 'py> {
    /// For the calling thread.
    pub fn new(py: Python<'py>, worker: &'a Worker) -> PyResult<Self> {
        let environs = Environs::Own(EnvironBuilder::new(py, &worker.environs)?);
        RequestRunner::with(py, worker, None, environs)
    }

    /// For the calling greenlet.
    pub(crate) fn of_greenlet(py: Python<'py>, worker: &'a Worker, seat: u32) -> PyResult<Self> {
        RequestRunner::with(py, worker, Some(seat), Environs::Shared)
    }

    fn with(py: Python<'py>, worker: &'a Worker, seat: Option<u32>, environs: Environs) -> PyResult<Self> {
        let client_gone = new_client_gone(py, worker, &environs)?;
        let callables = new_callables(py, worker, &environs)?;
        let window = worker.watched.window(py, seat);
        Ok(RequestRunner { py, worker, seat, environs, callables, client_gone, window, replacement: None })
    }

    /// Lets the thread leave, and another one take its place, when a request of it has taken its client's socket.
    pub(crate) fn set_replacement(&mut self, replacement: Arc<Replacement>) {
        self.replacement = Some(replacement);
    }

    /// Runs a request; true when the thread is to leave. A panic ends that request only; afterwards everything that it could have left half
    /// done is made anew.
    pub fn run_guarded(&mut self, taken: Taken) -> PyResult<bool> {
        let had_socket = catch_unwind(AssertUnwindSafe(|| self.run(taken)));
        if had_socket.is_err() {
            let replacement = self.replacement.take();
            let environs = match self.environs {
                Environs::Own(_) => Environs::Own(EnvironBuilder::new(self.py, &self.worker.environs)?),
                Environs::Shared => Environs::Shared,
            };
            *self = RequestRunner {
                replacement,
                ..RequestRunner::with(self.py, self.worker, self.seat, environs)?
            };
        }
        Ok(had_socket.unwrap_or(true)
            && self.replacement.as_ref().is_some_and(|replacement| replacement.is_left(self.py)))
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
        let mut offered = None;
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
                call.input = input_of(py, worker, responder, request.body())?;
                let functions = (&self.client_gone, &self.callables);
                let environ = self.environs.build(py, worker, &request, call.input.as_ref(), functions)?;
                if let (BodyView::Socket(token), Some(sockets)) = (request.body(), &worker.client_sockets) {
                    let (descriptor, sockets) = (responder.take_file(token)?, sockets.bind(py));
                    let (responder, replacement) = (&self.callables.responder, self.replacement.clone());
                    offered = OfferedSocket::begin(sockets, &environ, descriptor, responder, replacement)?;
                    call.has_socket = true;
                    if offered.is_none() {
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
                let whole = responder.respond_error(py);
                call.end(!whole);
            }
        }
        drop(call);
        // The environ has gone, and what else the application may have kept of the request is not ours.
        let had_socket = offered.is_some();
        drop(offered);
        self.renew();
        had_socket
    }

    /// What the application has kept of a request's functions would reach the next request: those are made anew.
    #[inline]
    fn renew(&mut self) {
        let (py, worker) = (self.py, self.worker);
        if !self.callables.are_ours_alone(self.environs.dicts()) {
            match new_callables(py, worker, &self.environs) {
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
    }
}

/// The body of a request, as a file for reading.
#[inline]
fn input_of<'py>(
    py: Python<'py>,
    worker: &Worker,
    responder: &Responder,
    body: BodyView<'_>,
) -> PyResult<Option<Bound<'py, Input>>> {
    let input = if let BodyView::Stream { chunks, waits_for_leave, .. } = body {
        Input::streamed(responder.stream(chunks, waits_for_leave)?, worker.pauses.clone())
    } else {
        let take_file = |token| responder.take_file(token);
        match Body::of(body, worker.end.arena(), take_file)? {
            Some(body) => Input::new(body),
            None => return Ok(None),
        }
    };
    Bound::new(py, input).map(Some)
}

/// What tells the requests of one thread whether anybody waits for them.
fn new_client_gone(py: Python<'_>, worker: &Worker, environs: &Environs) -> PyResult<ClientGone> {
    let client_gone = ClientGone::new(py, &worker.end)?;
    if let Environs::Own(builder) = environs {
        builder.set_always(py, intern!(py, "pelton.client_gone"), client_gone.function())?;
    }
    Ok(client_gone)
}

fn new_callables(py: Python<'_>, worker: &Worker, environs: &Environs) -> PyResult<Callables> {
    let callables = Callables::new(py, Responder::new(Arc::clone(&worker.end), worker.pauses.clone()))?;
    if let Environs::Own(builder) = environs {
        builder.set_always(py, intern!(py, "wsgi.early_hints"), &callables.early_hints)?;
    }
    Ok(callables)
}

impl Environs {
    #[inline]
    fn build<'py>(
        &mut self,
        py: Python<'py>,
        worker: &Worker,
        request: &RequestView<'_>,
        input: Option<&Bound<'py, Input>>,
        (client_gone, callables): (&ClientGone, &Callables),
    ) -> PyResult<Bound<'py, PyDict>> {
        let (environ, rate) = match self {
            // Both functions are in it already.
            Environs::Own(builder) => {
                let environ = builder.build(py, request, input)?;
                put_rate(&environ, builder.rate.take(), callables)?;
                return Ok(environ);
            }
            Environs::Shared => match worker.environ_builder.try_lock() {
                Ok(mut builder) => {
                    let builder = match builder.as_mut() {
                        Some(builder) => builder,
                        None => builder.insert(new_builder(py, worker)?),
                    };
                    let environ = builder.build(py, request, input)?;
                    (environ, builder.rate.take())
                }
                Err(TryLockError::WouldBlock) => build_alone(py, worker, request, input)?,
                // A panic in the middle of it: what it left is not to be used.
                Err(TryLockError::Poisoned(builder)) => {
                    *builder.into_inner() = None;
                    worker.environ_builder.clear_poison();
                    build_alone(py, worker, request, input)?
                }
            },
        };
        environ.set_item(intern!(py, "pelton.client_gone"), client_gone.function())?;
        environ.set_item(intern!(py, "wsgi.early_hints"), &callables.early_hints)?;
        put_rate(&environ, rate, callables)?;
        Ok(environ)
    }

    /// The dicts of which environs are copies and that have both functions.
    #[inline]
    fn dicts(&self) -> usize {
        match self {
            Environs::Own(builder) => builder.dicts(),
            Environs::Shared => 0,
        }
    }
}

/// What is left to the client, where that is limited.
#[inline]
fn put_rate(
    environ: &Bound<'_, PyDict>,
    allowance: Option<Box<Allowance>>,
    callables: &Callables,
) -> PyResult<()> {
    let Some(allowance) = allowance else { return Ok(()) };
    let py = environ.py();
    environ.set_item(
        intern!(py, "pelton.rate"),
        Bound::new(py, Rate::new(py, &callables.responder, *allowance))?,
    )
}

/// With a builder that nobody uses afterwards.
fn build_alone<'py>(
    py: Python<'py>,
    worker: &Worker,
    request: &RequestView<'_>,
    input: Option<&Bound<'py, Input>>,
) -> PyResult<(Bound<'py, PyDict>, Option<Box<Allowance>>)> {
    let mut builder = new_builder(py, worker)?;
    let environ = builder.build(py, request, input)?;
    Ok((environ, builder.rate.take()))
}

/// A builder for any greenlet. The keys are there, so that the copies have the room for them.
fn new_builder(py: Python<'_>, worker: &Worker) -> PyResult<EnvironBuilder> {
    let builder = EnvironBuilder::new(py, &worker.environs)?;
    builder.set_always(py, intern!(py, "pelton.client_gone"), &py.None())?;
    builder.set_always(py, intern!(py, "wsgi.early_hints"), &py.None())?;
    Ok(builder)
}
