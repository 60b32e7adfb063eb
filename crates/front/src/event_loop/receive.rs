//! From bytes to requests: reads sockets, drives the parser, collects bodies, hands complete requests on.
//!
//! Runs on the front's thread. Decides nothing about HTTP (that is `pelton_http`) and nothing about slots (that is `dispatch`);
//! knows only in which order bytes, events and states follow each other.

use std::io;

use pelton_http::{Event, Head, HttpError, Length};

use crate::connection::close::CloseReason;
use crate::connection::exchange::{Pending, State};
use crate::connection::table::ConnectionId;
use crate::event_loop::EventLoop;
use crate::event_loop::own_answer::OwnAnswer;
use crate::forwarding::client_of;
use crate::notices::Level;
use crate::scheduling::ask::{Ask, INLINE_BODY, Load};
use crate::scheduling::dispatch::{Dispatched, Place};
use crate::transport::listener::Role;

/// Bytes read from one connection before the others get their turn.
pub const READ_BUDGET: usize = 1 << 20;
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
            if !connection.transport.is_readable() {
                return if connection.transport.peer_done() { self.end_of_input(id) } else { Turn::Wait };
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
            let result = connection.transport.read(connection.input.get_mut(start..).unwrap_or_default());
            connection.input.truncate(start + result.as_ref().map_or(0, |count| *count));
            let count = result?;
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
                let count = connection.transport.read(room.get_mut(..want).unwrap_or_default())?;
                *budget = budget.saturating_sub(count);
                return Ok(if count > 0 { self.account(id, count) } else { Seen::More });
            }
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let seen = connection.transport.read(&mut scratch).map(|count| {
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
        self.body_progress(id, count);
        Seen::More
    }

    /// Shows `input` to the parser and does what its events say. Gives how much was consumed.
    #[inline]
    fn look(&mut self, id: ConnectionId, input: &[u8]) -> (usize, Seen) {
        let mut at = 0;
        loop {
            let Some(connection) = self.table.get_mut(id) else { return (at, Seen::Turned) };
            let rest = input.get(at..).unwrap_or_default();
            if connection.awaits_proxy_header {
                match self.look_for_proxy_header(id, rest) {
                    Some(0) => return (at, Seen::More),
                    Some(consumed) => at += consumed,
                    None => return (input.len(), Seen::Turned),
                }
                continue;
            }
            let step = match connection.receiver.advance(rest, &self.limits, &mut self.head) {
                Ok(step) => step,
                Err(error) => {
                    self.note_refused(id, rest);
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
                    connection.moved += bytes.len() as u64;
                    if let Some(pending) = connection.exchange.pending.as_mut()
                        && let Err(error) = pending.body.push(
                            &mut self.dispatch.bodies,
                            bytes,
                            self.settings.body_memory_bytes,
                            &self.spool,
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
        connection.requests = connection.requests.saturating_add(1);
        let most = self.settings.requests_per_connection;
        let may_go_on = most == 0 || connection.requests < most;
        let may_be_health = self.settings.health_path.is_some() || connection.role == Role::Admin;
        let exchange = &mut connection.exchange;
        exchange.version = self.head.version;
        exchange.is_head = self.head.method.of(bytes) == b"HEAD";
        exchange.keep_alive = self.head.keep_alive && !self.draining && may_go_on;
        if may_be_health && self.answer_health(id, bytes) {
            return Some(0);
        }
        let connection = self.table.get_mut(id)?;
        let proxies = &self.settings.proxies;
        let said = if proxies.are_idle() {
            None
        } else {
            match proxies.resolve(&connection.peer, &self.head, bytes) {
                Ok(said) => said,
                Err(error) => {
                    self.refuse(id, error);
                    return Some(after.len());
                }
            }
        };
        if self.head.https_target && !said.and_then(|said| said.https).unwrap_or(connection.peer.is_tls) {
            self.refuse(id, HttpError::Misdirected);
            return Some(after.len());
        }
        let client = said.map_or(connection.peer, |said| client_of(&said, &connection.peer));
        // With the request's id behind it, where it got one.
        let mut identified = std::mem::take(&mut self.identified);
        identified.clear();
        self.note_request(id, bytes, &client, &mut identified);
        if !self.static_files.is_idle() && self.respond_with_file(id, bytes) {
            self.identified = identified;
            return Some(0);
        }
        let taken = self.collect(id, if identified.is_empty() { bytes } else { &identified }, after);
        self.identified = identified;
        taken
    }

    /// See [`EventLoop::begin`], which it is the rest of.
    #[inline]
    fn collect(&mut self, id: ConnectionId, bytes: &[u8], after: &[u8]) -> Option<usize> {
        let connection = self.table.get_mut(id)?;
        match self.head.length {
            Length::None | Length::Exact(0) => {
                // What lies behind the head already was sent before anybody agreed to another protocol: it is taken for a request.
                if self.head.asks_for_websocket && after.is_empty() && self.settings.offers_sockets {
                    self.submit_with_socket(id, bytes);
                } else {
                    self.submit(id, bytes, Load::Inline(&[]));
                }
                Some(0)
            }
            Length::Exact(length) if length <= INLINE_BODY as u64 && length <= after.len() as u64 => {
                // The parser has to see the body pass, or it would take it for the next request.
                let step = connection.receiver.advance(after, &self.limits, &mut Head::default());
                let length = length as usize;
                debug_assert!(step.is_ok_and(|step| step.consumed == length));
                self.submit(id, bytes, Load::Inline(after.get(..length).unwrap_or_default()));
                Some(length)
            }
            _ => {
                if self.is_streamed(bytes) {
                    self.begin_stream(id, bytes, !after.is_empty());
                    return Some(0);
                }
                let wants_continue = self.head.expect_continue && after.is_empty();
                let head = std::mem::take(&mut self.head);
                let exchange = &mut self.table.get_mut(id)?.exchange;
                exchange.pending = Some(Box::new(Pending {
                    head,
                    bytes: bytes.to_vec(),
                    body: Default::default(),
                    since_ms: 0,
                }));
                self.body_begins(id);
                if wants_continue {
                    self.send_continue(id);
                }
                None
            }
        }
    }

    /// Hands on a request whose head is in `self.head`.
    #[inline]
    pub(crate) fn submit(&mut self, id: ConnectionId, bytes: &[u8], load: Load<'_>) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let ask = Ask {
            head: &self.head,
            bytes,
            peer: &connection.peer,
            listener: connection.listener,
            proxies: &self.settings.proxies,
            listeners: self.application_listeners,
        };
        let dispatched = self.dispatch.submit(id, &ask, load, self.now_ms);
        self.handed_on(id, dispatched);
    }

    /// The collected request is complete.
    fn dispatch_pending(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let Some(pending) = connection.exchange.pending.as_mut() else { return };
        let Pending { head, bytes, body, .. } = &mut **pending;
        let ask = Ask {
            head,
            bytes,
            peer: &connection.peer,
            listener: connection.listener,
            proxies: &self.settings.proxies,
            listeners: self.application_listeners,
        };
        if body.is_spooled() {
            self.shared.counters.bodies_spooled.up();
        }
        if let Some(record) = &mut connection.exchange.record {
            // The time that it took to come is the client's.
            record.is_complete(self.turn_us, self.turn_coarse_ms);
        }
        let dispatched = self.dispatch.submit(id, &ask, Load::Collected(body), self.now_ms);
        self.handed_on(id, dispatched);
    }

    #[inline]
    pub(crate) fn handed_on(&mut self, id: ConnectionId, dispatched: Dispatched) {
        match dispatched {
            Dispatched::Placed(place) => self.placed(id, place),
            Dispatched::Queued => {
                if let Some(connection) = self.table.get_mut(id) {
                    connection.exchange.pending = None;
                    connection.exchange.become_state(State::Queued);
                    connection.head_begun = false;
                    self.set_deadline(id, self.settings.queue_time);
                }
            }
            Dispatched::Full => {
                self.shared.counters.requests_shed.up();
                self.answer(id, OwnAnswer::Shed);
            }
            Dispatched::TooLarge => self.answer(id, OwnAnswer::Refused(HttpError::HeadTooLarge)),
        }
    }

    /// The request is in a slot. There it waits for a thread, and then it runs; `deadlines` tells which of both was too long.
    #[inline]
    pub(crate) fn placed(&mut self, id: ConnectionId, place: Place) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let exchange = &mut connection.exchange;
        exchange.pending = None;
        exchange.become_state(State::Running);
        exchange.slot = Some(place);
        connection.head_begun = false;
        if let Some(record) = &mut exchange.record {
            record.worker = self.dispatch.worker(place.seat).map(|worker| (worker.number, worker.pid));
        }
        let (has_left, is_coming) = (connection.transport.peer_done(), exchange.upload.is_some());
        self.set_deadline(id, self.first_look);
        self.shared.counters.requests_dispatched.up();
        if has_left {
            self.client_left(id);
        }
        if is_coming {
            // What there is of its body may have been reported before.
            self.again.push(id);
        }
    }

    /// Nothing else is to be done for a connection at present: if its body is passed on while it comes, here is where it does.
    #[inline]
    pub(crate) fn receive_more(&mut self, id: ConnectionId) -> Turn {
        match self.table.get_mut(id) {
            Some(connection) if connection.exchange.upload.is_some() => self.stream_in(id),
            _ => Turn::Wait,
        }
    }

    /// A body of a request that will be refused for want of disk must not look complete to anyone.
    fn cannot_spool(&mut self, id: ConnectionId, error: &io::Error) {
        let place = self.spool.directory();
        self.shared.notices.post(
            Level::Error,
            format!("a request body could not be written to a file in {place}: {error}; the client gets 503"),
        );
        self.answer(id, OwnAnswer::NoRoom);
    }

    fn refuse(&mut self, id: ConnectionId, error: HttpError) {
        self.answer(id, OwnAnswer::Refused(error));
    }

    /// The parser wants more: a head that has begun is on the clock.
    fn waiting_for_more(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.exchange.pending.is_some() {
            self.body_progress(id, 0);
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
