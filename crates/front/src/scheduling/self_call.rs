//! An application that calls its own server while every permit is taken: found out, and helped with one permit more.
//!
//! A view that asks its own server for something waits for a response that nobody can make, because it keeps the thread for it. What waits for
//! longer than a moment and comes from this machine is therefore looked at, once: the embedding process is asked whether the other end of the
//! connection is a socket of one of the workers ([`LocalCalls`]; this thread must not read `/proc`). If it is, the request goes past the
//! queue to a spare thread of that worker (see `pelton_link::SelfCall`), with a permit beyond the worker's own that ends with it.
//!
//! Nothing of this is on the way of a request that does not wait. Bounds: so many requests in a question; a question each
//! [`FIRST_MS`] at most, and ever more rarely, down to one each [`LAST_MS`], while the answer is no (a proxy on the same machine in front of a
//! server at its limit); as many permits lent at once as there are threads, so that a request which calls itself without end is stopped by
//! the queue's time-out like anything else that waits. What the loop does of it is in `event_loop::self_calls`. Runs on the front's thread.

use std::collections::VecDeque;

use pelton_link::{Phase, SelfCall};

use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::attachments::{Attachments, Waiting};
use crate::scheduling::dispatch::Dispatch;
use crate::scheduling::worker_link::Worker;
use crate::transport::origin::Origin;

/// How long a request waits before it is looked at: longer than most requests take, so that what only waits its turn is left alone.
pub(crate) const FIRST_MS: u64 = 50;
/// The longest pause between two questions.
const LAST_MS: u64 = 1000;

/// What is done about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfCallPolicy {
    /// Nothing is looked at.
    #[default]
    Off,
    /// The worker reports it.
    Warn,
    /// The worker reports it, and gets a permit more for it.
    Lend,
}

/// A request that waits and that was made on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalCall {
    /// By which the answer names it.
    pub number: u64,
    /// See [`Origin`].
    pub origin: Origin,
}

/// A question: which of these were made by the workers? [`crate::FrontHandle::called_itself`] answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCalls {
    /// The requests.
    pub calls: Vec<LocalCall>,
    /// The workers' processes.
    pub workers: Vec<u32>,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(crate) struct SelfCalls {
    look_at: u64,
    pause: u64,
    /// The last request that was asked about; those before it have been, too.
    pub(crate) asked: u64,
    /// Recognised requests and their callers' processes, while all that may be lent is lent.
    pub(crate) wanting: VecDeque<(u64, u32)>,
    pub(crate) complain_at: u64,
}

impl SelfCalls {
    /// Milliseconds until the next look.
    pub(crate) fn due_in(&self, now_ms: u64) -> u64 {
        self.look_at.saturating_sub(now_ms)
    }

    /// There is a look now; gives the number after which requests have not been asked about.
    pub(crate) fn begin_look(&mut self, now_ms: u64) -> u64 {
        // Nothing has waited for a while: what the last answers said is over.
        if now_ms >= self.look_at + LAST_MS {
            self.pause = 0;
        }
        self.look_at = now_ms + FIRST_MS;
        self.asked
    }

    /// It has led to a question: the next one comes later, unless this one is answered.
    pub(crate) fn note_question(&mut self, now_ms: u64) {
        self.pause = (self.pause * 2).clamp(FIRST_MS, LAST_MS);
        self.look_at = now_ms + self.pause;
    }

    /// A request was recognised: where there is one, there may be more.
    pub(crate) fn note_answer(&mut self, now_ms: u64) {
        self.pause = 0;
        self.look_at = self.look_at.min(now_ms + FIRST_MS);
    }
}

/// Whether requests wait and no worker has a permit for them.
#[inline]
pub fn is_short(dispatch: &Dispatch) -> bool {
    // Asked in each turn, and nearly always this is all.
    dispatch.slots_in_use() + dispatch.queued() > dispatch.permits() && is_really_short(dispatch)
}

fn is_really_short(dispatch: &Dispatch) -> bool {
    let mut waits = !dispatch.queue.is_empty();
    for worker in dispatch.workers.iter().flatten() {
        if worker.is_willing() && worker.free_permits() > 0 {
            return false;
        }
        waits |= worker.beyond() > 0;
    }
    waits
}

/// Requests lent a permit now, and reports that nobody has read yet.
pub fn lent(dispatch: &Dispatch) -> usize {
    dispatch.workers.iter().flatten().map(|worker| worker.spare()).sum()
}

/// Those that have waited since `until_ms` or longer and came after `after`, by number.
pub(crate) fn waiting(dispatch: &Dispatch, after: u64, until_ms: u64) -> Vec<(u64, ExchangeId)> {
    let in_slots =
        dispatch.workers.iter().flatten().filter(|worker| worker.beyond() > 0).flat_map(|worker| {
            let used =
                |slot| worker.slot_use(slot).and_then(|one| Some((one.turn, one.owner?, one.since_ms)));
            worker.ready_slots().into_iter().filter_map(used)
        });
    let queued = dispatch.queue.iter().map(|one| (one.turn, one.id, one.since_ms));
    let mut found: Vec<_> = in_slots
        .chain(queued)
        .filter(|(turn, _, since)| *turn > after && *since <= until_ms)
        .map(|(turn, id, _)| (turn, id))
        .collect();
    found.sort_unstable_by_key(|(turn, _)| *turn);
    found
}

/// Where a request waits, if a worker has it already.
fn slot_of(dispatch: &Dispatch, turn: u64) -> Option<Place> {
    dispatch.workers().find_map(|(seat, worker)| {
        let has_it = |slot: &u16| worker.slot_use(*slot).is_some_and(|one| one.turn == turn);
        worker.ready_slots().into_iter().find(has_it).map(|slot| Place { seat, slot })
    })
}

/// Takes a waiting request from where it waits; None when it does not any more.
pub(crate) fn extract(dispatch: &mut Dispatch, turn: u64) -> Option<Waiting> {
    if let Some(index) = dispatch.queue.iter().position(|waiting| waiting.turn == turn) {
        return dispatch.queue.remove(index);
    }
    let place = slot_of(dispatch, turn)?;
    let waiting = dispatch.worker(place.seat)?.take_back(place.slot)?;
    dispatch.in_use -= 1;
    Some(waiting)
}

/// A copy of a waiting request, without its body.
pub(crate) fn copy_of(dispatch: &mut Dispatch, turn: u64) -> Option<Waiting> {
    let copy =
        |id, since_ms, record| Waiting { id, turn, since_ms, record, attachments: Attachments::default() };
    if let Some(one) = dispatch.queue.iter().find(|waiting| waiting.turn == turn) {
        return Some(copy(one.id, one.since_ms, one.record.clone()));
    }
    let place = slot_of(dispatch, turn)?;
    let worker = dispatch.worker(place.seat)?;
    let one = worker.slot_use(place.slot)?;
    let (id, since_ms, record) =
        (one.owner?, one.since_ms, worker.end.record(u32::from(place.slot)).to_vec());
    // A thread that has taken it meanwhile may have damaged the record.
    (worker.end.phase(u32::from(place.slot)) == Some(Phase::Ready)).then(|| copy(id, since_ms, record))
}

/// The worker of the process that calls: only there can the caller be found. If it has gone: the one with the fewest lent.
pub(crate) fn seat_for(dispatch: &Dispatch, pid: u32) -> Option<u16> {
    let is_own = |worker: &Worker| worker.pid == pid && !worker.is_dead && !worker.reported.quiet;
    let own = dispatch.workers().find(|(_, worker)| is_own(worker));
    let any = || {
        dispatch.workers().filter(|(_, worker)| worker.is_willing()).min_by_key(|(_, worker)| worker.spare())
    };
    own.or_else(any).map(|(seat, _)| seat)
}

/// Hands a request to a spare thread; gives it back when it cannot be had.
pub(crate) fn place_spare(
    dispatch: &mut Dispatch,
    seat: u16,
    waiting: Waiting,
    self_call: SelfCall,
    now_ms: u64,
) -> Result<(ExchangeId, Place), Waiting> {
    let Some(worker) = dispatch.worker(seat) else { return Err(waiting) };
    let (id, slot) = worker.place_waiting(waiting, now_ms, Some(self_call))?;
    dispatch.in_use += 1;
    Ok((id, Place { seat, slot }))
}

/// The process of a worker has gone, and with it the spare threads: what they were to take waits like any other request.
pub fn revoke_spare(dispatch: &mut Dispatch, seat: u16) {
    if let Some(worker) = dispatch.worker(seat) {
        let before = worker.in_use();
        worker.revoke_spare();
        let voided = before - worker.in_use();
        dispatch.in_use -= voided;
    }
}

/// Puts a request back where it was in the queue.
pub(crate) fn put_back(dispatch: &mut Dispatch, waiting: Waiting) {
    let index = dispatch.queue.partition_point(|one| one.turn < waiting.turn);
    dispatch.queue.insert(index, waiting);
}
