//! `environ["pelton.rate"]`: what is left to the request's client of its rate, and the way to spend more of it.
//!
//! The front owns the table, for all workers; what it knew when the request was handed on came with the record, each spending brings what it knows
//! then. Only requests for which a limit of rate holds have one. May be used by any thread, as long as the request is not over.

use std::sync::atomic::{AtomicU32, Ordering};

use pelton_link::Spent;
use pyo3::prelude::*;

use crate::responder::Responder;

/// The numbers that come with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    reset: u32,
}

impl Allowance {
    /// As the front writes them.
    pub(crate) fn parse(text: &[u8]) -> Option<Allowance> {
        let mut numbers = std::str::from_utf8(text).ok()?.split(' ').map(|number| number.parse().ok());
        let allowance =
            Allowance { limit: numbers.next()??, remaining: numbers.next()??, reset: numbers.next()?? };
        numbers.next().is_none().then_some(allowance)
    }
}

/// What is left to a client of a limit of rate; see docs/rate-limits.md.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Rate {
    responder: Py<Responder>,
    /// Slot and generation: an object that is kept does not spend for the next request.
    request: (u32, u32),
    limit: u32,
    remaining: AtomicU32,
    reset: AtomicU32,
}

impl Rate {
    pub(crate) fn new(py: Python<'_>, responder: &Py<Responder>, allowance: Allowance) -> Self {
        Rate {
            responder: responder.clone_ref(py),
            request: responder.get().request(),
            limit: allowance.limit,
            remaining: AtomicU32::new(allowance.remaining),
            reset: AtomicU32::new(allowance.reset),
        }
    }
}

#[pymethods]
impl Rate {
    /// So much can be spent at once by a client that has spent nothing.
    #[getter]
    fn limit(&self) -> u32 {
        self.limit
    }

    /// What is left at once, when last heard of.
    #[getter]
    fn remaining(&self) -> u32 {
        self.remaining.load(Ordering::Relaxed)
    }

    /// Seconds until all of it would be there again, when last heard of.
    #[getter]
    fn reset(&self) -> u32 {
        self.reset.load(Ordering::Relaxed)
    }

    /// Spend `count` more; False, and nothing is spent, where that is more than what is left. With 0 only looks.
    #[pyo3(signature = (count=1))]
    fn spend(&self, py: Python<'_>, count: u32) -> PyResult<bool> {
        let Spent { allowed, remaining, reset } = self.responder.get().spend(py, self.request, count)?;
        self.remaining.store(remaining, Ordering::Relaxed);
        self.reset.store(reset, Ordering::Relaxed);
        Ok(allowed)
    }

    fn __repr__(&self) -> String {
        format!("<pelton rate: {} of {} left, all in {} s>", self.remaining(), self.limit, self.reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_not_at_all() {
        let allowance = Allowance { limit: 5, remaining: 4, reset: 60 };
        assert_eq!(Allowance::parse(b"5 4 60"), Some(allowance));
        for text in ["", "5 4", "5 4 60 1", "5 4 x", "5  4 60", "-1 4 60", "4294967296 1 1"] {
            assert_eq!(Allowance::parse(text.as_bytes()), None, "{text}");
        }
    }
}
