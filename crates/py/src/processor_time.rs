//! How much the serving threads compute. Any thread.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pelton_link::Scheduler;

/// The serving threads' processor time.
#[derive(Default)]
pub(crate) struct ProcessorTime(Mutex<Clocks>);

/// Of each seat when last looked at, and all of it.
#[derive(Default)]
struct Clocks {
    seen: Vec<Duration>,
    sum: Duration,
}

impl ProcessorTime {
    /// Seconds that the serving threads have used, those that have ended included, as far as it was looked at.
    pub(crate) fn computed(&self, scheduler: &Scheduler) -> f64 {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Clocks { seen, sum } = &mut *clocks;
        scheduler.processor_times(|number, time| {
            if seen.len() <= number {
                seen.resize(number + 1, Duration::ZERO);
            }
            if let Some(before) = seen.get_mut(number) {
                // Another thread has the seat where it is less.
                *sum += time.checked_sub(*before).unwrap_or(time);
                *before = time;
            }
        });
        sum.as_secs_f64()
    }
}
