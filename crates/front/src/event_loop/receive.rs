//! From bytes to requests: reads sockets, drives the parser, collects bodies, hands complete requests on.
//!
//! Runs on the front's thread. Decides nothing about HTTP (that is `pelton_http`) and nothing about slots (that is `dispatch`);
//! knows only in which order bytes, events and states follow each other.

use std::io;
use std::time::Duration;

use pelton_http::{Event, Head, HttpError, Length};

use crate::connection::ConnectionId;
use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::exchange::{ExchangeId, Pending, State};
use crate::forwarding::client_of;
use crate::memory;
use crate::notices::Level;
use crate::response::own::OwnResponse;
use crate::scheduling::ask::{Ask, INLINE_BODY, Load};
use crate::scheduling::dispatch::{Dispatched, Place};
use crate::transport::listener::Role;
use crate::transport::peer::Peer;

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
            let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
            let Some(http1) = connection.driver.http1() else { return Turn::Again };
            if http1.unseen {
                http1.unseen = false;
                let input = std::mem::take(&mut http1.input);
                let (consumed, seen) = self.look(id, &input);
                let Some(connection) = self.connections.get_mut(id) else { return Turn::Closed };
                let Some(http1) = connection.driver.http1() else { return Turn::Again };
                http1.consume(input, consumed);
                if matches!(seen, Seen::Turned) {
                    http1.unseen = !http1.input.is_empty();
                    return Turn::Again;
                }
                continue;
            }
            if !connection.transport.is_readable() {
                let is_end = connection.transport.peer_done();
                return if is_end { self.end_of_input(id) } else { Turn::Wait };
            }
            if budget == 0 {
                self.again.push(id);
                return Turn::Wait;
            }
            match self.read_once(id, &mut budget) {
                Ok(Seen::More) => {}
                Ok(Seen::Turned) => return Turn::Again,
                Err(error) => {
                    self.close(id, CloseReason::of_error(&error, CloseReason::TransportError));
                    return Turn::Closed;
                }
            }
        }
    }

    /// One read: into the body's memory where there is a body of known length, else into the loop's buffer.
    fn read_once(&mut self, id: ConnectionId, budget: &mut usize) -> io::Result<Seen> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(Seen::Turned) };
        let Some(http1) = connection.driver.http1() else { return Ok(Seen::Turned) };
        if !http1.input.is_empty() {
            // A part of a head or of a chunk's framing is there: the parser wants it in one piece with what follows.
            let start = http1.input.len();
            memory::grow(&mut http1.input, SCRATCH / 4)?;
            let result = connection.transport.read(http1.input.get_mut(start..).unwrap_or_default());
            http1.input.truncate(start + result.as_ref().map_or(0, |count| *count));
            let count = result?;
            http1.unseen = count > 0;
            *budget = budget.saturating_sub(count);
            return Ok(Seen::More);
        }
        let exchange_id = http1.exchange;
        if let Some(exchange) = self.exchanges.get_mut(exchange_id)
            && let Some(pending) = exchange.pending.as_mut()
            && let Length::Exact(length) = pending.head.length
        {
            let left = usize::try_from(length - pending.body.len()).unwrap_or(usize::MAX);
            if let Some(room) = pending.body.room(&mut self.dispatch.bodies, self.settings.body_memory_bytes)
            {
                let want = room.len().min(left);
                let count = connection.transport.read(room.get_mut(..want).unwrap_or_default())?;
                *budget = budget.saturating_sub(count);
                return Ok(if count > 0 { self.account(id, exchange_id, count) } else { Seen::More });
            }
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let seen = connection.transport.read(&mut scratch).and_then(|count| {
            if count == 0 {
                return Ok(Seen::More);
            }
            *budget = budget.saturating_sub(count);
            let input = scratch.get(..count).unwrap_or_default();
            let (consumed, seen) = self.look(id, input);
            self.keep_rest(id, input.get(consumed..).unwrap_or_default(), &seen)?;
            Ok(seen)
        });
        self.scratch = scratch;
        seen
    }

    fn keep_rest(&mut self, id: ConnectionId, rest: &[u8], seen: &Seen) -> io::Result<()> {
        if rest.is_empty() {
            return Ok(());
        }
        if let Some(http1) = self.connections.get_mut(id).and_then(|connection| connection.driver.http1()) {
            memory::append(&mut http1.input, rest)?;
            http1.unseen = matches!(seen, Seen::Turned);
        }
        Ok(())
    }

    /// Tells the parser of body bytes that were received in place.
    fn account(&mut self, id: ConnectionId, exchange_id: ExchangeId, count: usize) -> Seen {
        let Some(connection) = self.connections.get_mut(id) else { return Seen::Turned };
        let Some(http1) = connection.driver.http1() else { return Seen::Turned };
        let Some(exchange) = self.exchanges.get_mut(exchange_id) else { return Seen::Turned };
        let Some(pending) = exchange.pending.as_mut() else { return Seen::More };
        let bytes = pending.body.received(&mut self.dispatch.bodies, count);
        // All of it is body: no more than what is missing was asked for.
        let step = http1.receiver.advance(bytes, &self.limits, &mut self.head);
        debug_assert!(step.as_ref().is_ok_and(|step| step.consumed == count));
        pending.body.advance(count);
        if step.is_ok()
            && let Ok(step) = http1.receiver.advance(&[], &self.limits, &mut self.head)
            && step.event == Event::End
        {
            self.dispatch_pending(exchange_id);
            return Seen::Turned;
        }
        self.body_progress(exchange_id, count);
        Seen::More
    }

    /// Shows `input` to the parser and does what its events say. Gives how much was consumed.
    #[inline]
    fn look(&mut self, id: ConnectionId, input: &[u8]) -> (usize, Seen) {
        let mut at = 0;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return (at, Seen::Turned) };
            let rest = input.get(at..).unwrap_or_default();
            if connection.awaits_proxy_header {
                match self.look_for_proxy_header(id, rest) {
                    Some(0) => return (at, Seen::More),
                    Some(consumed) => at += consumed,
                    None => return (input.len(), Seen::Turned),
                }
                continue;
            }
            if connection.may_be_http2 {
                match self.look_for_preface(id, rest) {
                    Some(true) => return (input.len(), Seen::Turned),
                    Some(false) => continue,
                    None => return (at, Seen::More),
                }
            }
            let Some(http1) = connection.driver.http1() else { return (at, Seen::Turned) };
            let exchange_id = http1.exchange;
            let step = match http1.receiver.advance(rest, &self.limits, &mut self.head) {
                Ok(step) => step,
                Err(error) => {
                    if rest.starts_with(&[0x16, 3]) {
                        self.tell_of_tls(id);
                    }
                    self.note_refused(exchange_id, rest);
                    self.refuse(exchange_id, error);
                    return (input.len(), Seen::Turned);
                }
            };
            at += step.consumed;
            match step.event {
                Event::NeedMore => {
                    self.waiting_for_more(id, exchange_id);
                    return (at, Seen::More);
                }
                Event::Head => {
                    let bytes = rest.get(..step.consumed).unwrap_or_default();
                    let after = input.get(at..).unwrap_or_default();
                    match self.begin(id, exchange_id, bytes, after) {
                        Some(consumed) => return (at + consumed, Seen::Turned),
                        None => continue,
                    }
                }
                Event::Body(range) => {
                    if !self.collect_piece(exchange_id, rest.get(range).unwrap_or_default()) {
                        return (input.len(), Seen::Turned);
                    }
                }
                Event::End => {
                    self.dispatch_pending(exchange_id);
                    return (at, Seen::Turned);
                }
            }
        }
    }

    /// A piece of a body that is collected has come; false when there is no room for it, and the request has its response.
    pub(crate) fn collect_piece(&mut self, id: ExchangeId, bytes: &[u8]) -> bool {
        let Some(exchange) = self.exchanges.get_mut(id) else { return false };
        exchange.moved += bytes.len() as u64;
        let Some(pending) = exchange.pending.as_mut() else { return true };
        let memory = self.settings.body_memory_bytes;
        match pending.body.push(&mut self.dispatch.bodies, bytes, memory, &self.spool) {
            Ok(()) => true,
            Err(error) => {
                self.cannot_spool(id, &error);
                false
            }
        }
    }

    /// A head is complete and in `self.head`. Hands the request on at once when its body is there too, and gives how much of
    /// `after` that was; otherwise begins to collect the body.
    #[inline]
    fn begin(
        &mut self,
        id: ConnectionId,
        exchange_id: ExchangeId,
        bytes: &[u8],
        after: &[u8],
    ) -> Option<usize> {
        let connection = self.connections.get_mut(id)?;
        connection.fresh = false;
        connection.requests = connection.requests.saturating_add(1);
        let most = self.settings.requests_per_connection;
        let may_go_on = most == 0 || connection.requests < most;
        let (role, is_tls) = (connection.role, connection.peer.is_tls);
        let is_special = self.may_be_ours(role);
        let exchange = self.exchanges.get_mut(exchange_id)?;
        exchange.version = self.head.version;
        exchange.is_head = self.head.method.of(bytes) == b"HEAD";
        exchange.is_tls = is_tls;
        exchange.keep_alive = self.head.keep_alive && !self.draining && may_go_on;
        if is_special && self.respond_by_role(exchange_id, bytes) {
            return Some(0);
        }
        let Ok(client) = self.client_of_request(exchange_id, bytes) else { return Some(after.len()) };
        self.hand_on(exchange_id, bytes, &client, |front, all| front.collect(id, exchange_id, all, after))
            .unwrap_or(Some(0))
    }

    /// What a request of any version goes through before the application may have it. `next` gets its head, with the request's id behind it where
    /// it got one. None: the front has responded itself.
    #[inline]
    pub(crate) fn hand_on<T>(
        &mut self,
        id: ExchangeId,
        bytes: &[u8],
        client: &Peer,
        next: impl FnOnce(&mut Self, &[u8]) -> T,
    ) -> Option<T> {
        let mut identified = std::mem::take(&mut self.recording.identified);
        identified.clear();
        self.note_request(id, bytes, client, &mut identified);
        self.keep_asked(id, bytes);
        let is_met = (self.site.has_rules || !self.site.static_files.is_idle())
            && self.meet_edge(id, client, bytes, &mut identified);
        let done = (!is_met).then(|| {
            if self.site.cache.is_none() {
                self.add_compression(id, bytes);
            }
            next(self, if identified.is_empty() { bytes } else { &identified })
        });
        self.recording.identified = identified;
        done
    }

    /// Whether requests on a listener of this role may be the front's own affair.
    #[inline]
    pub(crate) fn may_be_ours(&self, role: Role) -> bool {
        self.settings.health_path.is_some() || role != Role::Application || !self.challenges.is_empty()
    }

    /// Who has sent the request whose head is in `self.head`, a trusted proxy's word included. An error: it was refused.
    #[inline]
    pub(crate) fn client_of_request(&mut self, id: ExchangeId, bytes: &[u8]) -> Result<Peer, ()> {
        let connection =
            self.exchanges.get(id).and_then(|exchange| self.connections.get(exchange.connection));
        let peer = &connection.ok_or(())?.peer;
        let proxies = &self.settings.proxies;
        let said = if proxies.are_idle() { Ok(None) } else { proxies.resolve(peer, &self.head, bytes) };
        let refusal = match said {
            Ok(said) => {
                if !self.head.https_target || said.and_then(|said| said.https).unwrap_or(peer.is_tls) {
                    return Ok(said.map_or(*peer, |said| client_of(&said, peer)));
                }
                HttpError::Misdirected
            }
            Err(error) => error,
        };
        self.refuse(id, refusal);
        Err(())
    }

    /// See [`EventLoop::begin`], which it is the rest of.
    #[inline]
    fn collect(
        &mut self,
        id: ConnectionId,
        exchange_id: ExchangeId,
        bytes: &[u8],
        after: &[u8],
    ) -> Option<usize> {
        match self.head.length {
            Length::None | Length::Exact(0) => {
                // What lies behind the head already was sent before anybody agreed to another protocol: it is taken for a request.
                if self.head.asks_for_websocket && after.is_empty() && self.settings.offers_sockets {
                    self.submit_with_socket(exchange_id, bytes, false);
                } else {
                    self.submit(exchange_id, bytes, Load::Inline(&[]));
                }
                Some(0)
            }
            Length::Exact(length) if length <= INLINE_BODY as u64 && length <= after.len() as u64 => {
                // The parser has to see the body pass, or it would take it for the next request.
                let http1 = self.connections.get_mut(id)?.driver.http1()?;
                let step = http1.receiver.advance(after, &self.limits, &mut Head::default());
                let length = length as usize;
                debug_assert!(step.is_ok_and(|step| step.consumed == length));
                self.submit(exchange_id, bytes, Load::Inline(after.get(..length).unwrap_or_default()));
                Some(length)
            }
            _ => {
                if self.is_streamed(bytes) {
                    self.begin_stream(exchange_id, bytes, !after.is_empty());
                    return Some(0);
                }
                let wants_continue = self.head.expect_continue && after.is_empty();
                self.begin_body(exchange_id, bytes);
                if wants_continue {
                    self.send_continue(exchange_id);
                }
                None
            }
        }
    }

    /// The request whose head is in `self.head` is to be collected before it is handed on.
    pub(crate) fn begin_body(&mut self, id: ExchangeId, bytes: &[u8]) {
        let Ok(bytes) = memory::copy(bytes) else {
            self.close_exchange(id, CloseReason::NoMemory);
            return;
        };
        let head = std::mem::take(&mut self.head);
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.pending = Some(Box::new(Pending { head, bytes, body: Default::default(), since_ms: 0 }));
        self.body_begins(id);
    }

    /// Hands on a request whose head is in `self.head`.
    #[inline]
    pub(crate) fn submit(&mut self, id: ExchangeId, bytes: &[u8], load: Load<'_>) {
        if self.dispatch.paths.has_first() {
            let host = self.seen_as(id, bytes).host;
            if self.dispatch.class_of(&self.head, host, bytes).is_first {
                self.make_way();
            }
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        let ask = Ask {
            head: &self.head,
            bytes,
            peer: &connection.peer,
            listener: connection.listener,
            proxies: &self.settings.proxies,
            listeners: self.admission.application_listeners,
            variables: connection.transport.variables(),
        };
        let dispatched = self.dispatch.submit(id, &ask, load, self.clock.now_ms);
        self.handed_on(id, dispatched);
    }

    /// The collected request is complete.
    pub(crate) fn dispatch_pending(&mut self, id: ExchangeId) {
        if self.dispatch.paths.has_first()
            && let Some(exchange) = self.exchanges.get(id)
            && let Some(connection) = self.connections.get(exchange.connection)
            && let Some(Pending { head, bytes, .. }) = exchange.pending.as_deref()
            && let host = self.settings.proxies.host(&connection.peer, head, bytes)
            && self.dispatch.class_of(head, host, bytes).is_first
        {
            self.make_way();
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(connection) = self.connections.get(exchange.connection) else { return };
        let Some(pending) = exchange.pending.as_mut() else { return };
        let Pending { head, bytes, body, .. } = &mut **pending;
        let ask = Ask {
            head,
            bytes,
            peer: &connection.peer,
            listener: connection.listener,
            proxies: &self.settings.proxies,
            listeners: self.admission.application_listeners,
            variables: connection.transport.variables(),
        };
        if body.is_spooled() {
            self.shared.counters.bodies_spooled.up();
        }
        if let Some(record) = &mut exchange.record {
            // The time that it took to come is the client's.
            record.is_complete(self.clock.turn_us, self.clock.coarse_ms());
        }
        if exchange.metered.began_us > 0 {
            exchange.metered.complete_coarse_ms = self.clock.coarse_ms();
        }
        let dispatched = self.dispatch.submit(id, &ask, Load::Collected(body), self.clock.now_ms);
        self.handed_on(id, dispatched);
    }

    #[inline]
    pub(crate) fn handed_on(&mut self, id: ExchangeId, dispatched: Dispatched) {
        match dispatched {
            Dispatched::Placed(place) => self.placed(id, place),
            Dispatched::Queued => self.queued(id, self.settings.queue_time),
            Dispatched::Held(time) => self.queued(id, time),
            Dispatched::PathFull => {
                self.shared.counters.path_requests_shed.up();
                self.respond_itself(id, OwnResponse::Shed);
            }
            Dispatched::Full => {
                self.shared.counters.requests_shed.up();
                self.respond_itself(id, OwnResponse::Shed);
            }
            Dispatched::TooLarge => self.respond_itself(id, OwnResponse::Refused(HttpError::HeadTooLarge)),
        }
    }

    fn queued(&mut self, id: ExchangeId, time: Duration) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.pending = None;
            // One that has waited for somebody else's response is that already.
            if exchange.state() != State::Queued {
                exchange.become_state(State::Queued);
            }
            self.set_deadline(id, time);
        }
    }

    /// The request is in a slot. There it waits for a thread, and then it runs; `deadlines` tells which of both was too long.
    #[inline]
    pub(crate) fn placed(&mut self, id: ExchangeId, place: Place) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.pending = None;
        exchange.become_state(State::Running);
        exchange.slot = Some(place);
        if let Some(record) = &mut exchange.record {
            record.worker = self.dispatch.worker(place.seat).map(|worker| (worker.number, worker.pid));
        }
        let (connection_id, is_coming) = (exchange.connection, exchange.upload.is_some());
        let has_left =
            self.connections.get(connection_id).is_some_and(|connection| connection.transport.peer_done());
        self.set_deadline(id, self.watch.first_look);
        self.shared.counters.requests_dispatched.up();
        if has_left {
            self.client_left(id);
        }
        if is_coming {
            // What there is of its body may have been reported before.
            self.again.push(connection_id);
        }
    }

    /// Nothing else is to be done for an exchange at present: if its body is passed on while it comes, here is where it does.
    #[inline]
    pub(crate) fn receive_more(&mut self, id: ExchangeId) -> Turn {
        match self.exchanges.get(id) {
            Some(exchange) if exchange.upload.is_some() => self.stream_in(id),
            _ => Turn::Wait,
        }
    }

    /// A body of a request that will be refused for want of disk must not look complete to anyone.
    fn cannot_spool(&mut self, id: ExchangeId, error: &io::Error) {
        let place = self.spool.directory();
        self.shared.notices.post(
            Level::Error,
            format!("a request body could not be written to a file in {place}: {error}; the client gets 503"),
        );
        self.respond_itself(id, OwnResponse::NoRoom);
    }

    pub(crate) fn refuse(&mut self, id: ExchangeId, error: HttpError) {
        self.respond_itself(id, OwnResponse::Refused(error));
    }

    /// The parser wants more: a head that has begun is on the clock.
    fn waiting_for_more(&mut self, id: ConnectionId, exchange_id: ExchangeId) {
        let Some(http1) = self.connections.get_mut(id).and_then(|connection| connection.driver.http1())
        else {
            return;
        };
        if self.exchanges.get(exchange_id).is_some_and(|exchange| exchange.pending.is_some()) {
            self.body_progress(exchange_id, 0);
        } else if !http1.receiver.is_between_requests() && !http1.head_begun {
            http1.head_begun = true;
            self.set_connection_deadline(id, self.settings.head_time);
        }
    }

    /// The client will send nothing more, and the request is not complete.
    fn end_of_input(&mut self, id: ConnectionId) -> Turn {
        let Some(http1) = self.connections.get_mut(id).and_then(|connection| connection.driver.http1())
        else {
            return Turn::Closed;
        };
        let between = http1.receiver.is_between_requests();
        self.close(id, if between { CloseReason::ByClient } else { CloseReason::ByClientEarly });
        Turn::Closed
    }
}
