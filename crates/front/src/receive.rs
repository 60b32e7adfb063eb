//! From bytes to requests: reads sockets, drives the parser, collects bodies, hands complete requests on.
//!
//! Runs on the front's thread. Decides nothing about HTTP (that is `penstock_http`) and nothing about slots (that is `dispatch`);
//! knows only in which order bytes, events and states follow each other.

use std::io::{self, Read};

use penstock_http::{Event, Head, HttpError, Known, Length};

use crate::access_record::AccessRecord;
use crate::body::Body;
use crate::close::CloseReason;
use crate::connection::Connection;
use crate::connection_table::ConnectionId;
use crate::dispatch::{Ask, Dispatched, INLINE_BODY, Load, field_value};
use crate::event_loop::EventLoop;
use crate::exchange::{Pending, State};
use crate::listener::Peer;
use crate::notices::Level;
use crate::own_answer::OwnAnswer;

/// Bytes read from one connection before the others get their turn.
const READ_BUDGET: usize = 1 << 20;
/// Bytes read at once into the loop's buffer.
pub const SCRATCH: usize = 64 * 1024;

/// What driving a connection led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its state has changed: look at it again.
    Again,
    /// It waits for something outside.
    Wait,
    /// It is no more.
    Closed,
}

/// What looking at some input led to.
enum Seen {
    /// All of it is understood so far; more is needed.
    More,
    /// The state of the exchange has changed; the rest of the input is for later.
    Turned,
}

impl EventLoop {
    /// Reads and parses until the request is complete, the socket has nothing more, or the budget is spent.
    pub(crate) fn receive(&mut self, id: ConnectionId) -> Turn {
        let mut budget = READ_BUDGET;
        loop {
            let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
            if connection.unseen {
                connection.unseen = false;
                let input = std::mem::take(&mut connection.input);
                let (consumed, seen) = self.look(id, &input);
                let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
                connection.input = input;
                if consumed >= connection.input.len() {
                    // An idle connection keeps no buffer.
                    connection.input = Vec::new();
                } else if consumed > 0 {
                    connection.input.drain(..consumed);
                }
                if matches!(seen, Seen::Turned) {
                    connection.unseen = !connection.input.is_empty();
                    return Turn::Again;
                }
                continue;
            }
            if !connection.readable {
                return if connection.peer_done { self.end_of_input(id) } else { Turn::Wait };
            }
            if budget == 0 {
                self.again.push(id);
                return Turn::Wait;
            }
            match self.read_once(id, &mut budget) {
                Ok(Seen::More) => {}
                Ok(Seen::Turned) => return Turn::Again,
                Err(_) => {
                    self.close(id, CloseReason::TransportError);
                    return Turn::Closed;
                }
            }
        }
    }

    /// One read: into the body's memory where there is a body of known length, else into the loop's buffer.
    fn read_once(&mut self, id: ConnectionId, budget: &mut usize) -> io::Result<Seen> {
        let Some(connection) = self.table.get_mut(id) else { return Ok(Seen::Turned) };
        if !connection.input.is_empty() {
            // A part of a head or of a chunk's framing is there: the parser wants it in one piece with what follows.
            let start = connection.input.len();
            connection.input.resize(start + SCRATCH / 4, 0);
            let result = connection.socket.read(connection.input.get_mut(start..).unwrap_or_default());
            connection.input.truncate(start + result.as_ref().map_or(0, |count| *count));
            let count = connection.note_read(result, SCRATCH / 4)?;
            connection.unseen = count > 0;
            *budget = budget.saturating_sub(count);
            return Ok(Seen::More);
        }
        if let Some(pending) = connection.exchange.pending.as_mut()
            && let Length::Exact(length) = pending.head.length
        {
            let left = usize::try_from(length - pending.body.len()).unwrap_or(usize::MAX);
            if let Some(room) = pending.body.room(&mut self.dispatch.bodies, self.settings.body_memory_bytes)
            {
                let want = room.len().min(left);
                let result = connection.socket.read(room.get_mut(..want).unwrap_or_default());
                let count = connection.note_read(result, want)?;
                *budget = budget.saturating_sub(count);
                return Ok(if count > 0 { self.account(id, count) } else { Seen::More });
            }
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = connection.socket.read(&mut scratch);
        let seen = connection.note_read(result, scratch.len()).map(|count| {
            if count == 0 {
                return Seen::More;
            }
            *budget = budget.saturating_sub(count);
            let input = scratch.get(..count).unwrap_or_default();
            let (consumed, seen) = self.look(id, input);
            self.keep_rest(id, input.get(consumed..).unwrap_or_default(), &seen);
            seen
        });
        self.scratch = scratch;
        seen
    }

    fn keep_rest(&mut self, id: ConnectionId, rest: &[u8], seen: &Seen) {
        if rest.is_empty() {
            return;
        }
        if let Some(connection) = self.table.get_mut(id) {
            connection.input.extend_from_slice(rest);
            connection.unseen = matches!(seen, Seen::Turned);
        }
    }

    /// Tells the parser of body bytes that were received in place.
    fn account(&mut self, id: ConnectionId, count: usize) -> Seen {
        let Some(connection) = self.table.get_mut(id) else { return Seen::Turned };
        let Some(pending) = connection.exchange.pending.as_mut() else { return Seen::More };
        let bytes = pending.body.received(&mut self.dispatch.bodies, count);
        // All of it is body: no more than what is missing was asked for.
        let step = connection.receiver.advance(bytes, &self.limits, &mut self.head);
        debug_assert!(step.as_ref().is_ok_and(|step| step.consumed == count));
        pending.body.advance(count);
        if step.is_ok()
            && let Ok(step) = connection.receiver.advance(&[], &self.limits, &mut self.head)
            && step.event == Event::End
        {
            self.dispatch_pending(id);
            return Seen::Turned;
        }
        self.set_deadline(id, self.settings.body_idle_time);
        Seen::More
    }

    /// Shows `input` to the parser and does what its events say. Gives how much was consumed.
    #[inline]
    fn look(&mut self, id: ConnectionId, input: &[u8]) -> (usize, Seen) {
        let mut at = 0;
        loop {
            let Some(connection) = self.table.get_mut(id) else { return (at, Seen::Turned) };
            let rest = input.get(at..).unwrap_or_default();
            let step = match connection.receiver.advance(rest, &self.limits, &mut self.head) {
                Ok(step) => step,
                Err(error) => {
                    self.refuse(id, error);
                    return (input.len(), Seen::Turned);
                }
            };
            at += step.consumed;
            match step.event {
                Event::NeedMore => {
                    self.waiting_for_more(id);
                    return (at, Seen::More);
                }
                Event::Head => {
                    let bytes = rest.get(..step.consumed).unwrap_or_default();
                    let after = input.get(at..).unwrap_or_default();
                    match self.begin(id, bytes, after) {
                        Some(consumed) => return (at + consumed, Seen::Turned),
                        None => continue,
                    }
                }
                Event::Body(range) => {
                    let bytes = rest.get(range).unwrap_or_default();
                    if let Some(pending) = connection.exchange.pending.as_mut()
                        && let Err(error) = pending.body.push(
                            &mut self.dispatch.bodies,
                            bytes,
                            self.settings.body_memory_bytes,
                            &self.settings.spool_directory,
                        )
                    {
                        self.cannot_spool(id, &error);
                        return (input.len(), Seen::Turned);
                    }
                }
                Event::End => {
                    self.dispatch_pending(id);
                    return (at, Seen::Turned);
                }
            }
        }
    }

    /// A head is complete and in `self.head`. Hands the request on at once when its body is there too, and gives how much of
    /// `after` that was; otherwise begins to collect the body.
    #[inline]
    fn begin(&mut self, id: ConnectionId, bytes: &[u8], after: &[u8]) -> Option<usize> {
        let connection = self.table.get_mut(id)?;
        connection.fresh = false;
        let exchange = &mut connection.exchange;
        exchange.version = self.head.version;
        exchange.is_head = self.head.method.of(bytes) == b"HEAD";
        exchange.keep_alive = self.head.keep_alive && !self.draining;
        if self.access_log.is_some() {
            exchange.record = Some(record(&self.head, bytes, connection.peer.text()));
        }
        match self.head.length {
            Length::None | Length::Exact(0) => {
                self.submit(id, bytes, &[]);
                Some(0)
            }
            Length::Exact(length) if length <= INLINE_BODY as u64 && length <= after.len() as u64 => {
                // The parser has to see the body pass, or it would take it for the next request.
                let step = connection.receiver.advance(after, &self.limits, &mut Head::default());
                let length = length as usize;
                debug_assert!(step.is_ok_and(|step| step.consumed == length));
                self.submit(id, bytes, after.get(..length).unwrap_or_default());
                Some(length)
            }
            _ => {
                let wants_continue = self.head.expect_continue && after.is_empty();
                let head = std::mem::take(&mut self.head);
                exchange.pending =
                    Some(Box::new(Pending { head, bytes: bytes.to_vec(), body: Default::default() }));
                self.set_deadline(id, self.settings.body_idle_time);
                if wants_continue {
                    self.send_continue(id);
                }
                None
            }
        }
    }

    /// Hands on a request whose head is in `self.head` and whose body is `body`.
    #[inline]
    fn submit(&mut self, id: ConnectionId, bytes: &[u8], body: &[u8]) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let ask = Ask { head: &self.head, bytes, peer: &connection.peer, listener: connection.listener };
        match self.dispatch.submit(id, &ask, Load::Inline(body)) {
            Dispatched::Slot(slot) => {
                run(connection, slot);
                self.set_deadline(id, self.settings.queue_time);
                self.shared.counters.requests_dispatched.up();
            }
            Dispatched::Wait => {
                let mut pending = Box::new(Pending {
                    head: self.head.clone(),
                    bytes: bytes.to_vec(),
                    body: Default::default(),
                });
                let kept = pending.body.push(
                    &mut self.dispatch.bodies,
                    body,
                    self.settings.body_memory_bytes,
                    &self.settings.spool_directory,
                );
                connection.exchange.pending = Some(pending);
                match kept {
                    Ok(()) => self.enqueue(id),
                    Err(error) => self.cannot_spool(id, &error),
                }
            }
            Dispatched::Full => self.shed(id),
            Dispatched::TooLarge => self.answer(id, OwnAnswer::Refused(HttpError::HeadTooLarge)),
        }
    }

    /// The collected request is complete.
    fn dispatch_pending(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let Some(pending) = connection.exchange.pending.as_mut() else { return };
        let (ask, body) = ask_of(pending, &connection.peer, connection.listener);
        if body.is_spooled() {
            self.shared.counters.bodies_spooled.up();
        }
        match self.dispatch.submit(id, &ask, Load::Collected(body)) {
            Dispatched::Slot(slot) => self.placed(id, slot),
            Dispatched::Wait => self.enqueue(id),
            Dispatched::Full => self.shed(id),
            Dispatched::TooLarge => self.answer(id, OwnAnswer::Refused(HttpError::HeadTooLarge)),
        }
    }

    fn placed(&mut self, id: ConnectionId, slot: u32) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.exchange.pending = None;
            // In a slot it waits for a thread as well. Who comes from the queue goes on waiting, on the same clock.
            let was_queued = connection.exchange.state() == State::Queued;
            run(connection, slot);
            if !was_queued {
                self.set_deadline(id, self.settings.queue_time);
            }
            self.shared.counters.requests_dispatched.up();
        }
    }

    fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.exchange.become_state(State::Queued);
            self.dispatch.enqueue(id);
            self.set_deadline(id, self.settings.queue_time);
        }
    }

    /// Moves waiting requests into slots that have become free.
    pub(crate) fn serve_queue(&mut self) {
        while let Some(id) = self.dispatch.next_queued() {
            let Some(connection) = self.table.get_mut(id) else { continue };
            let Some(pending) = connection.exchange.pending.as_mut() else { continue };
            let (ask, body) = ask_of(pending, &connection.peer, connection.listener);
            match self.dispatch.place(id, &ask, Load::Collected(body)) {
                Dispatched::Slot(slot) => self.placed(id, slot),
                Dispatched::Wait => {
                    self.dispatch.enqueue_first(id);
                    return;
                }
                Dispatched::Full | Dispatched::TooLarge => {
                    self.answer(id, OwnAnswer::Refused(HttpError::HeadTooLarge));
                    self.drive(id);
                }
            }
        }
    }

    /// A body of a request that will be refused for want of disk must not look complete to anyone.
    fn cannot_spool(&mut self, id: ConnectionId, error: &io::Error) {
        let place = self.settings.spool_directory.display().to_string();
        self.shared.notices.post(
            Level::Error,
            format!("a request body could not be written to a file in {place}: {error}; the client gets 503"),
        );
        self.answer(id, OwnAnswer::NoRoom);
    }

    fn refuse(&mut self, id: ConnectionId, error: HttpError) {
        self.answer(id, OwnAnswer::Refused(error));
    }

    fn shed(&mut self, id: ConnectionId) {
        self.shared.counters.requests_shed.up();
        self.answer(id, OwnAnswer::Shed);
    }

    /// The parser wants more: a head that has begun is on the clock.
    fn waiting_for_more(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.exchange.pending.is_some() {
            self.set_deadline(id, self.settings.body_idle_time);
        } else if !connection.receiver.is_between_requests() && !connection.head_begun {
            connection.head_begun = true;
            self.set_deadline(id, self.settings.head_time);
        }
    }

    /// The client will send nothing more, and the request is not complete.
    fn end_of_input(&mut self, id: ConnectionId) -> Turn {
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        let between = connection.receiver.is_between_requests();
        self.close(id, if between { CloseReason::ByClient } else { CloseReason::ByClientEarly });
        Turn::Closed
    }
}

/// A collected request as it is handed on: what is asked, and the body to be taken out.
fn ask_of<'a>(pending: &'a mut Pending, peer: &'a Peer, listener: u16) -> (Ask<'a>, &'a mut Body) {
    (Ask { head: &pending.head, bytes: &pending.bytes, peer, listener }, &mut pending.body)
}

#[inline]
fn run(connection: &mut Connection, slot: u32) {
    connection.exchange.become_state(State::Running);
    connection.exchange.slot = Some(slot);
    connection.head_begun = false;
}

fn record(head: &Head, bytes: &[u8], peer: &[u8]) -> Box<AccessRecord> {
    let mut request_line = head.method.of(bytes).to_vec();
    request_line.push(b' ');
    request_line.extend_from_slice(head.target.of(bytes));
    request_line.push(b' ');
    request_line.extend_from_slice(head.version.as_str().as_bytes());
    Box::new(AccessRecord {
        peer: peer.to_vec(),
        request_line,
        referer: field_value(head, bytes, Known::Referer).to_vec(),
        user_agent: field_value(head, bytes, Known::UserAgent).to_vec(),
        status: 0,
    })
}
