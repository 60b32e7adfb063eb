//! Why connections end. Every close has a reason, and each reason its counter.

use crate::counters::{Counter, Counters};

/// The reason for a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The answer announced it.
    AfterAnswer,
    /// The client closed between requests.
    ByClient,
    /// The client closed, or its connection broke, within a request or an answer.
    ByClientEarly,
    /// The transport failed.
    TransportError,
    /// Nothing came for the keep-alive time.
    Idle,
    /// The client did not take the answer.
    WriteTimeout,
    /// The application failed after the head had left: only a cut tells the client.
    BrokenAnswer,
    /// The front ends.
    Draining,
}

impl CloseReason {
    /// Where it is counted.
    pub fn counter(self, counters: &Counters) -> &Counter {
        match self {
            CloseReason::AfterAnswer => &counters.closed_after_answer,
            CloseReason::ByClient => &counters.closed_by_client,
            CloseReason::ByClientEarly => &counters.closed_by_client_early,
            CloseReason::TransportError => &counters.closed_by_error,
            CloseReason::Idle => &counters.closed_idle,
            CloseReason::WriteTimeout => &counters.closed_write_timeout,
            CloseReason::BrokenAnswer => &counters.answers_broken,
            CloseReason::Draining => &counters.closed_draining,
        }
    }
}
