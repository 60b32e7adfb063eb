//! One request and its response: which state it is in, and every transition there is.
//!
//! ```text
//!   Receiving ──► Queued ◄─► Running ──► Responding ──► Finished ──► (Receiving, the next one)
//!       │  │         │        ▲  │           ▲
//!       │  └─────────┼────────┘  │           │   a free slot: not queued; back to the queue: not started by its worker
//!       └────────────┴───────────┴───────────┘   a response made by the front: refused, shed, expired, timed out, lost
//! ```
//!
//! - *Receiving*: nothing or a part of the request has come; also between two requests.
//! - *Queued*: complete, no slot free. The request is a record in the queue.
//! - *Running*: in a slot, no byte of the response has been taken from it. Its body may still be coming, if it is streamed (`upload`).
//! - *Responding*: the response is on its way; `slot` is still set while more of it may come from the worker.
//! - *Finished*: all of it has left.
//!
//! An exchange that loses its connection is dropped in whatever state it is; its slot stays behind as an orphan until the worker lets go.

use std::collections::VecDeque;

use pelton_http::{Coding, Head, Known, Version};

use crate::access::record::AccessRecord;
use crate::exchange::backlog::Backlog;
use crate::exchange::output::Output;
use crate::exchange::request_body::Body;
use crate::exchange::upload::Upload;
use crate::ids::ConnectionId;
use crate::ids::ExchangeKind;
use crate::ids::Place;
use crate::metrics::Metered;
use crate::rate_limits::Spender;
use crate::response::filters::Filters;
use crate::response::own::Part;
use crate::table::Table;
use crate::transport::Transport;

pub(crate) mod abandon;
pub(crate) mod backlog;
pub(crate) mod departure;
pub(crate) mod output;
pub(crate) mod request_body;
pub(crate) mod spool;
pub(crate) mod upload;

/// All exchanges.
pub type Exchanges = Table<Exchange, ExchangeKind>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Incomplete, or not begun.
    #[default]
    Receiving,
    /// Waits for a slot.
    Queued,
    /// With the worker.
    Running,
    /// The response is being sent.
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

/// What of a request is needed later: what of its head decides about a response that the front makes, where it may
/// have to, and who spends.
#[derive(Debug, Default)]
pub struct Asked {
    /// `Accept`; lines after the first one are not kept.
    pub accept: Vec<u8>,
    /// Conditions and `Range`, as the application sees them; none but for GET and HEAD.
    pub conditions: Vec<(Known, Vec<u8>)>,
    /// Whose rate it has been counted against, where that is limited.
    pub(crate) spender: Option<Spender>,
}

/// What happens to a response beside the event loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    #[default]
    None,
    /// Bytes that are to pass through the filters. Boxed, so that exchanges without filters stay small.
    Bytes(Box<Portion>),
    /// The next piece of the filters' file.
    FilePiece,
    /// A helper is at it.
    Away,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// It.
    pub bytes: Vec<u8>,
    /// Whether nothing follows.
    pub is_last: bool,
}

impl Work {
    /// Whether more frames may be read: nothing is to be done, or they can be done with what there is.
    #[inline]
    pub fn takes_more(&self) -> bool {
        matches!(self, Work::None | Work::Bytes(..))
    }
}

#[derive(Debug)]
pub struct Exchange {
    state: State,
    /// Over which it came.
    pub connection: ConnectionId,
    /// Its stream, in HTTP/2; zero in HTTP/1.
    pub stream: u32,
    /// The slot that runs it.
    pub slot: Option<Place>,
    /// Version of the request.
    pub version: Version,
    /// HEAD: no body in the response.
    pub is_head: bool,
    /// It came encrypted, here or to a proxy.
    pub is_tls: bool,
    /// Whether the connection is to be kept after the response.
    pub keep_alive: bool,
    /// Whether all of the request has been received; if not, what follows on the connection cannot be understood.
    pub received_whole: bool,
    /// The response will never be whole: once what there is of it has left, the connection is cut.
    pub broken: bool,
    /// How the response's body is marked; None before its head.
    pub coding: Option<Coding>,
    /// Body bytes of the response that were passed on.
    pub passed: u64,
    /// What happens to the response on its way; nothing, for most.
    pub filters: Option<Box<Filters>>,
    /// What a helper is to do, or does, with the next piece of the body; the filters are with the helper then.
    pub work: Work,
    /// What the front itself has of the response's body and has not put into the output.
    #[expect(clippy::box_collection, reason = "most exchanges have none, and are small")]
    pub body: Option<Box<VecDeque<Part>>>,
    /// What of the response is still to be sent.
    pub output: Output,
    /// The client does not keep up with the response, and is in the list of those.
    pub is_behind: bool,
    /// Bytes moved in the present window of the client's clock.
    pub moved: u64,
    /// Bytes that the client had ever taken when that window began.
    pub taken_before: u64,
    /// See [`Pending`].
    pub pending: Option<Box<Pending>>,
    /// A body that is passed on while it comes, until it has ended.
    pub upload: Option<Box<Upload>>,
    /// See [`Asked`].
    pub asked: Option<Box<Asked>>,
    /// For the access log and `Server-Timing`, where they are wanted.
    pub record: Option<Box<AccessRecord>>,
    /// What is counted of it, where anything is.
    pub metered: Metered,
}

impl Exchange {
    /// One of a connection, before its request has come.
    pub fn new(connection: ConnectionId, backlog: Backlog) -> Self {
        Exchange {
            state: State::Receiving,
            connection,
            stream: 0,
            slot: None,
            version: Version::Http11,
            is_head: false,
            is_tls: false,
            keep_alive: true,
            received_whole: true,
            broken: false,
            coding: None,
            passed: 0,
            filters: None,
            work: Work::None,
            body: None,
            output: Output::new(backlog),
            is_behind: false,
            moved: 0,
            taken_before: 0,
            pending: None,
            upload: None,
            asked: None,
            record: None,
            metered: Metered::default(),
        }
    }

    /// Whose rate it has been counted against, where that is limited.
    pub(crate) fn spender(&self) -> Option<Spender> {
        self.asked.as_deref()?.spender
    }

    /// The state.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// How much of a body has been passed on to the client.
    pub fn body_bytes(&self) -> u64 {
        if self.coding == Some(Coding::None) { 0 } else { self.passed }
    }

    /// Bytes that the client has ever taken, as far as can be known.
    pub fn taken(&self, transport: &Transport) -> u64 {
        // What lies unacknowledged on a connection of HTTP/2 is of any stream; its own window tells what has been read.
        let unacknowledged = if self.stream == 0 { transport.unacknowledged() } else { 0 };
        self.output.sent().saturating_sub(unacknowledged)
    }

    /// Bytes of the response's body that the client has taken, as far as can be known: what has been passed on, but
    /// for what is still here or with the system. Less by the marks of chunks among that.
    pub fn body_taken(&self, transport: Option<&Transport>) -> u64 {
        let unacknowledged = transport.map_or(0, Transport::unacknowledged);
        self.body_bytes().saturating_sub(self.output.left() + unacknowledged)
    }

    /// Whether to end the connection now would look like the end of the response, though it is not: where nothing but the close marks the end,
    /// only a reset says that it has not been reached.
    pub fn would_look_whole(&self) -> bool {
        self.state == State::Responding && self.coding == Some(Coding::UntilClose)
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
        self.is_behind = false;
        self.moved = 0;
        self.keep_alive = true;
        self.received_whole = true;
        self.filters = None;
        self.asked = None;
        debug_assert!(self.work == Work::None);
        self.output.end_spilling();
        debug_assert!(self.body.is_none());
        debug_assert!(self.output.is_empty());
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
