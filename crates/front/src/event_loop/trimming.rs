//! When memory that a burst has left behind is given back; which that is, the link knows. Runs on the front's thread.

use crate::front::Front;

/// How often it is looked for. Given back is what was not used from one look to the next.
const TRIM_MS: u64 = 10_000;

/// Gives memory back, if it is time.
#[inline]
pub(crate) fn trim_memory(front: &mut Front) {
    if front.clock.now_ms >= front.watch.memory_at {
        front.watch.memory_at = front.clock.now_ms + TRIM_MS;
        front.dispatch.trim();
    }
}

/// Milliseconds until then, where there is anything to look for.
pub(crate) fn next_trim_ms(front: &Front) -> Option<u64> {
    front.dispatch.is_touched().then(|| front.watch.memory_at.saturating_sub(front.clock.now_ms))
}
