//! What is counted of each request where there is an admin listener: plain integers of the front's thread, and no lock.
//!
//! `histogram` has the buckets, `json` writes everything down for whoever asks. What a request brings along is a [`Metered`] in its
//! exchange. Knows neither HTTP nor workers; how names and units are called is Python's (`pelton.observe.metrics`).

pub(crate) mod histogram;
pub(crate) mod json;

use crate::metrics::histogram::Histogram;

/// Methods that are counted apart; all others are the last one.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
/// Classes of the status: 0 for a client that had gone before there was one.
pub const CLASSES: usize = 6;

/// The number of a method in [`METHODS`].
#[inline]
pub fn method_number(method: &[u8]) -> u8 {
    match method {
        b"GET" => 0,
        b"HEAD" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"PATCH" => 4,
        b"DELETE" => 5,
        b"OPTIONS" => 6,
        _ => 7,
    }
}

/// What is known of one request until it has ended. All 0 where nothing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// When its head was there, by the front's clock; 0: it is not counted.
    pub began_us: u64,
    /// When it was handed on, by the clock that workers share.
    pub complete_coarse_ms: u64,
    /// The status that was sent; 0 for none.
    pub status: u16,
    /// See [`method_number`].
    pub method: u8,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Meter {
    /// Requests that have ended, by method and class of status.
    pub requests: [[u64; CLASSES]; METHODS.len()],
    /// From the head of the request to the end of the response.
    pub duration: Histogram,
    /// Waiting for a thread.
    pub queue: Histogram,
    /// Bytes of responses' bodies.
    pub response_bytes: u64,
}

impl Meter {
    /// A request has ended.
    #[inline]
    pub fn end(&mut self, request: Metered, now_us: u64, bytes: u64) {
        let class = usize::from(request.status / 100);
        let counts = self.requests.get_mut(usize::from(request.method));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(class)) {
            *count += 1;
        }
        self.response_bytes += bytes;
        self.duration.add(now_us.saturating_sub(request.began_us));
    }

    /// It got a thread at `started_ms`, by the clock that workers share.
    #[inline]
    pub fn started(&mut self, request: &Metered, started_ms: u64) {
        self.queue.add(started_ms.saturating_sub(request.complete_coarse_ms) * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_method_and_class() {
        let mut meter = Meter::default();
        for (method, status) in [(b"GET", 200), (b"GET", 204), (b"PUT", 503), (b"FOO", 0)] {
            let request =
                Metered { began_us: 10, method: method_number(method), status, ..Metered::default() };
            meter.end(request, 2010, 7);
        }
        let counted: Vec<_> = (METHODS.iter().zip(&meter.requests))
            .flat_map(|(name, counts)| {
                counts.iter().enumerate().map(move |(class, count)| (*name, class, *count))
            })
            .filter(|(_, _, count)| *count > 0)
            .collect();
        assert_eq!(counted, [("GET", 2, 2), ("PUT", 5, 1), ("other", 0, 1)]);
        assert_eq!((meter.response_bytes, meter.duration.sum_us), (28, 8000));
    }

    #[test]
    fn a_status_that_is_none_is_no_fault() {
        let mut meter = Meter::default();
        meter.end(Metered { began_us: 1, status: 999, method: 200, ..Metered::default() }, 2, 0);
        assert_eq!(meter.requests.iter().flatten().sum::<u64>(), 0);
        let request = Metered { complete_coarse_ms: 50, ..Metered::default() };
        meter.started(&request, 40);
        meter.started(&request, 75);
        assert_eq!(meter.queue.sum_us, 25_000);
    }
}
