//! Workers that do not get on: what waits in their slots is taken back, for others.
//!
//! Two ways not to get on: more requests than permits, and no end of any in sight; or permits, and nothing is taken (`taking`).
//! Runs on the front's thread.

use crate::ids::ExchangeId;
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

/// Milliseconds until [`stuck_seats`] should be asked; None when no request waits in a slot, or there is no other worker.
#[inline]
pub fn next_look_ms(dispatch: &Dispatch) -> Option<u64> {
    if dispatch.workers.len() <= 1 || dispatch.present().nth(1).is_none() {
        return None;
    }
    let mut next = None;
    for worker in dispatch.present() {
        if worker.beyond() > 0 {
            return Some(STALL_MS);
        }
        if worker.may_fall_silent() {
            next = Some(TAKING_MS);
        }
    }
    if dispatch.has_silent && !dispatch.queue.is_empty() {
        return Some(SILENCE_MS);
    }
    next
}

/// Whether [`stuck_seats`] is to be asked in this turn.
#[inline]
pub fn is_to_look(dispatch: &Dispatch) -> bool {
    next_look_ms(dispatch).is_some() || dispatch.has_silent
}

/// The seats of workers that have requests waiting in their slots and do not get on.
pub fn stuck_seats(dispatch: &mut Dispatch, now_ms: u64) -> Vec<u16> {
    let mut has_silent = false;
    for worker in dispatch.all() {
        has_silent |= worker.look_for_silence(now_ms);
    }
    dispatch.has_silent = has_silent;
    let is_taker = |worker: &Worker| {
        worker.is_willing()
            && !worker.is_silent()
            && worker.is_reliable(now_ms)
            && worker.free_permits() > 0
            && worker.end.free_slots() > 0
            && worker.end.waiting() == 0
    };
    let has_taker = has_silent && dispatch.present().any(is_taker);
    let is_stuck = |worker: &Worker| match worker.beyond() {
        0 => has_taker && worker.may_fall_silent() && worker.is_silent(),
        _ => worker.silence_ms(now_ms) >= STALL_MS,
    };
    dispatch.workers().filter(|(_, worker)| is_stuck(worker)).map(|(seat, _)| seat).collect()
}

/// Takes back all that a worker has not started, into the queue and in the order in which it came. Gives the connections concerned, and when
/// they began to wait.
pub fn take_back_all(dispatch: &mut Dispatch, seat: u16) -> Vec<(ExchangeId, u64)> {
    let slots = dispatch.worker(seat).map(|worker| worker.ready_slots()).unwrap_or_default();
    take_back(dispatch, seat, slots)
}

/// The same of one of the [`stuck_seats`]: where there are permits, what nobody else can answer would come straight back, and stays.
pub fn take_back_stuck(dispatch: &mut Dispatch, seat: u16) -> Vec<(ExchangeId, u64)> {
    let Some(worker) = dispatch.workers.get(seat as usize).and_then(Option::as_ref) else {
        return Vec::new();
    };
    let mut slots = worker.ready_slots();
    if worker.beyond() == 0 && dispatch.affinity.is_on() {
        slots.retain(|slot| {
            let record = worker.end.record(u32::from(*slot));
            !dispatch.affinity.is_bound(&dispatch.workers, record, seat as usize)
        });
    }
    take_back(dispatch, seat, slots)
}

fn take_back(dispatch: &mut Dispatch, seat: u16, slots: Vec<u16>) -> Vec<(ExchangeId, u64)> {
    let Some(worker) = dispatch.worker(seat) else { return Vec::new() };
    worker.slow_down();
    worker.taking.note_emptied(&worker.end);
    let taken: Vec<Waiting> = slots.into_iter().filter_map(|slot| worker.take_back(slot)).collect();
    let ids = taken.iter().map(|waiting| (waiting.id, waiting.since_ms)).collect();
    dispatch.in_use -= taken.len();
    let for_anybody = dispatch.affinity.keep(taken, &dispatch.workers);
    dispatch.queue.extend(for_anybody);
    // Nearly sorted already, and rarely longer than a few dozens.
    dispatch.queue.make_contiguous().sort_by_key(|waiting| waiting.turn);
    ids
}
