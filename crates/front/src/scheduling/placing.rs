//! Who gets the next request: handed on at once, or by way of the queue. The rule is in the head of `dispatch`.
//!
//! Runs on the front's thread.

use std::time::Duration;

use pelton_http::Head;

use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::memory;
use crate::scheduling::affinity::{Wanted, has_permit};
use crate::scheduling::ask::{Ask, Draft, Load, decode_path, decoded_path};
use crate::scheduling::attachments::LimitNumber;
use crate::scheduling::attachments::{Attachments, NOT_FIRST, Placing, Waiting};
use crate::scheduling::dispatch::{Dispatch, Dispatched};
use crate::scheduling::path_limits::Class;
use crate::scheduling::stuck::{FEW, STALL_MS};
use crate::scheduling::worker_link::Worker;

impl Dispatch {
    /// Hands a new request on, or puts it into the queue, if it may.
    #[inline]
    pub fn submit(&mut self, id: ExchangeId, ask: &Ask<'_>, load: Load<'_>, now_ms: u64) -> Dispatched {
        let class = if self.paths.is_idle() {
            Class::default()
        } else {
            self.class_of(ask.head, ask.proxies.host(ask.peer, ask.head, ask.bytes), ask.bytes)
        };
        let held = match self.admit(class) {
            Ok(held) => held,
            Err(refusal) => {
                load.discard(&mut self.bodies);
                return refusal;
            }
        };
        self.turns += 1;
        let turn = if class.is_first { self.turns } else { self.turns | NOT_FIRST };
        let (content, mut attachments) = load.split(class.limit);
        let wanted = match self.affinity.is_on() {
            true => self.affinity.wanted(&self.workers, ask.head.query.of(ask.bytes)),
            false => None,
        };
        let seat = match held {
            None => self.seat_of_new(wanted.as_ref(), turn, attachments.socket.is_some(), now_ms),
            Some(_) => None,
        };
        let draft = Draft { ask, path: decoded_path(ask, &mut self.path), content };
        if let Some(seat) = seat
            && let Some(worker) = self.workers.get_mut(seat).and_then(Option::as_mut)
        {
            let request = Placing { id, turn, since_ms: now_ms, self_call: None, attachments };
            let write =
                |area: &mut [u8], token, attachments: &Attachments| draft.write(area, token, attachments);
            attachments = match worker.place(request, now_ms, write) {
                Ok(slot) => {
                    self.in_use += 1;
                    self.unannounced += 1;
                    return Dispatched::Placed(Place { seat: seat as u16, slot });
                }
                Err((Some(_), mut attachments)) => {
                    attachments.discard(&mut self.bodies);
                    return Dispatched::TooLarge;
                }
                Err((None, attachments)) => attachments,
            };
            self.is_stalled = true;
        }
        self.record.resize(Worker::RECORD_BYTES, 0);
        // With any token: the right one is put in when it is placed.
        let Ok(len) = draft.write(&mut self.record, attachments.travels().then_some(0), &attachments) else {
            attachments.discard(&mut self.bodies);
            return Dispatched::TooLarge;
        };
        let Ok(record) = memory::copy(self.record.get(..len).unwrap_or_default()) else {
            attachments.discard(&mut self.bodies);
            return Dispatched::Full;
        };
        self.wait(Waiting { id, turn, since_ms: now_ms, record, attachments }, held, wanted)
    }

    /// The worker that gets a new request at once, if one does: the one that it wants, or else any, unless others are before it.
    #[inline]
    fn seat_of_new(
        &self,
        wanted: Option<&Wanted>,
        turn: u64,
        has_socket: bool,
        now_ms: u64,
    ) -> Option<usize> {
        match wanted {
            Some(wanted) => has_permit(&self.workers, wanted.seat).then_some(wanted.seat),
            None if self.queue.front().is_none_or(|first| turn < first.turn) => {
                choose(&self.workers, self.has_silent, has_socket, now_ms)
            }
            None => None,
        }
    }

    /// Puts a new request where it waits: for others of its path, for its own worker, or in the queue.
    fn wait(&mut self, waiting: Waiting, held: Option<Duration>, wanted: Option<Wanted>) -> Dispatched {
        match (held, wanted) {
            (Some(time), _) => {
                self.paths.wait(waiting.attachments.limit, waiting);
                return Dispatched::Held(time);
            }
            (None, Some(wanted)) => self.affinity.wait(wanted.number, waiting),
            (None, None) => self.line_up(waiting),
        }
        Dispatched::Queued
    }

    /// What the rules about paths say of a request.
    pub fn class_of(&mut self, head: &Head, host: &[u8], bytes: &[u8]) -> Class {
        let path = decode_path(head, bytes, &mut self.path);
        self.paths.class_of(head.method.of(bytes), host, path)
    }

    /// Whether a new request may come in; if it has to wait for others of its path, for how long.
    #[inline]
    fn admit(&mut self, class: Class) -> Result<Option<Duration>, Dispatched> {
        if class.limit != 0 {
            let running = self.on_their_way(class.limit);
            if self.paths.must_wait(class.limit, running) {
                return self.paths.room(class.limit).map(Some).ok_or(Dispatched::PathFull);
            }
        }
        if self.has_room(class.is_first) { Ok(None) } else { Err(Dispatched::Full) }
    }

    /// Requests under a limit that are with workers, in the queue, or wait for one certain worker.
    #[cold]
    fn on_their_way(&self, limit: LimitNumber) -> usize {
        let used = self.present().flat_map(|worker| worker.used_slots());
        let with_workers = used.filter(|(_, slot)| !slot.is_done && slot.attachments.limit == limit).count();
        let waiting = self.queue.iter().chain(self.affinity.all());
        with_workers + waiting.filter(|waiting| waiting.attachments.limit == limit).count()
    }

    /// Puts a request into the queue, where it belongs by its turn.
    fn line_up(&mut self, waiting: Waiting) {
        if self.queue.back().is_none_or(|last| last.turn < waiting.turn) {
            self.queue.push_back(waiting);
        } else {
            let index = self.queue.partition_point(|other| other.turn < waiting.turn);
            self.queue.insert(index, waiting);
        }
    }

    /// Moves into the queue what need not wait for others of its path any more.
    #[cold]
    fn let_on(&mut self, now_ms: u64) {
        for (limit, count) in self.paths.with_waiting() {
            for _ in self.on_their_way(limit)..count {
                let Some(waiting) = self.paths.next(limit) else { break };
                // From here on it waits for a thread like any other, or for its own worker.
                let waiting = Waiting { since_ms: now_ms, ..waiting };
                for waiting in self.affinity.keep(vec![waiting], &self.workers) {
                    self.line_up(waiting);
                }
            }
        }
    }

    /// Moves the first of the queue to a worker; None when no worker has room, or there is no queue.
    #[inline]
    pub fn place_next(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        self.is_stalled = false;
        if self.paths.waiting() > 0 {
            self.let_on(now_ms);
        }
        if self.affinity.waiting() > 0
            && let Some(placed) = self.place_bound(now_ms)
        {
            return Some(placed);
        }
        if self.queue.is_empty() {
            return None;
        }
        self.place_first(now_ms)
    }

    fn place_first(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        let has_socket = self.queue.front()?.attachments.socket.is_some();
        let seat = choose(&self.workers, self.has_silent, has_socket, now_ms)?;
        let worker = self.workers.get_mut(seat).and_then(Option::as_mut)?;
        match worker.place_waiting(self.queue.pop_front()?, now_ms, None) {
            Ok((id, slot)) => {
                self.in_use += 1;
                self.unannounced += 1;
                Some((id, Place { seat: seat as u16, slot }))
            }
            Err(waiting) => {
                self.queue.push_front(waiting);
                self.is_stalled = true;
                None
            }
        }
    }

    /// Whether the queue has to be tried again after a while although nothing will tell when.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled && self.queued() > 0
    }

    /// Moves a request that waits for one certain worker to that worker; None when none can be moved.
    fn place_bound(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        while let Some((wanted, waiting)) = self.affinity.next(&self.workers) {
            let Some(wanted) = wanted else {
                // That worker has gone; the request is older than nearly all that wait.
                self.queue.push_front(waiting);
                continue;
            };
            let worker = self.workers.get_mut(wanted.seat).and_then(Option::as_mut)?;
            match worker.place_waiting(waiting, now_ms, None) {
                Ok((id, slot)) => {
                    self.in_use += 1;
                    self.unannounced += 1;
                    return Some((id, Place { seat: wanted.seat as u16, slot }));
                }
                Err(waiting) => {
                    self.affinity.put_back(wanted.number, waiting);
                    self.is_stalled = true;
                    return None;
                }
            }
        }
        None
    }

    /// Takes a connection out of the queue because it closed or has waited too long.
    pub fn leave_queue(&mut self, id: ExchangeId) {
        if let Some(mut waiting) = self.affinity.leave(id).or_else(|| self.paths.leave(id)) {
            waiting.attachments.discard(&mut self.bodies);
        } else if let Some(index) = self.queue.iter().position(|waiting| waiting.id == id)
            && let Some(mut waiting) = self.queue.remove(index)
        {
            waiting.attachments.discard(&mut self.bodies);
        }
    }
}

/// The worker for the next request, if there is one with room; `has_socket` if that is for a WebSocket.
#[inline]
fn choose(workers: &[Option<Worker>], has_silent: bool, has_socket: bool, now_ms: u64) -> Option<usize> {
    if has_silent && let Some(choice) = choose_around(workers, has_socket, now_ms) {
        return choice;
    }
    choose_of(workers, has_socket, now_ms, |_| true)
}

/// That of those that `may` have it.
#[inline]
fn choose_of(
    workers: &[Option<Worker>],
    has_socket: bool,
    now_ms: u64,
    may: impl Fn(&Worker) -> bool,
) -> Option<usize> {
    let mut willing = workers.iter().enumerate().filter_map(|(seat, worker)| {
        worker.as_ref().filter(|worker| worker.is_willing()).map(|worker| (seat, worker))
    });
    let (first, second) = (willing.next()?, willing.next());
    let has_room = |worker: &Worker| worker.end.free_slots() > 0;
    let Some(second) = second else { return has_room(first.1).then_some(first.0) };
    let gets_on = |worker: &Worker| worker.may_go_ahead() && worker.silence_ms(now_ms) < STALL_MS;
    let mut best: Option<(usize, isize)> = None;
    for (seat, worker) in [first, second].into_iter().chain(willing) {
        let free = worker.free_permits();
        let worth = if has_socket { free - worker.end.sockets_held() as isize } else { free };
        let is_better = best.is_none_or(|(_, most)| worth > most);
        if has_room(worker) && (free > 0 || gets_on(worker)) && is_better && may(worker) {
            best = Some((seat, worth));
        }
    }
    best.map(|(seat, _)| seat)
}

/// The same where some workers are silent: they get nothing, the others a few at a time. None when nobody is silent any more, or nobody else
/// can be relied on.
#[cold]
fn choose_around(workers: &[Option<Worker>], has_socket: bool, now_ms: u64) -> Option<Option<usize>> {
    let willing = || workers.iter().flatten().filter(|worker| worker.is_willing());
    let gets_on = |worker: &Worker| !worker.is_silent() && worker.is_reliable(now_ms);
    let are_mixed = willing().any(Worker::is_silent) && willing().any(gets_on);
    let may = |worker: &Worker| !worker.is_silent() && worker.end.waiting() < FEW;
    are_mixed.then(|| choose_of(workers, has_socket, now_ms, may))
}
