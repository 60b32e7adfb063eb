//! Streams: what is known of each, and of those that are over.
//!
//! RFC 9113 section 5.1, as far as a server that pushes nothing needs it; one flag for each direction:
//!
//! ```text
//!   idle ──HEADERS──► open ──ended by the client──► half-closed (remote) ──ended by us──► closed
//!                      │  └──ended by us──► half-closed (local) ──► closed
//!                      └──reset by either──► closed
//! ```
//!
//! Closed is not gone: an entry stays until its exchange is over, so that a client cannot have more of those by resetting streams.

use std::collections::VecDeque;

use super::flow::Room;
use super::frame::ErrorCode;
use super::priority::Urgency;

/// Streams that are remembered after their end: enough for what was under way when we ended them.
const REMEMBERED: usize = 256;

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    /// What we may send. Can be below zero (section 6.9.2).
    pub(crate) window: i64,
    /// What the client may send.
    pub(crate) room: Room,
    /// The client sends nothing more.
    pub(crate) remote_done: bool,
    /// We send nothing more.
    pub(crate) local_done: bool,
    /// Reset, by either.
    pub(crate) is_reset: bool,
    /// Its head or body was refused: what still comes of it is thrown away, and it ends with this code if it is one.
    pub(crate) refused: Option<ErrorCode>,
    /// The head of the response has been sent.
    pub(crate) responded: bool,
    /// There is something to send.
    pub(crate) waits: bool,
    pub(crate) urgency: Urgency,
    /// When it sent last, by the count of data frames.
    pub(crate) turn: u64,
    /// Bytes of the body that have come, and how many there must be.
    pub(crate) body: u64,
    pub(crate) length: Option<u64>,
    /// It asks to become something else than a request: what comes has no length, and no trailers.
    pub(crate) is_tunnel: bool,
}

/// What a stream number means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// In the table, at this place.
    Open(usize),
    /// It has never been used.
    Idle,
    /// Over; and whether the client may have sent something before it knew.
    Closed { early: bool },
    /// Lower than one that was used, and not used itself; or forgotten.
    Skipped,
}

/// All of a connection.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) list: Vec<Stream>,
    /// The highest number that the client has used.
    pub(crate) last: u32,
    /// Numbers of those that are over; whether they ended before the client was done.
    closed: VecDeque<(u32, bool)>,
}

impl Streams {
    #[inline]
    pub(crate) fn know(&self, id: u32) -> Known {
        // Numbers grow, and the latest are asked for most.
        if let Some(place) = self.list.iter().rposition(|stream| stream.id == id) {
            return Known::Open(place);
        }
        if id > self.last || id.is_multiple_of(2) {
            return Known::Idle;
        }
        match self.closed.iter().rev().find(|(closed, _)| *closed == id) {
            Some((_, early)) => Known::Closed { early: *early },
            None => Known::Skipped,
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        self.list.iter_mut().rfind(|stream| stream.id == id)
    }

    /// Forgets all about it but its number.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Stream> {
        let place = self.list.iter().rposition(|stream| stream.id == id)?;
        let stream = self.list.remove(place);
        self.remember(id, !stream.remote_done);
        Some(stream)
    }

    /// For one that never had an entry.
    pub(crate) fn remember(&mut self, id: u32, early: bool) {
        if self.closed.len() >= REMEMBERED {
            self.closed.pop_front();
        }
        self.closed.push_back((id, early));
    }

    /// Which stream is to send next: of the most urgent ones that may, the one whose last turn is longest ago.
    pub(crate) fn next_sender(&self) -> Option<u32> {
        self.list
            .iter()
            .filter(|stream| stream.waits && stream.window > 0)
            .min_by_key(|stream| (stream.urgency, stream.turn, stream.id))
            .map(|stream| stream.id)
    }
}
