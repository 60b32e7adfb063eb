//! The response of a request, shared by the threads and greenlets of its application: who may use it now, and waiting for the client.
//!
//! Owns the mutex around [`Response`] and the lending of [`Taken`]. Must not know what is sent; that is `responder`'s.
//!
//! # Threads
//! Usually one thread uses it, but an application may hand `write` to others. So everything lies in a mutex:
//! - Under it no Python object is made and no Python code runs: a thread that waits for it holds the GIL.
//! - For waiting on the client `Taken` is *lent* out of the mutex; who needs it meanwhile waits, without the GIL, for its return.
//! - Greenlets, which share a thread, wait for both by parking (see `pauses`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pelton_link::{Taken, WorkerEnd, Writable};
use pyo3::prelude::*;

use crate::fork::foreign;
use crate::pauses::Pauses;
use crate::response::{Fault, Response};

pub(crate) struct SharedResponse {
    pub(crate) end: Arc<WorkerEnd>,
    response: Mutex<Response>,
    returned: Condvar,
    pauses: Pauses,
    /// Which slot the present request is in.
    slot: AtomicU32,
}

impl SharedResponse {
    pub(crate) fn new(end: Arc<WorkerEnd>, pauses: Pauses) -> Self {
        let (response, returned, slot) = (Mutex::default(), Condvar::new(), AtomicU32::new(0));
        SharedResponse { end, response, returned, pauses, slot }
    }

    /// The response as a new request finds it.
    pub(crate) fn begin(&self, taken: &Taken) -> MutexGuard<'_, Response> {
        self.slot.store(taken.slot(), Ordering::Relaxed);
        self.lock()
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Response> {
        // No code that could panic halfway through a change runs under the lock.
        self.response.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response, with `Taken` in its place. Fails only in a greenlet that has to wait for that, with what somebody raises there.
    #[inline]
    pub(crate) fn try_enter(&self, py: Python<'_>) -> Result<MutexGuard<'_, Response>, Fault> {
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
    pub(crate) fn enter(&self, py: Python<'_>) -> MutexGuard<'_, Response> {
        loop {
            match self.try_enter(py) {
                Ok(response) => return response,
                Err(fault) => PyErr::from(fault).write_unraisable(py, None),
            }
        }
    }

    /// Publishes and waits, without the GIL and the lock, until there is room.
    pub(crate) fn wait<'a>(
        &'a self,
        py: Python<'_>,
        mut response: MutexGuard<'a, Response>,
    ) -> Result<(MutexGuard<'a, Response>, Writable), Fault> {
        let mut taken = response.taken.take().ok_or(Fault::Over)?;
        response.lent = true;
        drop(response);
        self.end.publish(&mut taken);
        let away = Returning { shared: self, taken: Some(taken) };
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

    /// The same; fails where nobody waits for the response any more.
    pub(crate) fn wait_for_room<'a>(
        &'a self,
        py: Python<'_>,
        response: MutexGuard<'a, Response>,
    ) -> Result<MutexGuard<'a, Response>, Fault> {
        match self.wait(py, response)? {
            (_, Writable::Gone) => Err(Fault::Gone),
            (response, _) => Ok(response),
        }
    }
}

/// Brings `Taken` back whatever happens.
struct Returning<'a> {
    shared: &'a SharedResponse,
    taken: Option<Taken>,
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        let mut response = self.shared.lock();
        response.taken = self.taken.take();
        response.lent = false;
        self.shared.returned.notify_all();
    }
}
