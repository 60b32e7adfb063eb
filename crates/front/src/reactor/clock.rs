//! The time as the front knows it: read once per turn, and between turns only by what measures single requests.
//!
//! Owns the last readings of all clocks. Must not know connections. Runs on the front's thread.

use std::time::{SystemTime, UNIX_EPOCH};

use pelton_http::DateCache;
use pelton_link::{coarse_step_us, coarse_us, fine_us};

use crate::reactor::absences::Absences;

/// The wall clock may be set while we run, and is believed within this.
const WALL_CLOCK_MS: u64 = 50;

/// See the module's head.
pub(crate) struct Clock {
    /// When the front began, by the fine clock.
    pub(crate) started_us: u64,
    /// Milliseconds since then, as of this turn; times in which the front stood still do not count.
    pub(crate) now_ms: u64,
    pub(crate) absences: Absences,
    /// For how long the poller may have waited before this turn.
    pub(crate) waits_ms: u64,
    /// Microseconds since the start, all of them, as of this turn.
    pub(crate) turn_us: u64,
    /// The clock that workers share, as it was read last.
    coarse_ms: u64,
    /// Until when by the fine clock it shows that, and by how much it moves then.
    coarse_until_us: u64,
    coarse_step_us: u64,
    /// What the clock said when a response was looked at last; see `request_records`.
    pub(crate) responded_us: u64,
    /// Wall clock, as of this turn; for dates, never for durations.
    pub(crate) unix_seconds: u64,
    /// What the wall clock said at `now_ms` 0, in milliseconds.
    unix_ms_at_start: u64,
    /// When the wall clock is to be read again.
    wall_clock_at: u64,
    pub(crate) date: DateCache,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock {
            started_us: fine_us(),
            now_ms: 0,
            absences: Absences::default(),
            waits_ms: u64::MAX,
            turn_us: 0,
            coarse_ms: 0,
            coarse_until_us: 0,
            coarse_step_us: coarse_step_us(),
            responded_us: 0,
            unix_seconds: 0,
            unix_ms_at_start: 0,
            wall_clock_at: 0,
            date: DateCache::new(),
        }
    }

    /// Microseconds since the start, now.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        fine_us() - self.started_us
    }

    /// This turn by the clock that workers share, which is read only when it may have moved.
    #[inline]
    pub(crate) fn coarse_ms(&mut self) -> u64 {
        if self.started_us + self.turn_us >= self.coarse_until_us {
            self.read_coarse();
        }
        self.coarse_ms
    }

    #[cold]
    fn read_coarse(&mut self) {
        let coarse_us = coarse_us();
        self.coarse_ms = (coarse_us / 1000).max(1);
        self.coarse_until_us = coarse_us + self.coarse_step_us;
    }

    /// The wall clock in milliseconds, as of this turn.
    #[inline]
    pub(crate) fn unix_ms(&self) -> u64 {
        self.unix_ms_at_start + self.now_ms
    }

    /// The same in nanoseconds, as files have it.
    pub(crate) fn unix_ns(&self) -> i128 {
        i128::from(self.unix_ms()) * 1_000_000
    }

    /// Reads the clocks: a turn begins.
    pub(crate) fn begin_turn(&mut self) {
        let now_us = fine_us();
        self.turn_us = now_us - self.started_us;
        if self.absences.turn_begins(now_us, self.waits_ms) {
            // It is measured against `now_ms`.
            self.wall_clock_at = 0;
        }
        self.now_ms = (self.turn_us / 1000).saturating_sub(self.absences.total_ms());
        if self.now_ms >= self.wall_clock_at {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.unix_seconds = since.as_secs();
            self.unix_ms_at_start = (since.as_millis() as u64).saturating_sub(self.now_ms);
            // Read again for each new second, so that no date is late.
            let rest_of_second = 1000 - u64::from(since.subsec_millis());
            self.wall_clock_at = self.now_ms + rest_of_second.min(WALL_CLOCK_MS);
        }
    }
}
