//! Times in which the front stood still: a paused container, a stalled machine, SIGSTOP, no processor to be had.
//!
//! Nobody is to be blamed for what did not happen then. The front's own clock (`now_ms`) leaves these times out, so every
//! deadline moves by itself; ages of workers' requests and heartbeats, which are read from a clock that all processes
//! share, are corrected by [`Absences::since`]. Seen from the outside only: a turn began much later than the poller had
//! to come back. Pure; times are arguments.

use std::collections::VecDeque;

/// A turn may take so long, or begin so much too late, on a machine that is merely busy. Counts as time in any case, or
/// on one that is busy all the time no deadline would ever come.
const USUAL_US: u64 = 500_000;

/// How many are remembered; of more within one time-out, the oldest are blamed on the workers.
const REMEMBERED: usize = 64;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    turn_began_us: u64,
    /// When each ended and how long it was, by the clock that all processes share.
    recent: VecDeque<(u64, u64)>,
    total_ms: u64,
}

impl Absences {
    /// A turn begins at `now_us`; before it the poller was to wait for `wait_ms` at most. Whether the front was away.
    #[inline]
    pub(crate) fn turn_begins(&mut self, now_us: u64, wait_ms: u64) -> bool {
        let began_us = std::mem::replace(&mut self.turn_began_us, now_us);
        let elapsed = now_us - began_us;
        // Before the first turn nobody was away, however long the machine had run by then.
        elapsed > USUAL_US && began_us > 0 && self.look_closer(now_us, elapsed, wait_ms)
    }

    #[cold]
    fn look_closer(&mut self, now_us: u64, elapsed: u64, wait_ms: u64) -> bool {
        let absent_ms = elapsed.saturating_sub(wait_ms.saturating_mul(1000)).saturating_sub(USUAL_US) / 1000;
        if absent_ms == 0 {
            return false;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((now_us / 1000, absent_ms));
        self.total_ms += absent_ms;
        true
    }

    /// Milliseconds of absence in all.
    #[inline]
    pub(crate) fn total_ms(&self) -> u64 {
        self.total_ms
    }

    /// How much of the time since `since_ms`, by the clock that all processes share, the front was away.
    pub(crate) fn since(&self, since_ms: u64) -> u64 {
        let overlap = |(end, length): &(u64, u64)| end.saturating_sub(since_ms).min(*length);
        self.recent.iter().map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_was_before_the_first_turn_is_none() {
        let mut absences = Absences::default();
        assert!(!absences.turn_begins(10_000 * SECOND, 1000));
        assert_eq!(absences.total_ms(), 0);
    }

    #[test]
    fn only_what_nobody_expected_is_an_absence() {
        let mut absences = Absences::default();
        absences.turn_begins(10 * SECOND, u64::MAX);
        // Asked to wait so long, or for ever.
        assert!(!absences.turn_begins(20 * SECOND, 10_000));
        assert!(!absences.turn_begins(80 * SECOND, u64::MAX));
        // A busy machine.
        assert!(!absences.turn_begins(80 * SECOND + 700_000, 200));
        assert_eq!(absences.total_ms(), 0);
        // 34 seconds instead of a quarter of one.
        assert!(absences.turn_begins(114 * SECOND + 700_000, 250));
        assert_eq!(absences.total_ms(), 33_250);
        assert!(!absences.turn_begins(115 * SECOND, 250));
    }

    #[test]
    fn what_lies_before_does_not_count() {
        let mut absences = Absences::default();
        absences.turn_begins(10 * SECOND, u64::MAX);
        absences.turn_begins(14 * SECOND + 500_000, 0);
        absences.turn_begins(20 * SECOND + 500_000, 500);
        // 4 s until 14.5, 5 s until 20.5.
        assert_eq!(absences.since(0), 9_000);
        assert_eq!(absences.since(12_500), 7_000);
        assert_eq!(absences.since(14_500), 5_000);
        assert_eq!(absences.since(18_000), 2_500);
        assert_eq!(absences.since(30_000), 0);
    }

    #[test]
    fn a_machine_that_is_always_late_still_gets_on() {
        let mut absences = Absences::default();
        absences.turn_begins(SECOND, 0);
        for turn in 2..200 {
            absences.turn_begins(turn * 2 * SECOND, 0);
        }
        let passed_ms = 199 * 2_000 - absences.total_ms();
        assert!(passed_ms >= 198 * 500, "{passed_ms}");
        assert!(absences.recent.len() <= REMEMBERED);
    }
}
