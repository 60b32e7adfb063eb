//! When memory that a burst has left behind is given back; which that is, the link knows. Runs on the front's thread.

use crate::event_loop::EventLoop;

/// How often it is looked for. Given back is what was not used from one look to the next.
const TRIM_MS: u64 = 10_000;

impl EventLoop {
    /// Gives memory back, if it is time.
    #[inline]
    pub(crate) fn trim_memory(&mut self) {
        if self.clock.now_ms >= self.watch.memory_at {
            self.watch.memory_at = self.clock.now_ms + TRIM_MS;
            self.dispatch.trim();
        }
    }

    /// Milliseconds until then, where there is anything to look for.
    pub(crate) fn next_trim_ms(&self) -> Option<u64> {
        self.dispatch.is_touched().then(|| self.watch.memory_at.saturating_sub(self.clock.now_ms))
    }
}
