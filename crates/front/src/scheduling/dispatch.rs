//! From complete request to slot: the queue, and which worker gets what.
//!
//! # The rule
//! A request goes to the worker with the most free permits (threads without a request). Where none has any, a worker that gets on is given a few in
//! advance, so that it finds the next one without waiting for the front; the others wait in the one queue, first come first served. A worker that
//! has let go of nothing for `stuck::STALL_MS` while requests wait in its slots gives those back, and they are the first of the queue: no request waits
//! behind a long one while another worker has room. Nor does any wait, where others have room, for a worker that has permits and does not take what it
//! is given (`taking`): it gives back, too, and is left out until it goes on. With one worker there is nobody else, and all of its slots are used.
//! Some paths have limits of their own, or go first (`path_limits`).
//! A request for a WebSocket stays for long where it goes, on a thread of its own: so the WebSockets that a worker has count against it there.
//!
//! What is in slots and in the queue together is bounded by `threads + queue_length`. Those that go first have places of their own in the queue, as many
//! again: they would be of no use if they were refused just when others wait.

use std::collections::VecDeque;
use std::time::Duration;

use pelton_link::{BodyPool, BodyWindow, FrontEnd, Why};

use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::affinity::Affinity;
use crate::scheduling::attachments::Waiting;
use crate::scheduling::path_limits::PathLimits;
use crate::scheduling::worker_link::{Worker, WorkerLink};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// It is in this slot.
    Placed(Place),
    /// It waits in the queue.
    Queued,
    /// It waits for others of its path, for so long at most.
    Held(Duration),
    /// As many wait as may.
    Full,
    /// The same of its path.
    PathFull,
    /// Its head does not fit a slot.
    TooLarge,
}

#[derive(Debug)]
pub struct Dispatch {
    /// Memory for bodies.
    pub bodies: BodyPool,
    pub(crate) workers: Vec<Option<Worker>>,
    pub(crate) queue: VecDeque<Waiting>,
    /// Requests for one certain worker, and what of them waits for it.
    pub(super) affinity: Affinity,
    /// Requests for paths with limits of their own, and what of them waits.
    pub(crate) paths: PathLimits,
    pub(super) queue_length: usize,
    pub(super) turns: u64,
    /// Requests wait although a worker had room for one: its ready ring is full of entries that were taken back, or no descriptor can be sent.
    /// Nothing will tell when that is over.
    pub(super) is_stalled: bool,
    /// Whether a worker was silent at the last look.
    pub(super) has_silent: bool,
    /// Whether a worker is dead and not buried.
    has_dead: bool,
    /// Whether a worker may have news for the supervisor: it retires, or may have only so many requests.
    pub has_news_to_tell: bool,
    /// Requests handed over and not announced yet.
    pub(super) unannounced: usize,
    /// Slots of all workers that are not free.
    pub(crate) in_use: usize,
    /// Threads of the workers that take requests.
    permits: usize,
    pub(super) path: Vec<u8>,
    pub(super) record: Vec<u8>,
}

impl Dispatch {
    /// Without workers.
    pub fn new(bodies: BodyPool, queue_length: usize, affinity: Affinity, paths: PathLimits) -> Self {
        Dispatch {
            bodies,
            workers: Vec::new(),
            queue: VecDeque::new(),
            affinity,
            paths,
            queue_length,
            turns: 0,
            is_stalled: false,
            has_silent: false,
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

    /// Those of them that have not died.
    pub fn living(&self) -> impl Iterator<Item = &Worker> {
        self.present().filter(|worker| !worker.is_dead)
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
    pub(super) fn present(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter_map(Option::as_ref)
    }

    /// Forgets dead workers of whose responses nothing is left to read.
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
        self.queue.len() + self.affinity.waiting()
    }

    /// Whether the queue has room for one more, which goes before others or does not.
    #[inline]
    pub(super) fn has_room(&self, is_first: bool) -> bool {
        self.slots_in_use() + self.queued() < self.permits().saturating_add(self.queue_length)
            || (is_first && self.queue.partition_point(Waiting::is_first) < self.queue_length)
    }

    /// When the first of the queue began to wait.
    pub fn oldest_queued_ms(&self) -> Option<u64> {
        self.queue.front().map(|waiting| waiting.since_ms).into_iter().chain(self.affinity.oldest_ms()).min()
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

    /// The window of a request whose body is still coming, for the connection that it belongs to, with what is needed to fill it.
    pub fn stream(
        &mut self,
        place: Place,
        owner: ExchangeId,
    ) -> Option<(&mut FrontEnd, &mut BodyWindow, &mut BodyPool)> {
        let worker = self.workers.get_mut(place.seat as usize)?.as_mut()?;
        let (end, window) = worker.stream(place.slot, owner)?;
        Some((end, window, &mut self.bodies))
    }

    /// Gives memory that is not used any more back to the system.
    pub fn trim(&mut self) {
        for worker in self.all().filter(|worker| !worker.is_dead) {
            worker.end.trim();
        }
        self.bodies.trim();
    }

    /// Whether [`Dispatch::trim`] may have something to do.
    #[inline]
    pub fn is_touched(&self) -> bool {
        self.bodies.is_touched() || self.present().any(|worker| !worker.is_dead && worker.end.is_touched())
    }

    /// The connection that waits for this slot's response.
    #[inline]
    pub fn owner(&self, place: Place) -> Option<ExchangeId> {
        self.workers.get(place.seat as usize)?.as_ref()?.slot_use(place.slot)?.owner
    }

    /// The worker has reported something of a slot: whether it has let go of it.
    #[inline]
    pub fn look(&mut self, place: Place, now_ms: u64) {
        if let Some(worker) = self.worker(place.seat) {
            worker.look(place.slot, now_ms);
        }
    }

    /// The connection has read all of its response. The slot is freed now if the worker has let go of it, otherwise when it does.
    pub fn let_go(&mut self, place: Place, now_ms: u64) {
        if let Some(place) = self.worker(place.seat).and_then(|worker| worker.slot_use_mut(place.slot)) {
            place.owner = None;
        }
        self.reap(place, now_ms);
    }

    /// Nobody waits for the response any more. A request that has not started never will.
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
        waiting.attachments.discard(&mut self.bodies);
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
}
