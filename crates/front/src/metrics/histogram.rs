//! How many of each length of time. Pure.

/// Upper ends of the buckets in microseconds; there is one more, for what is longer.
pub const BOUNDS_US: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// The first bucket that a number with so many bits may belong to.
const FIRST: [u8; 65] = first_buckets();

const fn first_buckets() -> [u8; 65] {
    let mut table = [0; 65];
    let mut bits = 0;
    while bits < 65 {
        // The least number with so many bits.
        let least = if bits == 0 { 0 } else { 1_u64 << (bits - 1) };
        let mut bucket = 0;
        while bucket < BOUNDS_US.len() && BOUNDS_US[bucket] < least {
            bucket += 1;
        }
        table[bits] = bucket as u8;
        bits += 1;
    }
    table
}

#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// How many in each bucket; not summed up.
    pub counts: [u64; BUCKETS],
    /// The sum of all times.
    pub sum_us: u64,
}

impl Histogram {
    /// One more that took no time.
    #[inline]
    pub fn add_none(&mut self) {
        self.counts[0] += 1;
    }

    /// One more.
    #[inline]
    pub fn add(&mut self, us: u64) {
        let mut bucket = usize::from(FIRST[64 - us.leading_zeros() as usize]);
        // At most two of the bounds have the same number of bits.
        while BOUNDS_US.get(bucket).is_some_and(|bound| *bound < us) {
            bucket += 1;
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.wrapping_add(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_does_not_exceed() {
        let around = BOUNDS_US.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for us in around.chain([0, 1, u64::MAX]) {
            let mut histogram = Histogram::default();
            histogram.add(us);
            let expected = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
            assert_eq!(histogram.counts.iter().position(|count| *count == 1), Some(expected), "{us}");
            assert_eq!(histogram.counts.iter().sum::<u64>(), 1);
        }
    }
}
