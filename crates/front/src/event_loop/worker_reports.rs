//! What the supervisor has to know of workers: which are stuck, which are frozen. Runs on the front's thread.

use std::time::Duration;

use pelton_link::coarse_ms;

use crate::front::Front;
use crate::notices::News;
use crate::obituary::{describe, name};
use crate::scheduling::worker_link::Worker;

/// How often workers are looked at for threads that do not let go and for interpreters that do not run.
const WATCH_MS: u64 = 250;

/// Tells the supervisor what it has to know of workers, if it is time to look or there may be something.
#[inline]
pub(crate) fn report_workers(front: &mut Front) {
    let must_watch = front.clock.now_ms >= front.watch.workers_at;
    if must_watch || front.dispatch.has_news_to_tell {
        look_at_workers(front, must_watch);
    }
}

fn look_at_workers(front: &mut Front, must_watch: bool) {
    // Once in a while, not in every turn.
    let coarse_now = if must_watch { coarse_ms() } else { 0 };
    let grace = front.settings.interrupt_grace.as_millis() as u64;
    let limit = front.settings.worker_time.map(|time| time.as_millis() as u64);
    let notices = &front.shared.notices;
    let mut may_follow = false;
    for worker in front.dispatch.all().filter(|worker| !worker.is_dead) {
        if worker.is_retiring && !worker.reported.quiet && worker.is_quiet() {
            worker.reported.quiet = true;
            notices.tell(News::Quiet, worker.number, String::new());
        }
        if worker.left == Some(0) && !worker.reported.spent {
            worker.reported.spent = true;
            notices.tell(News::Spent, worker.number, String::new());
        }
        may_follow |= worker.is_retiring && !worker.reported.quiet;
        may_follow |= worker.left.is_some() && !worker.reported.spent;
        if !must_watch {
            continue;
        }
        worker.end.drop_stale_files();
        let now_ms = front.clock.now_ms;
        let is_late = |since: u64| now_ms.saturating_sub(since) >= grace;
        if !worker.reported.stuck
            && let Some(slot) = worker.overdue_slot(is_late)
        {
            worker.reported.stuck = true;
            notices.tell(
                News::Stuck,
                worker.number,
                stuck_text(worker, slot, front.settings.interrupt_grace),
            );
        }
        let beat = worker.end.heartbeat_ms();
        if !worker.reported.frozen
            && beat > 0
            && worker.in_use() > 0
            && let Some(limit) = limit
            // Nor does it let go of any request: one that has just got its first may have been asleep before.
            && worker.silence_ms(now_ms) >= limit
            && coarse_now.saturating_sub(beat).saturating_sub(front.clock.absences.since(beat)) >= limit
        {
            worker.reported.frozen = true;
            notices.tell(News::Frozen, worker.number, frozen_text(worker, coarse_now.saturating_sub(beat)));
        }
    }
    front.dispatch.has_news_to_tell = may_follow;
    if must_watch {
        front.watch.workers_at = front.clock.now_ms + WATCH_MS;
    }
}

/// Milliseconds until workers have to be looked at although nothing happens.
pub(crate) fn next_watch_ms(front: &Front) -> Option<u64> {
    let must = front.settings.worker_time.is_some() || front.settings.request_time.is_some();
    (must && front.dispatch.slots_in_use() > 0)
        .then(|| front.watch.workers_at.saturating_sub(front.clock.now_ms))
}

/// A request's time was over so long ago, and the worker still has it.
fn stuck_text(worker: &Worker, slot: u16, grace: Duration) -> String {
    let (name, request, seconds) = (name(worker), describe(worker, slot), grace.as_secs_f64());
    format!("{name} does not let go of {request}, {seconds:.1} s after its time was over")
}

/// Nothing runs in the worker any more.
fn frozen_text(worker: &Worker, silent_ms: u64) -> String {
    let requests: Vec<_> = worker.used_slots().map(|(slot, _)| describe(worker, slot)).collect();
    format!(
        "{} has given no sign of life for {:.1} s: its interpreter is stuck, probably in native code that keeps the GIL, or a greenlet keeps \
         the hub. It has {}",
        name(worker),
        silent_ms as f64 / 1000.0,
        requests.join(", "),
    )
}
