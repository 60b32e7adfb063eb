//! A request on its way: what belongs to it besides its record, while it waits, when it is put into a slot, and as long as it is there.
//!
//! Must not know which worker it is for. Runs on the front's thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pelton_link::{BodyPool, BodyWindow, SelfCall};

use crate::exchange::spool::SpoolFile;
use crate::ids::ExchangeId;

/// In the turn of each request that does not go first: the order of the queue is that of the turns.
pub(crate) const NOT_FIRST: u64 = 1 << 63;

/// The number of a limit, from 1; 0 where none holds.
pub type LimitNumber = u16;

/// What a request needs besides its record, kept until no worker can ask for it any more.
#[derive(Debug, Default)]
pub struct Attachments {
    /// Chunks of the body arena.
    pub chunks: Vec<u32>,
    /// The body's file. The worker gets a duplicate, so that another one can have the request if this one never starts it.
    pub file: Option<SpoolFile>,
    /// A duplicate of the client's socket, which the worker may take (see `socket_offers`); it gets another one.
    pub socket: Option<OwnedFd>,
    /// Through which a streamed body comes.
    pub window: Option<Box<BodyWindow>>,
    /// The limit that holds for its path (`path_limits`).
    pub limit: LimitNumber,
}

impl Attachments {
    /// Whether there is nothing to give back.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.file.is_none() && self.socket.is_none() && self.window.is_none()
    }

    /// Whether a descriptor travels with the request.
    pub fn travels(&self) -> bool {
        self.travelling().is_some()
    }

    /// That descriptor: there is never more than one, as a request that offers its socket has no body.
    pub(super) fn travelling(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.file().as_fd()).or(self.socket.as_ref().map(OwnedFd::as_fd))
    }

    /// Gives the memory back and closes the files.
    pub fn discard(&mut self, bodies: &mut BodyPool) {
        bodies.put_back(self.chunks.drain(..));
        self.file = None;
        self.socket = None;
        if let Some(mut window) = self.window.take() {
            window.give_back(bodies);
        }
    }
}

/// A request outside of a slot: waiting for one, or on its way to another worker.
#[derive(Debug)]
pub struct Waiting {
    /// Who asks.
    pub id: ExchangeId,
    /// Counts up with each request; the order of the queue.
    pub turn: u64,
    /// When it was complete.
    pub since_ms: u64,
    /// As it will lie in the slot.
    pub record: Vec<u8>,
    /// What belongs to it.
    pub attachments: Attachments,
}

impl Waiting {
    /// Whether it goes before those that do not.
    #[inline]
    pub(super) fn is_first(&self) -> bool {
        self.turn < NOT_FIRST
    }
}

/// What the front remembers of a slot.
#[derive(Debug, Default)]
pub struct SlotUse {
    /// Whose response it is; None when nobody waits for it any more and the worker has not let go yet.
    pub owner: Option<ExchangeId>,
    /// Whether there is a request in it.
    pub is_used: bool,
    /// The worker has let go of it; only the reading of its response is left.
    pub is_done: bool,
    /// The owner was answered 504 then.
    pub overdue_since: Option<u64>,
    /// See [`Waiting`]; no two requests have the same.
    pub turn: u64,
    /// When the request was complete.
    pub since_ms: u64,
    /// It has a permit beyond the worker's own: a spare thread runs it, nobody else can (see `self_call`).
    pub is_spare: bool,
    pub(super) attachments: Attachments,
}

/// A request that is about to be put into a slot.
pub struct Placing {
    /// Who asks.
    pub id: ExchangeId,
    /// See [`Waiting`].
    pub turn: u64,
    /// See [`Waiting`].
    pub since_ms: u64,
    /// For a spare thread.
    pub self_call: Option<SelfCall>,
    /// See [`Waiting`].
    pub attachments: Attachments,
}
