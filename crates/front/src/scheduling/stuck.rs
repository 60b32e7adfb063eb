//! Workers that do not get on: what waits in their slots is taken back, for others.
//!
//! Runs on the front's thread.

use crate::connection::table::ConnectionId;
use crate::scheduling::dispatch::Dispatch;
use crate::scheduling::holding::Waiting;

/// Twice the longest tick of a worker's own scheduler and then some: whoever has let go of nothing for so long is at something long.
pub const STALL_MS: u64 = 3;

impl Dispatch {
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
        let for_anybody = self.affinity.keep(taken, &self.workers);
        self.queue.extend(for_anybody);
        // Nearly sorted already, and rarely longer than a few dozens.
        self.queue.make_contiguous().sort_by_key(|waiting| waiting.turn);
        ids
    }
}
