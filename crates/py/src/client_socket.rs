//! The client's own socket on its way to the application: the offer, and what becomes of the thread when it is accepted.
//!
//! Owns the classes and the order of the steps; whose the socket is, is decided in `pelton_link` (`socket`), that the response is no response any more
//! in `responder`. The socket object itself is Python's (`wsgi/client_socket.py`), which calls [`SocketOffer::take`] when the application first uses
//! it. That may be on any thread of the application; everything else here runs on the thread that serves the request, with the GIL.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pelton_link::{Scheduler, WorkerEnd};
use pyo3::exceptions::{PyConnectionError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::front_settings::timeout_of;
use crate::responder::Responder;
use crate::system::READ_END;

/// Whether a serving thread is to leave because the request that it runs has become something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Departing {
    #[default]
    No,
    /// Its replacement is about to be made.
    Pending,
    /// Another thread serves in its place.
    Yes,
}

/// Who replaces a serving thread whose request keeps it: what has to happen for it to be free for something else.
pub(crate) struct Replacement {
    /// Where it has a seat, which another thread is to take; None for greenlets, which stay: there are as many as are needed.
    seat: Option<(Arc<Scheduler>, usize)>,
    /// Finds a replacement; the runner's.
    on_departure: Py<PyAny>,
    departing: Mutex<Departing>,
    decided: Condvar,
}

impl Replacement {
    pub(crate) fn new(seat: Option<(Arc<Scheduler>, usize)>, on_departure: Py<PyAny>) -> Arc<Self> {
        let (departing, decided) = (Mutex::default(), Condvar::new());
        Arc::new(Replacement { seat, on_departure, departing, decided })
    }

    fn lock(&self) -> MutexGuard<'_, Departing> {
        self.departing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, departing: Departing) {
        *self.lock() = departing;
        self.decided.notify_all();
    }

    /// Finds a replacement for the thread; without one it has to stay.
    fn leave(&self, py: Python<'_>) {
        let replaced = self.on_departure.call0(py);
        let departing = match replaced {
            Ok(_) => match &self.seat {
                Some((scheduler, seat)) => {
                    scheduler.vacate(*seat);
                    Departing::Yes
                }
                None => Departing::No,
            },
            Err(error) => {
                error.write_unraisable(py, Some(self.on_departure.bind(py)));
                Departing::No
            }
        };
        self.decide(departing);
    }

    /// Whether the thread is to leave, now that its request is over. The socket may just be taken by another thread: that one is waited for.
    pub(crate) fn is_left(&self, py: Python<'_>) -> bool {
        let departing = *self.lock();
        if departing != Departing::Pending {
            return departing == Departing::Yes;
        }
        py.detach(|| {
            let decided = self.decided.wait_while(self.lock(), |departing| *departing == Departing::Pending);
            *decided.unwrap_or_else(PoisonError::into_inner) == Departing::Yes
        })
    }
}

/// The offer of a client's socket to the application that answers its request.
#[pyclass(frozen, module = "pelton._engine")]
pub struct SocketOffer {
    end: Arc<WorkerEnd>,
    responder: Py<Responder>,
    is_taken: AtomicBool,
    replacement: Option<Arc<Replacement>>,
}

#[pymethods]
impl SocketOffer {
    /// Make the socket the application's for good.
    fn take(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(replacement) = &self.replacement {
            // Before the request is let go of, or its thread could miss that it is to leave.
            let mut departing = replacement.lock();
            if *departing != Departing::No {
                return Err(PyConnectionError::new_err("the socket has been taken before"));
            }
            *departing = Departing::Pending;
        }
        let taken = self.responder.get().take_socket();
        if taken.is_ok() {
            self.is_taken.store(true, Ordering::Relaxed);
        }
        match (&self.replacement, &taken) {
            (Some(replacement), Ok(())) => replacement.leave(py),
            (Some(replacement), Err(_)) => replacement.decide(Departing::No),
            (None, _) => {}
        }
        taken.map_err(PyConnectionError::new_err)
    }

    /// Whether nothing more comes from the other end of a socket: it has closed it, the connection has broken, or this side has shut it.
    #[staticmethod]
    fn is_closed(descriptor: RawFd) -> bool {
        is_closed(descriptor, Duration::ZERO)
    }

    /// Shut the receiving direction of a socket: whoever reads from it sees its end. Waits for nothing.
    #[staticmethod]
    fn shut_reading(descriptor: RawFd) {
        shut(descriptor, libc::SHUT_RD);
    }

    /// Shut the sending direction: the client sees the end of what was sent. As above.
    #[staticmethod]
    fn shut_writing(descriptor: RawFd) {
        shut(descriptor, libc::SHUT_WR);
    }

    /// End a socket in good order: no more is sent, the client has `timeout` seconds to close its side, then all is over. The descriptor has to
    /// stay the caller's; other threads may use others of the same socket.
    #[staticmethod]
    fn finish(py: Python<'_>, descriptor: RawFd, timeout: f64) -> PyResult<()> {
        let timeout = timeout_of(timeout)?;
        shut(descriptor, libc::SHUT_WR);
        py.detach(|| is_closed(descriptor, timeout));
        shut(descriptor, libc::SHUT_RDWR);
        Ok(())
    }
}

fn shut(descriptor: RawFd, how: libc::c_int) {
    // SAFETY: takes no pointer; what is no socket, or has no connection any more, is found out, and there is nothing to do about it.
    unsafe { libc::shutdown(descriptor, how) };
}

/// Waits at most so long for the end of what comes from a socket.
fn is_closed(descriptor: RawFd, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let mut look = libc::pollfd { fd: descriptor, events: READ_END, revents: 0 };
        // SAFETY: one live pollfd. What is no descriptor is found out.
        let count =
            unsafe { libc::poll(&raw mut look, 1, libc::c_int::try_from(left).unwrap_or(libc::c_int::MAX)) };
        if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return count > 0;
        }
    }
}

/// A request whose client's socket lies in its environ. The object that made the socket learns of its end, however it comes.
pub(crate) struct OfferedSocket<'py> {
    sockets: Bound<'py, PyAny>,
    socket: Bound<'py, PyAny>,
    offer: Bound<'py, SocketOffer>,
}

impl<'py> OfferedSocket<'py> {
    /// Puts the socket into the environ; None where there is no room for another one.
    pub(crate) fn begin(
        sockets: &Bound<'py, PyAny>,
        environ: &Bound<'py, PyDict>,
        descriptor: OwnedFd,
        responder: &Py<Responder>,
        replacement: Option<Arc<Replacement>>,
    ) -> PyResult<Option<Self>> {
        let py = sockets.py();
        let end = Arc::clone(responder.get().link_end());
        let is_taken = AtomicBool::new(false);
        let offer =
            Bound::new(py, SocketOffer { end, responder: responder.clone_ref(py), is_taken, replacement })?;
        // From here on the descriptor is Python's, also where it fails.
        let descriptor = descriptor.into_raw_fd();
        let socket = sockets.call_method1(intern!(py, "offer"), (environ, descriptor, &offer))?;
        Ok((!socket.is_none()).then(|| OfferedSocket { sockets: sockets.clone(), socket, offer }))
    }
}

impl Drop for OfferedSocket<'_> {
    fn drop(&mut self) {
        let py = self.sockets.py();
        if let Err(error) = self.sockets.call_method1(intern!(py, "end"), (&self.socket,)) {
            error.write_unraisable(py, Some(&self.sockets));
        }
        let offer = self.offer.get();
        if offer.is_taken.load(Ordering::Relaxed) {
            offer.end.socket_ended();
        }
    }
}

/// Whether what an application raises after it has taken the socket is only its way to say that there is no response: servers of this
/// kind learn by a ConnectionError, or by a StopIteration, that the connection is not theirs any more.
pub(crate) fn is_farewell(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<PyConnectionError>(py) || error.is_instance_of::<PyStopIteration>(py)
}
