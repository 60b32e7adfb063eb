//! One request and its answer: which state it is in, and every transition there is.
//!
//! ```text
//!   Receiving ──► Queued ◄─► Running ──► Responding ──► Finished ──► (Receiving, the next one)
//!       │  │         │        ▲  │           ▲
//!       │  └─────────┼────────┘  │           │   a free slot: not queued; back to the queue: not started by its worker
//!       └────────────┴───────────┴───────────┘   an answer made by the front: refused, shed, expired, timed out, lost
//! ```
//!
//! - *Receiving*: nothing or a part of the request has come; also between two requests.
//! - *Queued*: complete, no slot free. The request is a record in the queue.
//! - *Running*: in a slot, no byte of the answer has been taken from it. Its body may still be coming, if it is streamed (`upload`).
//! - *Responding*: the answer is on its way; `slot` is still set while more of it may come from the worker.
//! - *Finished*: all of it has left.
//!
//! An exchange that loses its connection is dropped in whatever state it is; its slot stays behind as an orphan until the worker lets go.

use pelton_http::{Coding, Head, Version};

use crate::access::record::AccessRecord;
use crate::connection::body::Body;
use crate::event_loop::upload::Upload;
use crate::scheduling::dispatch::Place;

/// See the module's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Incomplete, or not begun.
    #[default]
    Receiving,
    /// Waits for a slot.
    Queued,
    /// With the worker.
    Running,
    /// The answer is being sent.
    Responding,
    /// Over.
    Finished,
}

impl State {
    /// The whole table of transitions.
    fn may_become(self, next: State) -> bool {
        use State::{Finished, Queued, Receiving, Responding, Running};
        matches!(
            (self, next),
            (Receiving, Queued | Running | Responding)
                | (Queued, Running | Responding)
                | (Running, Queued | Responding)
                | (Responding, Finished)
                | (Finished, Receiving)
        )
    }
}

/// A request whose body is still coming. Owns copies of what lay in the receive buffer.
#[derive(Debug)]
pub struct Pending {
    /// Spans point into `bytes`.
    pub head: Head,
    /// The head as received.
    pub bytes: Vec<u8>,
    /// What has come of the body.
    pub body: Body,
    /// When the body began to be collected.
    pub since_ms: u64,
}

/// See the module's head.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    /// The slot that runs it.
    pub slot: Option<Place>,
    /// Version of the request.
    pub version: Version,
    /// HEAD: no body in the answer.
    pub is_head: bool,
    /// Whether the connection is to be kept after the answer.
    pub keep_alive: bool,
    /// Whether all of the request has been received; if not, what follows on the connection cannot be understood.
    pub received_whole: bool,
    /// The answer will never be whole: once what there is of it has left, the connection is cut.
    pub broken: bool,
    /// How the answer's body is marked; None before its head.
    pub coding: Option<Coding>,
    /// Body bytes of the answer that were passed on.
    pub passed: u64,
    /// See [`Pending`].
    pub pending: Option<Box<Pending>>,
    /// A body that is passed on while it comes, until it has ended.
    pub upload: Option<Box<Upload>>,
    /// For the access log and `Server-Timing`, where they are wanted.
    pub record: Option<Box<AccessRecord>>,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            state: State::Receiving,
            slot: None,
            version: Version::Http11,
            is_head: false,
            keep_alive: true,
            received_whole: true,
            broken: false,
            coding: None,
            passed: 0,
            pending: None,
            upload: None,
            record: None,
        }
    }
}

impl Exchange {
    /// The state.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// How much of a body has been passed on to the client.
    pub fn body_bytes(&self) -> u64 {
        if self.coding == Some(Coding::None) { 0 } else { self.passed }
    }

    /// The one place where it changes.
    #[inline]
    pub fn become_state(&mut self, next: State) {
        debug_assert!(self.state.may_become(next), "an exchange went from {:?} to {next:?}", self.state);
        self.state = next;
    }

    /// The next request on the same connection. Field by field: most of them are as they should be. What may be
    /// refused before its head is understood must not be taken for what the previous one was.
    #[inline]
    pub fn renew(&mut self) {
        self.become_state(State::Receiving);
        self.slot = None;
        self.version = Version::Http11;
        self.is_head = false;
        self.coding = None;
        self.passed = 0;
        self.keep_alive = true;
        self.received_whole = true;
        debug_assert!(self.pending.is_none() && self.upload.is_none() && self.record.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_through_in_order_and_never_back() {
        use State::{Finished, Queued, Receiving, Responding, Running};
        let all = [Receiving, Queued, Running, Responding, Finished];
        let allowed: Vec<_> = all
            .iter()
            .flat_map(|a| all.iter().filter(|b| a.may_become(**b)).map(move |b| (*a, *b)))
            .collect();
        assert_eq!(
            allowed,
            [
                (Receiving, Queued),
                (Receiving, Running),
                (Receiving, Responding),
                (Queued, Running),
                (Queued, Responding),
                (Running, Queued),
                (Running, Responding),
                (Responding, Finished),
                (Finished, Receiving),
            ]
        );
    }
}
