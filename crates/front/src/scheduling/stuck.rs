//! Workers that do not get on: what waits in their slots is taken back, for others.
//!
//! Two ways not to get on: more requests than permits, and no end of any in sight; or permits, and nothing is taken (`taking`).
//! Runs on the front's thread.

use crate::exchange::ExchangeId;
use crate::scheduling::attachments::Waiting;
use crate::scheduling::dispatch::Dispatch;
use crate::scheduling::taking::SILENT_MS;
use crate::scheduling::worker_link::Worker;

/// Twice the longest tick of a worker's own scheduler and then some: whoever has let go of nothing for so long is at something long.
pub const STALL_MS: u64 = 3;
/// How often it is looked whether a worker takes what it was given: a part of the time after which it should have.
const TAKING_MS: u64 = SILENT_MS / 2;
/// The same while requests wait because of one that does not: it may go on without saying so, and the others get only a few at a time.
const SILENCE_MS: u64 = 2;
/// How many untaken requests any worker has at most while another one is silent. What piles up before the others cannot be had by the silent one
/// when it goes on: two that are blocked in turns would have all of it in turns, and one of them nothing to do.
pub const FEW: usize = 2;

impl Dispatch {
    /// Milliseconds until [`Dispatch::stuck_seats`] should be asked; None when no request waits in a slot, or there is no other worker.
    #[inline]
    pub fn next_look_ms(&self) -> Option<u64> {
        if self.workers.len() <= 1 || self.present().nth(1).is_none() {
            return None;
        }
        let mut next = None;
        for worker in self.present() {
            if worker.beyond() > 0 {
                return Some(STALL_MS);
            }
            if worker.may_fall_silent() {
                next = Some(TAKING_MS);
            }
        }
        if self.has_silent && !self.queue.is_empty() {
            return Some(SILENCE_MS);
        }
        next
    }

    /// Whether [`Dispatch::stuck_seats`] is to be asked in this turn.
    #[inline]
    pub fn is_to_look(&self) -> bool {
        self.next_look_ms().is_some() || self.has_silent
    }

    /// The seats of workers that have requests waiting in their slots and do not get on.
    pub fn stuck_seats(&mut self, now_ms: u64) -> Vec<u16> {
        let mut has_silent = false;
        for worker in self.all() {
            has_silent |= worker.look_for_silence(now_ms);
        }
        self.has_silent = has_silent;
        let is_taker = |worker: &Worker| {
            worker.is_willing()
                && !worker.is_silent()
                && worker.is_reliable(now_ms)
                && worker.free_permits() > 0
                && worker.end.free_slots() > 0
                && worker.end.waiting() == 0
        };
        let has_taker = has_silent && self.present().any(is_taker);
        let is_stuck = |worker: &Worker| match worker.beyond() {
            0 => has_taker && worker.may_fall_silent() && worker.is_silent(),
            _ => worker.silence_ms(now_ms) >= STALL_MS,
        };
        self.workers().filter(|(_, worker)| is_stuck(worker)).map(|(seat, _)| seat).collect()
    }

    /// Takes back all that a worker has not started, into the queue and in the order in which it came. Gives the connections concerned, and when
    /// they began to wait.
    pub fn take_back_all(&mut self, seat: u16) -> Vec<(ExchangeId, u64)> {
        let slots = self.worker(seat).map(|worker| worker.ready_slots()).unwrap_or_default();
        self.take_back(seat, slots)
    }

    /// The same of one of the [`Dispatch::stuck_seats`]: where there are permits, what nobody else can answer would come straight back, and stays.
    pub fn take_back_stuck(&mut self, seat: u16) -> Vec<(ExchangeId, u64)> {
        let Some(worker) = self.workers.get(seat as usize).and_then(Option::as_ref) else {
            return Vec::new();
        };
        let mut slots = worker.ready_slots();
        if worker.beyond() == 0 && self.affinity.is_on() {
            slots.retain(|slot| {
                let record = worker.end.record(u32::from(*slot));
                !self.affinity.is_bound(&self.workers, record, seat as usize)
            });
        }
        self.take_back(seat, slots)
    }

    fn take_back(&mut self, seat: u16, slots: Vec<u16>) -> Vec<(ExchangeId, u64)> {
        let Some(worker) = self.worker(seat) else { return Vec::new() };
        worker.slow_down();
        worker.taking.note_emptied(&worker.end);
        let taken: Vec<Waiting> = slots.into_iter().filter_map(|slot| worker.take_back(slot)).collect();
        let ids = taken.iter().map(|waiting| (waiting.id, waiting.since_ms)).collect();
        self.in_use -= taken.len();
        let for_anybody = self.affinity.keep(taken, &self.workers);
        self.queue.extend(for_anybody);
        // Nearly sorted already, and rarely longer than a few dozens.
        self.queue.make_contiguous().sort_by_key(|waiting| waiting.turn);
        ids
    }
}
