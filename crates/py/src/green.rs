//! Serving on greenlets: many requests at the same time on one thread, whose event loop (the *hub*) sleeps on the link's descriptor.
//!
//! Owns the loop of one greenlet: it runs ready requests back to back, as long as none of them blocks and its time is not over, and comes to
//! rest. Which greenlet is next, and when, is the runner's decision (`worker/runners/green.py`). On the hub's thread only, except `claim`'s caller, who
//! must be there, too.
//!
//! One greenlet at a time *pulls*. There is no scheduler beside that: while a request does not block, nothing else of this thread runs anyway, and
//! when it does, the hub comes to run, which sends the next greenlet.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::client_socket::Replacement;
use crate::request_runner::RequestRunner;
use crate::worker::Worker;

/// How long a greenlet goes on with quick requests before the others, timers and sockets have their turn. Some ten to a hundred of them: a turn
/// of the hub costs as much as one or two.
const SLICE: Duration = Duration::from_millis(1);

impl Worker {
    /// Runs requests on the calling greenlet until `rest` says that it is enough. `rest(asleep)` is called between them: nothing is ready and
    /// the bell is set (`asleep`), or others shall have their turn; it parks the greenlet and returns whether to go on.
    pub(crate) fn serve_on_greenlet(
        &self,
        py: Python<'_>,
        seat: u32,
        rest: &Bound<'_, PyAny>,
        on_departure: Py<PyAny>,
    ) -> PyResult<()> {
        let mut runner = RequestRunner::of_greenlet(py, self, seat)?;
        runner.set_replacement(Replacement::new(None, on_departure));
        loop {
            let began = Instant::now();
            while !self.is_stopping()
                && let Some(taken) = self.end.take()
            {
                runner.run_guarded(taken)?;
                self.leave_if_foreign(py);
                if began.elapsed() >= SLICE {
                    break;
                }
            }
            self.end.settle();
            let asleep = self.end.prepare_sleep(!self.is_stopping());
            if !rest.call1((asleep,))?.is_truthy()? {
                return Ok(());
            }
        }
    }
}
