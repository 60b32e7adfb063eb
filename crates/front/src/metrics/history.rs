//! What a server did during the last hour: a point every ten seconds, for the plots of the page. Pure.
//!
//! No timer wakes the front for it. A turn that comes after some time adds the points that are missing: nothing has ended meanwhile.

use std::collections::VecDeque;

use crate::metrics::histogram::{BOUNDS_US, Histogram};
use crate::metrics::json::Json;

/// Between two points.
pub const STEP_MS: u64 = 10_000;
/// An hour of them: 23 kB.
pub const MOST_POINTS: usize = 360;

/// What is there at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Requests that wait in the front.
    pub queued: usize,
    /// Requests in workers.
    pub running: usize,
    /// Connections that are open.
    pub connections: usize,
    /// Workers that live.
    pub workers: usize,
}

/// What has been counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Responses with a status of 5xx.
    pub errors: u64,
    /// The times of all requests.
    pub duration: Histogram,
}

/// Ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them with a status of 5xx.
    pub errors: u64,
    /// Below which half of their times were, and 99 of a hundred; 0 without any.
    pub p50_us: u64,
    /// See `p50_us`.
    pub p99_us: u64,
    /// At the end of them.
    pub levels: Levels,
}

#[derive(Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
    /// The steps that are over.
    steps: u64,
    before: Totals,
}

impl History {
    /// Whether a step has ended that has no point yet.
    #[inline]
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= (self.steps + 1) * STEP_MS
    }

    /// Adds the points that are missing. Everything counted in `now` had ended before the turn that calls this.
    pub fn add(&mut self, now_ms: u64, now: Totals, levels: Levels) {
        let missing = (now_ms / STEP_MS).saturating_sub(self.steps);
        if missing == 0 {
            return;
        }
        self.steps += missing;
        let pairs = now.duration.counts.iter().zip(self.before.duration.counts);
        let counts: Vec<u64> = pairs.map(|(now, before)| now.wrapping_sub(before)).collect();
        self.put(Point {
            requests: counts.iter().sum(),
            errors: now.errors.wrapping_sub(self.before.errors),
            p50_us: quantile_us(&counts, 50),
            p99_us: quantile_us(&counts, 99),
            levels,
        });
        // More would push each other out.
        for _ in 1..missing.min(MOST_POINTS as u64 + 1) {
            self.put(Point { levels, ..Point::default() });
        }
        self.before = now;
    }

    fn put(&mut self, point: Point) {
        if self.points.len() == MOST_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// As JSON: a list for each point, in the order of [`Point`]'s and [`Levels`]' fields.
    pub fn tell(&self, json: &mut Json) {
        json.open('{').name("step_seconds").value(STEP_MS / 1000);
        json.name("until_uptime_seconds").value(self.steps * STEP_MS / 1000);
        json.name("points").open('[');
        for point in &self.points {
            let Point { requests, errors, p50_us, p99_us, levels } = point;
            json.open('[').value(requests).value(errors).value(p50_us).value(p99_us);
            json.value(levels.queued).value(levels.running).value(levels.connections).value(levels.workers);
            json.close(']');
        }
        json.close(']').close('}');
    }
}

/// Below which so many percent of the times were, within a bucket as if they were evenly spread; 0 without any.
fn quantile_us(counts: &[u64], percent: u64) -> u64 {
    let total: u64 = counts.iter().sum();
    let wanted = (total * percent).div_ceil(100);
    let mut below = 0;
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        if below + count >= wanted {
            let low = at.checked_sub(1).and_then(|at| BOUNDS_US.get(at)).copied().unwrap_or(0);
            // What is longer than the last bound counts as that.
            let high = BOUNDS_US.get(at).copied().unwrap_or(low);
            return low + (high - low) * (wanted - below) / count;
        }
        below += count;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(times_us: &[u64], errors: u64) -> Totals {
        let mut duration = Histogram::default();
        times_us.iter().for_each(|us| duration.add(*us));
        Totals { errors, duration }
    }

    #[test]
    fn a_point_is_what_ended_since_the_last_one() {
        let mut history = History::default();
        assert!(!history.is_due(STEP_MS - 1) && history.is_due(STEP_MS));
        let levels = Levels { running: 3, ..Levels::default() };
        history.add(STEP_MS, totals(&[200, 200], 1), levels);
        assert!(!history.is_due(STEP_MS + 5));
        history.add(STEP_MS + 5, totals(&[200, 200, 7], 1), levels);
        history.add(2 * STEP_MS, totals(&[200, 200, 900, 90_000_000], 1), Levels::default());
        let points: Vec<_> = history.points.iter().copied().collect();
        assert_eq!(points[0], Point { requests: 2, errors: 1, p50_us: 125, p99_us: 250, levels });
        let second = Point { requests: 2, p50_us: 1000, p99_us: 60_000_000, ..Point::default() };
        assert_eq!(points[1], second);
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn while_the_front_slept_nothing_ended() {
        let mut history = History::default();
        let levels = Levels { connections: 9, ..Levels::default() };
        history.add(3 * STEP_MS + 1, totals(&[1], 0), levels);
        let requests: Vec<_> = history.points.iter().map(|point| point.requests).collect();
        assert_eq!(requests, [1, 0, 0]);
        assert!(history.points.iter().all(|point| point.levels == levels));
        // A clock that stands still, or a machine that slept for years.
        history.add(3 * STEP_MS + 1, totals(&[1], 0), levels);
        assert_eq!(history.points.len(), 3);
        history.add(u64::MAX / 2, totals(&[1, 1], 0), levels);
        assert_eq!(history.points.len(), MOST_POINTS);
        assert_eq!(history.points.iter().map(|point| point.requests).sum::<u64>(), 0);
    }

    #[test]
    fn a_week_takes_no_more_than_an_hour() {
        let mut history = History::default();
        let mut seen = totals(&[], 0);
        let mut now_ms = 0;
        let mut after_an_hour = 0;
        while now_ms < 7 * 24 * 3600 * 1000 {
            now_ms += STEP_MS;
            seen.duration.add(now_ms);
            history.add(now_ms, seen.clone(), Levels::default());
            if now_ms == 3600 * 1000 {
                after_an_hour = history.points.capacity();
            }
        }
        assert_eq!((history.points.len(), history.points.capacity()), (MOST_POINTS, after_an_hour));
        assert!(history.points.iter().all(|point| point.requests == 1));
        assert!(after_an_hour * size_of::<Point>() < 64 * 1024);
        let mut json = Json::default();
        history.tell(&mut json);
        let text = json.into_text();
        assert!(
            text.starts_with(r#"{"step_seconds":10,"until_uptime_seconds":604800,"points":[[1,0,"#),
            "{text}"
        );
    }
}
