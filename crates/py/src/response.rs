//! What is known of one response while it is made, and each step it can take without waiting.
//!
//! Owns the stages, the head until it is sent, and the count of what was sent against what was announced. Must not know threads: `responder`
//! keeps it in a mutex. Makes no Python objects and runs no Python code.
//!
//! ```text
//! Over ──begin──▶ Fresh ──start──▶ Started ──first piece, write or end──▶ Sent ──finish──▶ Over
//!                   └──────────── the application failed ─▲
//!               Fresh, Started ──the client's socket is taken──▶ HandedOver ──finish──▶ Over
//! ```
//! In HandedOver whatever the application says is accepted and thrown away: there is nobody to answer any more.
//! Starting is an error in Over; in Started it needs exc_info (and replaces the head); in Sent it needs exc_info and raises it again.

use pelton_link::{Loan, Taken, WorkerEnd};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyRuntimeError};
use pyo3::prelude::*;

use crate::fork::foreign;
use crate::head::{Head, Refusal};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Over,
    Fresh,
    Started,
    Sent,
    HandedOver,
}

#[derive(Default)]
pub(crate) struct Response {
    pub(crate) stage: Stage,
    /// Present from `begin` to `end` except while lent.
    pub(crate) taken: Option<Taken>,
    pub(crate) lent: bool,
    pub(crate) head: Head,
    pub(crate) is_head_request: bool,
    /// HEAD, 204 and 304: whatever the application sends as a body is left out, and no length is checked.
    pub(crate) bodyless: bool,
    /// Content-Length where the application gave it and there is a body.
    pub(crate) declared: Option<u64>,
    pub(crate) sent: u64,
    /// The first broken rule, not reported yet.
    pub(crate) misuse: Option<String>,
    pub(crate) misuse_noted: bool,
    /// What `start_response` returns. Refers to this object: whoever sets it takes it out again.
    pub(crate) write: Option<Py<PyAny>>,
}

/// How the response stands after something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// More may follow; what was sent is published.
    Open,
    /// The announced length is reached, or a body is not wanted. Not published: the verdict is to follow at once.
    Complete,
    /// Nobody waits for it any more.
    Gone,
}

/// What follows a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// The next piece or the end, at once: publishing can wait for it.
    Follows,
    /// Perhaps something, after any time.
    Unknown,
}

/// Why something could not be sent or started.
pub(crate) enum Fault {
    Over,
    NotStarted,
    StartedTwice,
    Gone,
    /// This process was forked from the one that answers the request.
    Foreign,
    Head(Refusal),
    SpentTooOften,
    /// The head has left: the caller has to raise the exc_info it was given.
    TooLate,
    /// What somebody has raised in a greenlet while it waited for the client.
    Raised(PyErr),
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> PyErr {
        match fault {
            Fault::Over => PyRuntimeError::new_err("the request is over"),
            Fault::NotStarted => PyAssertionError::new_err("start_response was not called before the body"),
            Fault::StartedTwice => {
                PyAssertionError::new_err("start_response was called a second time without exc_info")
            }
            Fault::Gone => PyBrokenPipeError::new_err("the client has gone"),
            Fault::Foreign => foreign(),
            Fault::Head(refusal) => refusal.into(),
            Fault::SpentTooOften => PyRuntimeError::new_err("the rate was asked too often in one request"),
            Fault::Raised(error) => error,
            Fault::TooLate => PyRuntimeError::new_err("the head of the response has already been sent"),
        }
    }
}

impl Response {
    /// What `start_response` returns.
    pub(crate) fn write(&self, py: Python<'_>) -> Result<Py<PyAny>, Fault> {
        self.write.as_ref().map(|write| write.clone_ref(py)).ok_or(Fault::Over)
    }

    pub(crate) fn started(&mut self) {
        self.stage = Stage::Started;
        self.bodyless = self.is_head_request || matches!(self.head.status(), 204 | 304);
        self.declared = if self.bodyless { None } else { self.head.content_length() };
    }

    /// A body's length, unless it is the nothing that many applications return for HEAD: the length would be that of GET's response.
    #[inline]
    pub(crate) fn worth_saying(&self, length: u64) -> Option<u64> {
        (length > 0 || !self.is_head_request).then_some(length)
    }

    #[inline]
    pub(crate) fn put_head(&mut self, end: &WorkerEnd, known_length: Option<u64>) -> Result<(), Fault> {
        match self.stage {
            Stage::Sent => return Ok(()),
            Stage::Over | Stage::HandedOver => return Err(Fault::Over),
            Stage::Fresh => return Err(Fault::NotStarted),
            Stage::Started => {}
        }
        let taken = self.taken.as_mut().ok_or(Fault::Over)?;
        // The application's word goes first: if it is wrong, that is found out while sending.
        let has_place = self.is_head_request || !self.bodyless;
        let known_length = known_length.filter(|_| has_place && self.head.content_length().is_none());
        end.put_head(taken, &self.head.response_head(known_length), self.head.fields())
            .map_err(|_| Fault::Head(Refusal::Value(String::from("status and headers are too large"))))?;
        self.stage = Stage::Sent;
        Ok(())
    }

    /// Sends early hints, unless the head has left.
    pub(crate) fn put_early_hints(&mut self, end: &WorkerEnd, hints: &Head) -> Result<(), Fault> {
        match self.stage {
            Stage::Sent | Stage::HandedOver => return Ok(()),
            Stage::Over => return Err(Fault::Over),
            Stage::Fresh | Stage::Started => {}
        }
        let taken = self.taken.as_mut().ok_or(Fault::Over)?;
        end.put_early_hints(taken, hints.fields())
            .map_err(|_| Fault::Head(Refusal::Value(String::from("these are too many early hints"))))?;
        end.publish(taken);
        Ok(())
    }

    /// Asks the front to count more of the client's rate; false when there is no room yet.
    pub(crate) fn put_spending(&mut self, end: &WorkerEnd, cost: u32) -> Result<bool, Fault> {
        let taken = self.taken.as_mut().ok_or(Fault::Over)?;
        match self.stage {
            Stage::Over | Stage::HandedOver => Err(Fault::Over),
            // The head has to find the room that it is promised.
            Stage::Fresh | Stage::Started if !taken.is_near_beginning() => Err(Fault::SpentTooOften),
            _ => Ok(end.put_spending(taken, cost)),
        }
    }

    /// The part of a piece that may be sent.
    #[inline]
    pub(crate) fn admit<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let length = self.admit_length(piece.len() as u64);
        piece.get(..length as usize).unwrap_or(piece)
    }

    #[inline]
    pub(crate) fn admit_length(&mut self, length: u64) -> u64 {
        if self.bodyless {
            return 0;
        }
        let Some(declared) = self.declared else { return length };
        let left = declared.saturating_sub(self.sent);
        if length > left {
            self.note(|| {
                format!("the body is longer than its Content-Length of {declared}: the rest is left out")
            });
        }
        length.min(left)
    }

    /// Writes what there is room for; gives the rest if there is one.
    #[inline]
    pub(crate) fn put<'a>(&mut self, end: &WorkerEnd, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        let taken = self.taken.as_mut()?;
        while !rest.is_empty() {
            let put = end.put_data(taken, rest);
            if put == 0 {
                return Some(rest);
            }
            self.sent += put as u64;
            rest = rest.get(put..).unwrap_or_default();
        }
        None
    }

    /// Lends `length` bytes to the front; gives the loan back when there is no room yet.
    pub(crate) fn lend(
        &mut self,
        end: &WorkerEnd,
        loan: Loan,
        length: usize,
    ) -> Result<Result<(), Loan>, Fault> {
        let taken = self.taken.as_mut().ok_or(Fault::Over)?;
        let lent = end.put_lent(taken, loan, length);
        if lent.is_ok() {
            self.sent += length as u64;
        }
        Ok(lent)
    }

    /// Publishes, unless the verdict can follow at once.
    pub(crate) fn settle(&mut self, end: &WorkerEnd, more: More) -> Result<Flow, Fault> {
        let taken = self.taken.as_mut().ok_or(Fault::Over)?;
        if self.bodyless || self.declared == Some(self.sent) {
            return Ok(Flow::Complete);
        }
        if more == More::Unknown {
            end.publish(taken);
        }
        Ok(if end.is_gone(taken) { Flow::Gone } else { Flow::Open })
    }

    /// Whether a body of this length is what was announced, if anything was.
    #[inline]
    pub(crate) fn is_length_right(&self, length: u64) -> bool {
        self.declared.is_none_or(|declared| declared == length)
    }

    #[inline]
    pub(crate) fn finish(&mut self, end: &WorkerEnd, broken: bool) {
        self.stage = Stage::Over;
        if let Some(taken) = self.taken.take() {
            end.finish(taken, broken);
        }
    }

    pub(crate) fn note(&mut self, message: impl FnOnce() -> String) {
        if !self.misuse_noted {
            self.misuse_noted = true;
            self.misuse = Some(message());
        }
    }
}
