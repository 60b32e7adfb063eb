//! From complete request to slot: the queue, the slots' owners, and what a slot holds for its request.
//!
//! A request is handed on at once while a slot is free; otherwise it waits in the one queue, first come first served. What is in
//! slots and in the queue together is bounded by `threads + queue_length`.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;

use penstock_http::{Head, Known, Version};
use penstock_link::request::{self, BodyParts, FieldRecord, RequestParts, Span};
use penstock_link::{BodyPool, Frame, FrontEnd, FrontHalf, descriptors};

use crate::body::Body;
use crate::connection_table::ConnectionId;
use crate::listener::Peer;

/// A body of at most this size travels in the record.
pub const INLINE_BODY: usize = 16 * 1024;

/// What the front remembers of a slot in use.
#[derive(Debug, Default)]
struct SlotUse {
    /// Whose answer it is; None when the connection has gone and the worker has not let go yet.
    connection: Option<ConnectionId>,
    chunks: Vec<u32>,
    /// Given to the worker with the request; ours again only if it never starts.
    file: Option<u64>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// It is in this slot.
    Slot(u32),
    /// No slot is free: it has to wait.
    Wait,
    /// As many wait as may.
    Full,
    /// Its head does not fit a slot.
    TooLarge,
}

/// The body to be handed on.
pub enum Load<'b> {
    /// None or a small one.
    Inline(&'b [u8]),
    /// What has been collected; taken out on success.
    Collected(&'b mut Body),
}

/// Everything of a request that is not its body.
pub struct Ask<'a> {
    /// Parsed.
    pub head: &'a Head,
    /// What the head's spans point into.
    pub bytes: &'a [u8],
    /// Who asks.
    pub peer: &'a Peer,
    /// By which listener.
    pub listener: u16,
}

/// See the module's head.
#[derive(Debug)]
pub struct Dispatch {
    /// The link's end; answers are read from it by `respond`.
    pub link: FrontEnd,
    /// Memory for bodies.
    pub bodies: BodyPool,
    uses: Vec<SlotUse>,
    queue: VecDeque<ConnectionId>,
    most: usize,
    path: Vec<u8>,
}

impl Dispatch {
    /// For one link whose worker has `threads` threads.
    pub fn new(half: FrontHalf, threads: usize, queue_length: usize) -> Self {
        let uses = (0..half.end.slots()).map(|_| SlotUse::default()).collect();
        Dispatch {
            link: half.end,
            bodies: half.bodies,
            uses,
            queue: VecDeque::new(),
            most: threads.saturating_add(queue_length),
            path: Vec::new(),
        }
    }

    /// Slots that are not free.
    pub fn slots_in_use(&self) -> usize {
        self.link.slots() - self.link.free_slots()
    }

    /// Requests in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Hands a new request on, if it may and can be.
    #[inline]
    pub fn submit(&mut self, id: ConnectionId, ask: &Ask<'_>, load: Load<'_>) -> Dispatched {
        if self.slots_in_use() + self.queue.len() >= self.most {
            return Dispatched::Full;
        }
        if !self.queue.is_empty() {
            return Dispatched::Wait;
        }
        self.place(id, ask, load)
    }

    /// Puts a request into a slot, whoever else waits.
    pub fn place(&mut self, id: ConnectionId, ask: &Ask<'_>, load: Load<'_>) -> Dispatched {
        let Some(slot) = self.link.claim() else { return Dispatched::Wait };
        let path = decoded_path(ask, &mut self.path);
        let parts = |body| RequestParts {
            head: ask.bytes,
            method: span(ask.head.method),
            target: span(ask.head.target),
            query: span(ask.head.query),
            path,
            peer: ask.peer.text(),
            peer_port: ask.peer.port,
            listener: ask.listener,
            version: if ask.head.version == Version::Http10 { 10 } else { 11 },
            body,
        };
        let fields = ask.head.fields.iter().map(|field| FieldRecord {
            name: span(field.name),
            value: span(field.value),
            known: field.known as u32,
        });
        let mut holding = SlotUse { connection: Some(id), ..SlotUse::default() };
        let area = self.link.request_area(slot);
        let result = match load {
            Load::Inline([]) => request::encode(area, &parts(BodyParts::None), fields),
            Load::Inline(bytes) => request::encode(area, &parts(BodyParts::Inline(bytes)), fields),
            Load::Collected(body) => {
                let (chunks, file, len) = std::mem::take(body).into_parts();
                holding.chunks = chunks;
                holding.file = file.map(|file: File| descriptors::give(OwnedFd::from(file)));
                let body = match holding.file {
                    Some(token) => BodyParts::File(token, len),
                    None if len == 0 => BodyParts::None,
                    None => BodyParts::Chunks(&holding.chunks, len),
                };
                request::encode(area, &parts(body), fields)
            }
        };
        match result {
            Ok(len) => {
                if let Some(place) = self.uses.get_mut(slot as usize) {
                    *place = holding;
                }
                self.link.submit(slot, len);
                Dispatched::Slot(slot)
            }
            Err(_) => {
                self.give_back(holding);
                self.link.unclaim(slot);
                Dispatched::TooLarge
            }
        }
    }

    fn give_back(&mut self, mut holding: SlotUse) {
        self.bodies.put_back(holding.chunks.drain(..));
        if let Some(token) = holding.file {
            // SAFETY: given by us to a worker that never started the request, so nobody has taken it.
            drop(unsafe { descriptors::take(token) });
        }
    }

    /// The connection that waits for this slot's answer.
    #[inline]
    pub fn owner(&self, slot: u32) -> Option<ConnectionId> {
        self.uses.get(slot as usize)?.connection
    }

    /// The connection needs nothing more of this slot: its answer has been read, or nobody waits for it. The slot is freed now if the
    /// worker has let go of it, otherwise when it does.
    pub fn let_go(&mut self, slot: u32, abandoned: bool) {
        if let Some(holding) = self.uses.get_mut(slot as usize) {
            holding.connection = None;
        }
        if abandoned {
            if self.take_back(slot) {
                return;
            }
            self.link.abandon(slot);
        }
        self.reap(slot);
    }

    /// Takes back a request that no thread has started, with all that its slot holds; false when one has.
    pub fn take_back(&mut self, slot: u32) -> bool {
        let taken = self.link.reclaim(slot);
        if taken {
            let holding = self.uses.get_mut(slot as usize).map(std::mem::take).unwrap_or_default();
            self.give_back(holding);
        }
        taken
    }

    /// Frees an ownerless slot if the worker has let go of it.
    pub fn reap(&mut self, slot: u32) {
        if self.link.is_done(slot) && self.owner(slot).is_none() {
            self.drop_attachments(slot);
            if self.link.release(slot)
                && let Some(holding) = self.uses.get_mut(slot as usize)
            {
                // The file, if there was one, has become the worker's.
                holding.file = None;
                self.bodies.put_back(holding.chunks.drain(..));
            }
        }
    }

    /// Descriptors and loans in an answer that nobody reads would be kept for ever.
    fn drop_attachments(&mut self, slot: u32) {
        let (mut cursor, _) = self.link.answer(slot);
        while let Ok(Some(frame)) = self.link.next_frame(slot, &mut cursor) {
            match frame {
                // SAFETY: given by the worker with this frame, which is read here and nowhere else.
                Frame::File { token, .. } => drop(unsafe { descriptors::take(token) }),
                Frame::Lent { token, .. } => drop(self.link.take_loan(token)),
                Frame::Head(_) | Frame::Data(..) => {}
            }
        }
    }

    /// Puts a connection at the end of the queue.
    pub fn enqueue(&mut self, id: ConnectionId) {
        self.queue.push_back(id);
    }

    /// Puts back what `next_queued` gave and could not be placed: it is still its turn.
    pub fn enqueue_first(&mut self, id: ConnectionId) {
        self.queue.push_front(id);
    }

    /// Whether requests wait although slots are free: the link's ready ring is full of entries whose requests were taken back. The
    /// worker throws them away without a word, so nothing will tell when there is room.
    pub fn is_stalled(&self) -> bool {
        !self.queue.is_empty() && self.link.free_slots() > 0
    }

    /// Takes a connection out of the queue because it closed or has waited too long.
    pub fn leave_queue(&mut self, id: ConnectionId) {
        self.queue.retain(|queued| *queued != id);
    }

    /// Takes out the id whose turn it is, while a slot is free.
    pub fn next_queued(&mut self) -> Option<ConnectionId> {
        if self.link.free_slots() == 0 { None } else { self.queue.pop_front() }
    }
}

fn span(span: penstock_http::Span) -> Span {
    Span { start: span.start, end: span.end }
}

fn decoded_path<'p>(ask: &'p Ask<'_>, buffer: &'p mut Vec<u8>) -> &'p [u8] {
    let path = ask.head.path.of(ask.bytes);
    if path.is_empty() {
        return b"/";
    }
    if !path.contains(&b'%') {
        return path;
    }
    buffer.clear();
    penstock_http::target::percent_decode(path, buffer);
    buffer
}

/// The access log's view of a head.
pub fn field_value<'a>(head: &Head, bytes: &'a [u8], known: Known) -> &'a [u8] {
    head.find(known).map(|field| field.value.of(bytes)).unwrap_or_default()
}
