//! Deadlines of connections: one each, in a dense array beside the table.
//!
//! A connection has at most one thing that can be late at a time, so a deadline is one number per table slot, and setting it is a
//! store. Looking for what is due walks the array (10,000 connections: 80 KB, some microseconds), which happens only when the
//! earliest known deadline has come, and not more often than [`GRAIN_MS`]. Time comes in as milliseconds since the front's start.

/// Deadlines may be found late by this much; bounds how often the array is walked.
pub const GRAIN_MS: u64 = 50;

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub struct Timers {
    deadlines: Vec<u64>,
    /// No deadline is earlier than this.
    earliest: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { deadlines: Vec::new(), earliest: NEVER }
    }
}

impl Timers {
    /// Sets (or moves) the deadline of `key`.
    #[inline]
    pub fn set(&mut self, key: usize, at_ms: u64) {
        if key >= self.deadlines.len() {
            self.deadlines.resize(key + 1, NEVER);
        }
        if let Some(deadline) = self.deadlines.get_mut(key) {
            *deadline = at_ms;
        }
        self.earliest = self.earliest.min(at_ms);
    }

    /// Takes the deadline of `key` away.
    #[inline]
    pub fn clear(&mut self, key: usize) {
        if let Some(deadline) = self.deadlines.get_mut(key) {
            *deadline = NEVER;
        }
    }

    /// The deadline of `key`.
    pub fn get(&self, key: usize) -> Option<u64> {
        self.deadlines.get(key).copied().filter(|deadline| *deadline != NEVER)
    }

    /// Whether `key` has a deadline.
    pub fn is_set(&self, key: usize) -> bool {
        self.get(key).is_some()
    }

    /// Milliseconds until [`Timers::due`] should be asked; None when nothing can become late.
    pub fn next_in(&self, now_ms: u64) -> Option<u64> {
        (self.earliest != NEVER).then(|| self.earliest.saturating_sub(now_ms))
    }

    /// Whether [`Timers::due`] should be asked.
    #[inline]
    pub fn are_due(&self, now_ms: u64) -> bool {
        now_ms >= self.earliest
    }

    /// Takes out the keys whose deadline has come.
    pub fn due(&mut self, now_ms: u64, out: &mut Vec<usize>) {
        if !self.are_due(now_ms) {
            return;
        }
        let mut earliest = NEVER;
        for (key, deadline) in self.deadlines.iter_mut().enumerate() {
            if *deadline <= now_ms {
                *deadline = NEVER;
                out.push(key);
            } else {
                earliest = earliest.min(*deadline);
            }
        }
        // Deadlines a grain apart are found together.
        self.earliest = if earliest == NEVER { NEVER } else { earliest.max(now_ms + GRAIN_MS) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(timers: &mut Timers, now: u64) -> Vec<usize> {
        let mut out = Vec::new();
        timers.due(now, &mut out);
        out
    }

    #[test]
    fn a_deadline_comes_once_and_can_be_moved_or_cleared() {
        let mut timers = Timers::default();
        assert_eq!(timers.next_in(0), None);
        timers.set(3, 1000);
        timers.set(0, 500);
        timers.set(9, 700);
        timers.clear(9);
        assert_eq!(timers.next_in(100), Some(400));
        assert_eq!(due(&mut timers, 499), []);
        assert_eq!(due(&mut timers, 500), [0]);
        timers.set(3, 2000);
        assert_eq!(due(&mut timers, 1500), []);
        assert_eq!(due(&mut timers, 2000), [3]);
        assert_eq!(timers.next_in(2000), None);
        assert_eq!(due(&mut timers, 9000), []);
    }

    #[test]
    fn deadlines_are_never_found_later_than_a_grain() {
        let mut timers = Timers::default();
        for key in 0..100 {
            timers.set(key, 1000 + key as u64);
        }
        let mut now = 900;
        let mut seen = 0;
        while let Some(wait) = timers.next_in(now) {
            now += wait;
            for key in due(&mut timers, now) {
                assert!(now >= 1000 + key as u64 && now <= 1000 + key as u64 + GRAIN_MS);
                seen += 1;
            }
        }
        assert_eq!(seen, 100);
    }
}
