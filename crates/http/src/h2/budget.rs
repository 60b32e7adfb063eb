//! How often something may happen: so much per second, and some seconds' worth of it at once.

use super::bounds::BURST;

/// Thousandths, so that a slow rate gains something in a millisecond.
const UNIT: u64 = 1000;

/// A bucket that fills with time.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
    most: u64,
    per_second: u64,
    since_ms: u64,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(per_second: u32, now_ms: u64) -> Self {
        let most = u64::from(per_second) * u64::from(BURST) * UNIT;
        Budget { left: most, most, per_second: u64::from(per_second), since_ms: now_ms }
    }

    /// Takes one; false if there is none.
    #[inline]
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        match self.left.checked_sub(UNIT) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// How many there are.
    pub(crate) fn count(&mut self, now_ms: u64) -> usize {
        self.fill(now_ms);
        usize::try_from(self.left / UNIT).unwrap_or(usize::MAX)
    }

    /// Takes so many, or all that there are.
    pub(crate) fn spend(&mut self, count: usize) {
        self.left = self.left.saturating_sub((count as u64).saturating_mul(UNIT));
    }

    #[inline]
    fn fill(&mut self, now_ms: u64) {
        let elapsed = now_ms.saturating_sub(self.since_ms);
        if elapsed > 0 {
            self.since_ms = now_ms;
            self.left = self.most.min(self.left.saturating_add(elapsed.saturating_mul(self.per_second)));
        }
    }

    /// Something useful was done: `count` more are allowed.
    #[inline]
    pub(crate) fn earn(&mut self, count: usize) {
        self.left = self.most.min(self.left.saturating_add(count as u64 * UNIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_then_by_the_second() {
        let mut budget = Budget::new(10, 5_000);
        let count = |budget: &mut Budget, now| (0..1000).take_while(|_| budget.take(now)).count();
        assert_eq!(count(&mut budget, 5_000), 30);
        assert_eq!(count(&mut budget, 5_050), 0);
        assert_eq!(count(&mut budget, 5_100), 1);
        assert_eq!(count(&mut budget, 4_000), 0);
        budget.earn(2);
        assert_eq!(count(&mut budget, 5_100), 2);
        assert_eq!(budget.count(1_000_000), 30);
        budget.spend(25);
        assert_eq!((budget.count(1_000_000), count(&mut budget, 1_000_100)), (5, 6));
        budget.spend(7);
        assert_eq!(budget.count(1_000_100), 0);
    }
}
