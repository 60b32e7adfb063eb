//! How much of this server is in use, and what share of new requests a load balancer should send it.
//!
//! A pure state: samples and the time come in, two numbers go out. It must not know sockets or workers. Runs on the front's thread.
//!
//! *Busy* is the larger one of two shares: permits that requests hold, and processor time that the workers take of what they can take. The first
//! is the bound of applications that wait, the second that of applications that compute. Both are averages over about [`SPAN_MS`]. *Saturation*
//! is busy, and a whole more for each second that the oldest request has waited in the queue: it goes beyond 1 where one server is not enough, so
//! that an autoscaler sees how far beyond. The *weight* is the root of what is left, in percent: the root, because weights are whole numbers, and
//! near saturation two servers with 2 and 3 percent would be distinguished too coarsely.
//!
//! Weights of what is left find their balance below saturation wherever there is one: a server that gets too much says so and gets less. They
//! fall within a second and rise within ten: a server that has got rid of its backlog would else be given the next one, for ever.

/// How far back the averages reach. A load balancer asks every second or two.
const SPAN_MS: f64 = 1000.0;
/// Samples closer together than this would measure the clock.
const LEAST_MS: u64 = 20;
/// What an autoscaler multiplies by, at most.
const MOST: f64 = 10.0;
/// How quickly the weight rises; it falls within [`SPAN_MS`].
const RISE_MS: f64 = 10_000.0;
/// A request that has waited for so long halves the weight.
const HALVING_MS: f64 = 100.0;

/// What there is to see at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Permits of the workers that take requests.
    pub permits: usize,
    /// Requests that have one.
    pub running: usize,
    /// How long the oldest request has waited for one.
    pub queued_ms: u64,
    /// Processor time that the workers have taken since they began, in microseconds.
    pub computed_us: u64,
    /// Something that is another number when other workers are there.
    pub workers: u64,
}

#[derive(Debug)]
pub struct Saturation {
    /// Processors that the workers can use at most.
    processors: f64,
    last: Option<(u64, Sample)>,
    running: f64,
    computing: f64,
    queued_ms: u64,
    /// In percent, not rounded.
    weight: f64,
}

impl Saturation {
    /// Before the first sample. `processors`: how many the workers can use at most.
    pub fn new(processors: f64) -> Self {
        let processors = processors.max(0.01);
        Saturation { processors, last: None, running: 0.0, computing: 0.0, queued_ms: 0, weight: 100.0 }
    }

    /// Whether enough time has passed since the last sample.
    pub fn wants_sample(&self, now_ms: u64) -> bool {
        self.last.is_none_or(|(then, _)| now_ms >= then + LEAST_MS)
    }

    /// Takes in what is to be seen now.
    pub fn take(&mut self, now_ms: u64, sample: Sample) {
        let share = if sample.permits == 0 {
            // Nobody takes requests: there is no room at all.
            1.0
        } else {
            sample.running as f64 / sample.permits as f64
        };
        self.queued_ms = sample.queued_ms;
        match self.last.replace((now_ms, sample)) {
            // What was said while nobody was there says nothing of those who are.
            Some((then, before)) if before.permits > 0 => {
                let passed = now_ms.saturating_sub(then).max(1) as f64;
                let weight = 1.0 - (-passed / SPAN_MS).exp();
                self.running += (share - self.running) * weight;
                // A worker that comes has computed before, and one that ends takes its time with it.
                if sample.workers == before.workers {
                    let taken = sample.computed_us.saturating_sub(before.computed_us) as f64 / 1000.0;
                    self.computing += (taken / passed / self.processors - self.computing) * weight;
                }
                let wanted = self.wanted();
                let span = if wanted > self.weight { RISE_MS } else { SPAN_MS };
                self.weight += (wanted - self.weight) * (1.0 - (-passed / span).exp());
            }
            _ => {
                self.running = share;
                self.weight = self.wanted();
            }
        }
    }

    /// The share of this server that is in use, from 0 to 1.
    pub fn busy(&self) -> f64 {
        self.running.max(self.computing).clamp(0.0, 1.0)
    }

    pub fn value(&self) -> f64 {
        (self.busy() + self.queued_ms as f64 / 1000.0).min(MOST)
    }

    /// The share of new requests that should come here, in percent of that of an idle server; at least 1, or nothing would ever come again.
    pub fn weight(&self) -> u32 {
        (self.weight.round() as u32).clamp(1, 100)
    }

    fn wanted(&self) -> f64 {
        100.0 * (1.0 - self.busy()).sqrt() / (1.0 + self.queued_ms as f64 / HALVING_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(running: usize, computed_ms: u64) -> Sample {
        Sample { permits: 10, running, computed_us: computed_ms * 1000, ..Sample::default() }
    }

    /// Ten seconds of the same.
    fn settled(running: usize, share: f64, processors: f64) -> Saturation {
        let mut made = Saturation::new(processors);
        for ms in (0..=10_000).step_by(100) {
            made.take(ms, sample(running, (ms as f64 * share) as u64));
        }
        made
    }

    #[test]
    fn an_idle_server_gets_a_whole_share() {
        assert_eq!(Saturation::new(1.0).weight(), 100);
        let idle = settled(0, 0.0, 1.0);
        assert_eq!((idle.weight(), idle.value()), (100, 0.0));
    }

    #[test]
    fn permits_bound_what_waits_and_processors_what_computes() {
        assert_eq!(settled(8, 0.1, 1.0).weight(), 45);
        assert_eq!(settled(1, 0.9, 1.0).weight(), 32);
        // The same on a machine with room for two that compute.
        assert_eq!(settled(1, 0.9, 2.0).weight(), 74);
    }

    #[test]
    fn one_moment_says_little_and_a_second_says_most() {
        let mut made = settled(0, 0.0, 1.0);
        made.take(10_100, sample(10, 0));
        assert!(made.busy() < 0.1, "{}", made.busy());
        for ms in (10_200..=12_100).step_by(100) {
            made.take(ms, sample(10, 0));
        }
        assert!(made.busy() > 0.85, "{}", made.busy());
    }

    #[test]
    fn who_waits_in_the_queue_shows_how_far_beyond_it_is() {
        let mut made = settled(10, 0.0, 1.0);
        assert!((made.value() - 1.0).abs() < 0.01);
        made.take(10_100, Sample { queued_ms: 2000, ..sample(10, 0) });
        assert!((made.value() - 3.0).abs() < 0.01);
        made.take(10_200, Sample { queued_ms: 3_600_000, ..sample(10, 0) });
        assert_eq!((made.value(), made.weight()), (MOST, 1));
        // Half of what would be left.
        let mut half = settled(0, 0.0, 1.0);
        half.take(20_000, Sample { queued_ms: 100, ..sample(0, 0) });
        assert_eq!(half.weight(), 50);
        // It rises slowly.
        half.take(21_000, sample(0, 0));
        assert_eq!(half.weight(), 55);
    }

    #[test]
    fn workers_that_come_and_go_make_no_nonsense() {
        let mut made = settled(1, 0.5, 1.0);
        // All of its processor time has gone with it, and so have all permits.
        made.take(10_000, Sample::default());
        made.take(10_000, Sample::default());
        made.take(9_000, sample(500, u64::MAX / 2000));
        assert!((0.0..=1.0).contains(&made.busy()));
        assert!((1..=100).contains(&made.weight()));
        assert!(!made.wants_sample(9_010) && made.wants_sample(9_020));
    }

    #[test]
    fn a_start_is_no_load() {
        let mut made = Saturation::new(1.0);
        made.take(0, Sample::default());
        assert_eq!(made.weight(), 1);
        // It has computed for a while, when it was loaded.
        made.take(1000, Sample { workers: 1, ..sample(0, 900) });
        made.take(1100, Sample { workers: 1, ..sample(0, 900) });
        assert_eq!((made.weight(), made.value()), (100, 0.0));
    }

    /// Three servers, of which one has a third of the others' processors, under a load of 80 % of all: everybody stays below saturation. With
    /// equal shares the small one would have had to compute for 1.86 seconds in each.
    #[test]
    fn weights_find_a_balance_below_saturation() {
        let capacities = [1.0, 1.0, 1.0 / 3.0];
        let offered = 0.8 * capacities.iter().sum::<f64>();
        let mut servers = capacities.map(Saturation::new);
        let (mut computed_us, mut backlog, mut most) = ([0.0; 3], [0.0_f64; 3], 0.0_f64);
        let mut weights = [100; 3];
        for ms in (0..60_000_u64).step_by(100) {
            if ms % 1000 == 0 {
                weights = [0, 1, 2].map(|one: usize| servers[one].weight());
            }
            let sum: u32 = weights.iter().sum();
            for one in 0..3 {
                backlog[one] += 0.1 * offered * f64::from(weights[one]) / f64::from(sum);
                let done = backlog[one].min(0.1 * capacities[one]);
                backlog[one] -= done;
                computed_us[one] += done * 1e6;
                let queued_ms = (backlog[one] / capacities[one] * 1000.0) as u64;
                let computed_us = computed_us[one] as u64;
                servers[one].take(
                    ms,
                    Sample { permits: 500, running: 1, queued_ms, computed_us, ..Sample::default() },
                );
                if ms > 10_000 {
                    most = most.max(backlog[one] / capacities[one]);
                }
            }
        }
        assert!(most < 0.3, "a backlog of {most} s");
        assert!(weights[2] * 2 < weights[0], "{weights:?}");
    }
}
