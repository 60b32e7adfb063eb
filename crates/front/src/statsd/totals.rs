//! What is known of the requests since the last report: counts, which are exact, and durations, of which a bounded number is kept.
//!
//! Pure.

/// Durations kept of one report. More would only make more packets: at so many a second no percentile of a minute is in doubt.
pub const MOST_SAMPLES: usize = 256;
/// One more than the highest status.
const STATUSES: usize = 1000;

/// The times of one request, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// From its head to the end of the response.
    pub duration_us: u64,
    /// Waiting for a thread; None where no thread was to answer it.
    pub queue_us: Option<u64>,
}

#[derive(Debug)]
pub struct Totals {
    requests: u64,
    statuses: Box<[u32]>,
    /// Requests with a response.
    responded: u64,
    samples: Vec<Sample>,
    random: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            requests: 0,
            statuses: vec![0; STATUSES].into(),
            responded: 0,
            samples: Vec::with_capacity(MOST_SAMPLES),
            // Any number but 0. Nobody gains by foreseeing which durations are kept.
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }
}

impl Totals {
    /// A request has ended; status 0 is one without a response.
    #[inline]
    pub fn add(&mut self, status: u16, sample: Sample) {
        self.requests += 1;
        let Some(count) = self.statuses.get_mut(usize::from(status)).filter(|_| status > 0) else { return };
        *count += 1;
        self.responded += 1;
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push(sample);
            return;
        }
        // Each of the n requests so far is among the kept k with the same chance: the n-th enters with k/n, and takes the place of any.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let place = (u128::from(self.random) * u128::from(self.responded)) >> 64;
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.samples.get_mut(place)) {
            *kept = sample;
        }
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Every status that was sent, and how often.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u32)> {
        self.statuses
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(at, count)| (at as u16, *count))
    }

    /// The durations that were kept.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Which part of all durations they are; None where they are all.
    pub fn rate(&self) -> Option<f64> {
        let kept = self.samples.len() as u64;
        (kept < self.responded).then(|| kept as f64 / self.responded as f64)
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.requests = 0;
        self.responded = 0;
        self.statuses.fill(0);
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(duration_us: u64) -> Sample {
        Sample { duration_us, queue_us: None }
    }

    #[test]
    fn a_few_are_all_kept() {
        let mut totals = Totals::default();
        totals.add(200, sample(1));
        totals.add(200, sample(2));
        totals.add(503, sample(3));
        totals.add(0, sample(4));
        assert_eq!(totals.requests(), 4);
        assert_eq!(totals.statuses().collect::<Vec<_>>(), [(200, 2), (503, 1)]);
        assert_eq!(totals.samples(), [sample(1), sample(2), sample(3)]);
        assert_eq!(totals.rate(), None);
        totals.clear();
        assert_eq!((totals.requests(), totals.statuses().count(), totals.samples().len()), (0, 0, 0));
    }

    #[test]
    fn of_many_a_fair_part_is_kept() {
        const ALL: u64 = 100_000;
        let mut totals = Totals::default();
        for duration in 0..ALL {
            totals.add(200, sample(duration));
        }
        assert_eq!(totals.samples().len(), MOST_SAMPLES);
        let rate = totals.rate().unwrap();
        assert!((MOST_SAMPLES as f64 / rate - ALL as f64).abs() < 1e-6, "{rate}");
        // The mean of 256 evenly spread numbers deviates by 1.8 % of the range; four times that is never seen of a fair choice.
        let mean = totals.samples().iter().map(|one| one.duration_us).sum::<u64>() / MOST_SAMPLES as u64;
        assert!((ALL * 43 / 100..ALL * 57 / 100).contains(&mean), "{mean}");
    }

    #[test]
    fn a_status_that_is_none_counts_as_a_request() {
        let mut totals = Totals::default();
        totals.add(u16::MAX, sample(1));
        assert_eq!((totals.requests(), totals.statuses().count()), (1, 0));
    }
}
