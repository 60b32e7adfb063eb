//! From complete request to slot: the queue, and which worker gets what.
//!
//! # The rule
//! A request goes to the worker with the most free permits (threads without a request). Where none has any, a worker that gets on is given a few in
//! advance, so that it finds the next one without waiting for the front; the others wait in the one queue, first come first served. A worker that
//! has let go of nothing for [`STALL_MS`] while requests wait in its slots gives those back, and they are the first of the queue: no request waits
//! behind a long one while another worker has room. With one worker there is nobody else, and all of its slots are used.
//!
//! What is in slots and in the queue together is bounded by `threads + queue_length`.

use std::collections::VecDeque;

use penstock_link::request::BodyParts;
use penstock_link::{BodyPool, BodyWindow, FrontEnd, Why};

use crate::ask::{Ask, Load, decoded_path, encode};
use crate::connection_table::ConnectionId;
use crate::worker_link::{Holding, Placing, Waiting, Worker, WorkerLink};

/// Twice the longest tick of a worker's own scheduler and then some: whoever has let go of nothing for so long is at something long.
pub const STALL_MS: u64 = 3;

/// A slot of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The worker's seat in the front.
    pub seat: u16,
    /// The slot.
    pub slot: u16,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// It is in this slot.
    Placed(Place),
    /// It waits in the queue.
    Queued,
    /// As many wait as may.
    Full,
    /// Its head does not fit a slot.
    TooLarge,
}

/// See the module's head.
#[derive(Debug)]
pub struct Dispatch {
    /// Memory for bodies.
    pub bodies: BodyPool,
    workers: Vec<Option<Worker>>,
    queue: VecDeque<Waiting>,
    queue_length: usize,
    turns: u64,
    /// Requests wait although a worker had room for one: its ready ring is full of entries that were taken back, or no descriptor can be sent.
    /// Nothing will tell when that is over.
    is_stalled: bool,
    /// Whether a worker is dead and not buried.
    has_dead: bool,
    /// Whether a worker may have something to be told to the supervisor: it retires, or may have only so many requests.
    pub has_news_to_tell: bool,
    /// Requests handed over and not announced yet.
    unannounced: usize,
    /// Slots of all workers that are not free.
    in_use: usize,
    /// Threads of the workers that take requests.
    permits: usize,
    path: Vec<u8>,
    record: Vec<u8>,
}

impl Dispatch {
    /// Without workers.
    pub fn new(bodies: BodyPool, queue_length: usize) -> Self {
        Dispatch {
            bodies,
            workers: Vec::new(),
            queue: VecDeque::new(),
            queue_length,
            turns: 0,
            is_stalled: false,
            has_dead: false,
            has_news_to_tell: false,
            unannounced: 0,
            in_use: 0,
            permits: 0,
            path: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Takes a worker in.
    pub fn add(&mut self, link: WorkerLink) {
        self.has_news_to_tell |= link.request_limit > 0;
        let worker = Some(Worker::new(link));
        match self.workers.iter_mut().find(|seat| seat.is_none()) {
            Some(seat) => *seat = worker,
            None => self.workers.push(worker),
        }
        self.count_permits();
    }

    /// The worker of this seat gets no more requests.
    pub fn retire(&mut self, seat: u16) {
        let Some(worker) = self.worker(seat) else { return };
        worker.is_retiring = true;
        self.has_news_to_tell = true;
        self.count_permits();
    }

    /// The process of the worker of this seat has gone.
    pub fn declare_dead(&mut self, seat: u16) {
        let Some(worker) = self.worker(seat) else { return };
        worker.is_retiring = true;
        worker.is_dead = true;
        self.has_dead = true;
        self.count_permits();
    }

    fn count_permits(&mut self) {
        self.permits = self.present().filter(|worker| worker.is_willing()).map(|worker| worker.threads).sum();
    }

    /// All workers with their seats.
    pub fn workers(&self) -> impl Iterator<Item = (u16, &Worker)> {
        self.workers.iter().enumerate().filter_map(|(seat, worker)| Some((seat as u16, worker.as_ref()?)))
    }

    /// The seat of the worker with the supervisor's `number`.
    pub fn seat_of(&self, number: u64) -> Option<u16> {
        self.workers().find(|(_, worker)| worker.number == number).map(|(seat, _)| seat)
    }

    /// The worker of a seat.
    #[inline]
    pub fn worker(&mut self, seat: u16) -> Option<&mut Worker> {
        self.workers.get_mut(seat as usize)?.as_mut()
    }

    /// All workers.
    #[inline]
    pub fn all(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.workers.iter_mut().filter_map(Option::as_mut)
    }

    // Not `flatten`, which looks at both ends each time: this runs several times for each request.
    #[inline]
    fn present(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter_map(Option::as_ref)
    }

    /// Forgets dead workers of whose answers nothing is left to read.
    #[inline]
    pub fn bury(&mut self) {
        if self.has_dead {
            self.bury_all();
        }
    }

    #[cold]
    fn bury_all(&mut self) {
        for seat in &mut self.workers {
            if seat.as_ref().is_some_and(|worker| worker.is_dead && worker.in_use() == 0) {
                *seat = None;
            }
        }
        let has_dead = self.present().any(|worker| worker.is_dead);
        self.has_dead = has_dead;
    }

    /// Appends each slot in which a worker has reported news since the last call.
    #[inline]
    pub fn take_news(&mut self, news: &mut Vec<Place>) {
        for (seat, worker) in self.workers.iter_mut().enumerate() {
            if let Some(worker) = worker {
                worker.end.each_dirty(|slot| news.push(Place { seat: seat as u16, slot: slot as u16 }));
            }
        }
    }

    /// Slots that are not free.
    #[inline]
    pub fn slots_in_use(&self) -> usize {
        self.in_use
    }

    /// Threads of the workers that take requests.
    #[inline]
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Requests in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue has room.
    pub fn has_room(&self) -> bool {
        self.slots_in_use() + self.queue.len() < self.permits().saturating_add(self.queue_length)
    }

    /// When the first of the queue began to wait.
    pub fn oldest_queued_ms(&self) -> Option<u64> {
        self.queue.front().map(|waiting| waiting.since_ms)
    }

    /// Requests handed over and not announced yet.
    #[inline]
    pub fn unannounced(&self) -> usize {
        self.unannounced
    }

    /// Wakes the workers that have got something and sleep.
    pub fn ring_bells(&mut self) {
        self.unannounced = 0;
        for worker in self.all() {
            worker.end.ring_bell();
        }
    }

    /// Announces to all workers that the front is about to sleep; false when one of them has news.
    pub fn prepare_sleep(&self) -> bool {
        if self.present().all(|worker| worker.end.prepare_sleep()) {
            return true;
        }
        self.awake();
        false
    }

    /// The front is awake again.
    pub fn awake(&self) {
        for worker in self.present() {
            worker.end.awake();
        }
    }

    /// Hands a new request on, or puts it into the queue, if it may.
    #[inline]
    pub fn submit(&mut self, id: ConnectionId, ask: &Ask<'_>, load: Load<'_>, now_ms: u64) -> Dispatched {
        if !self.has_room() {
            if let Load::Stream { mut window, .. } = load {
                window.give_back(&mut self.bodies);
            }
            return Dispatched::Full;
        }
        self.turns += 1;
        let mut holding = Holding::default();
        let mut stream = None;
        let (inline, collected) = match load {
            Load::Inline(bytes) => (bytes, 0),
            Load::Collected(body) => {
                let (chunks, file, len) = std::mem::take(body).into_parts();
                holding = Holding { chunks, file, window: None };
                (&[][..], len)
            }
            Load::Stream { window, length, waits_for_leave } => {
                holding.window = Some(window);
                stream = Some((length, waits_for_leave));
                (&[][..], 0)
            }
        };
        let path = decoded_path(ask, &mut self.path);
        let fill = |area: &mut [u8], token: Option<u64>, holding: &Holding| {
            let body = match token {
                _ if let (Some(window), Some((length, waits_for_leave))) = (&holding.window, stream) => {
                    BodyParts::Stream { chunks: window.chunks(), length, waits_for_leave }
                }
                _ if !inline.is_empty() => BodyParts::Inline(inline),
                Some(token) => BodyParts::File(token, collected),
                None if collected == 0 => BodyParts::None,
                None => BodyParts::Chunks(&holding.chunks, collected),
            };
            encode(area, ask, path, body)
        };
        if self.queue.is_empty()
            && let Some(seat) = choose(&self.workers, now_ms)
            && let Some(worker) = self.workers.get_mut(seat).and_then(Option::as_mut)
        {
            let request = Placing { id, turn: self.turns, since_ms: now_ms, holding };
            holding = match worker.place(request, now_ms, fill) {
                Ok(slot) => {
                    self.in_use += 1;
                    self.unannounced += 1;
                    return Dispatched::Placed(Place { seat: seat as u16, slot });
                }
                Err((Some(_), mut holding)) => {
                    holding.discard(&mut self.bodies);
                    return Dispatched::TooLarge;
                }
                Err((None, holding)) => holding,
            };
            self.is_stalled = true;
        }
        self.record.resize(Worker::RECORD_BYTES, 0);
        match fill(&mut self.record, holding.file.as_ref().map(|_| 0), &holding) {
            Ok(len) => {
                let record = self.record.get(..len).unwrap_or_default().to_vec();
                let (turn, since_ms) = (self.turns, now_ms);
                self.queue.push_back(Waiting { id, turn, since_ms, record, holding });
                Dispatched::Queued
            }
            Err(_) => {
                holding.discard(&mut self.bodies);
                Dispatched::TooLarge
            }
        }
    }

    /// Moves the first of the queue to a worker; None when no worker has room, or there is no queue.
    #[inline]
    pub fn place_next(&mut self, now_ms: u64) -> Option<(ConnectionId, Place)> {
        self.is_stalled = false;
        if self.queue.is_empty() {
            return None;
        }
        self.place_first(now_ms)
    }

    fn place_first(&mut self, now_ms: u64) -> Option<(ConnectionId, Place)> {
        let seat = choose(&self.workers, now_ms)?;
        let worker = self.workers.get_mut(seat).and_then(Option::as_mut)?;
        match worker.place_waiting(self.queue.pop_front()?, now_ms) {
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
        self.is_stalled && !self.queue.is_empty()
    }

    /// Takes a connection out of the queue because it closed or has waited too long.
    pub fn leave_queue(&mut self, id: ConnectionId) {
        if let Some(index) = self.queue.iter().position(|waiting| waiting.id == id)
            && let Some(mut waiting) = self.queue.remove(index)
        {
            waiting.holding.discard(&mut self.bodies);
        }
    }

    /// The window of a request whose body is still coming, for the connection that it belongs to, with what is needed to fill it.
    pub fn stream(
        &mut self,
        place: Place,
        owner: ConnectionId,
    ) -> Option<(&mut FrontEnd, &mut BodyWindow, &mut BodyPool)> {
        let worker = self.workers.get_mut(place.seat as usize)?.as_mut()?;
        let (end, window) = worker.stream(place.slot, owner)?;
        Some((end, window, &mut self.bodies))
    }

    /// The connection that waits for this slot's answer.
    #[inline]
    pub fn owner(&self, place: Place) -> Option<ConnectionId> {
        self.workers.get(place.seat as usize)?.as_ref()?.slot_use(place.slot)?.owner
    }

    /// The worker has reported something of a slot: whether it has let go of it.
    #[inline]
    pub fn look(&mut self, place: Place, now_ms: u64) {
        if let Some(worker) = self.worker(place.seat) {
            worker.look(place.slot, now_ms);
        }
    }

    /// The connection has read all of its answer. The slot is freed now if the worker has let go of it, otherwise when it does.
    pub fn let_go(&mut self, place: Place, now_ms: u64) {
        if let Some(place) = self.worker(place.seat).and_then(|worker| worker.slot_use_mut(place.slot)) {
            place.owner = None;
        }
        self.reap(place, now_ms);
    }

    /// Nobody waits for the answer any more. A request that has not started never will.
    pub fn abandon(&mut self, place: Place, why: Why, now_ms: u64) {
        if self.discard(place) {
            return;
        }
        if let Some(worker) = self.worker(place.seat) {
            worker.abandon(place.slot, why);
            if why == Why::Overdue
                && let Some(slot_use) = worker.slot_use_mut(place.slot)
            {
                slot_use.overdue_since = Some(now_ms);
            }
        }
        self.let_go(place, now_ms);
    }

    /// Takes back a request that no thread has started, and throws it away; false when one has.
    pub fn discard(&mut self, place: Place) -> bool {
        let Some(mut waiting) = self.worker(place.seat).and_then(|worker| worker.take_back(place.slot))
        else {
            return false;
        };
        self.in_use -= 1;
        waiting.holding.discard(&mut self.bodies);
        true
    }

    /// Frees an ownerless slot if the worker has let go of it.
    pub fn reap(&mut self, place: Place, now_ms: u64) {
        if let Some(worker) = self.workers.get_mut(place.seat as usize).and_then(Option::as_mut) {
            let before = worker.in_use();
            worker.reap(place.slot, now_ms, &mut self.bodies);
            self.in_use -= before - worker.in_use();
        }
    }

    /// Milliseconds until [`Dispatch::stuck_seats`] should be asked; None when no request waits in a slot, or there is no other worker.
    #[inline]
    pub fn next_look_ms(&self) -> Option<u64> {
        let several = self.workers.len() > 1 && self.present().nth(1).is_some();
        (several && self.present().any(|worker| worker.beyond() > 0)).then_some(STALL_MS)
    }

    /// The seats of workers that have requests waiting in their slots and do not get on.
    pub fn stuck_seats(&self, now_ms: u64) -> Vec<u16> {
        self.workers()
            .filter(|(_, worker)| worker.beyond() > 0 && worker.silence_ms(now_ms) >= STALL_MS)
            .map(|(seat, _)| seat)
            .collect()
    }

    /// Takes back all that a worker has not started, into the queue and in the order in which it came. Gives the connections concerned, and when
    /// they began to wait.
    pub fn take_back_all(&mut self, seat: u16) -> Vec<(ConnectionId, u64)> {
        let Some(worker) = self.worker(seat) else { return Vec::new() };
        worker.slow_down();
        let slots = worker.ready_slots();
        let taken: Vec<Waiting> = slots.into_iter().filter_map(|slot| worker.take_back(slot)).collect();
        let ids = taken.iter().map(|waiting| (waiting.id, waiting.since_ms)).collect();
        self.in_use -= taken.len();
        self.queue.extend(taken);
        // Nearly sorted already, and rarely longer than a few dozens.
        self.queue.make_contiguous().sort_by_key(|waiting| waiting.turn);
        ids
    }
}

/// The worker for the next request, if there is one with room.
#[inline]
fn choose(workers: &[Option<Worker>], now_ms: u64) -> Option<usize> {
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
        if has_room(worker) && (free > 0 || gets_on(worker)) && best.is_none_or(|(_, most)| free > most) {
            best = Some((seat, free));
        }
    }
    best.map(|(seat, _)| seat)
}
