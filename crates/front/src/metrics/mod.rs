//! What is counted of each request where there is an admin listener: plain integers of the front's thread, and no lock.
//!
//! `histogram` has the buckets, `history` the last hour, `json` writes everything down for whoever asks. What a request brings along is a [`Metered`] in its
//! exchange. Knows neither HTTP nor workers; how names and units are called is Python's (`pelton.observe.metrics`).

pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod json;

use std::collections::HashMap;

use crate::metrics::histogram::Histogram;
use crate::metrics::history::{History, Levels, Totals};

/// Methods that are counted apart; all others are the last one.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
/// Routes that are counted apart: so many histograms are a quarter of a megabyte, and all that a reader of metrics should be given.
pub const MOST_ROUTES: usize = 1000;
/// Classes of the status: 0 for a client that had gone before there was one.
pub const CLASSES: usize = 6;

/// The number of a method in [`METHODS`].
#[inline]
pub fn method_number(method: &[u8]) -> u8 {
    if method == b"GET" { 0 } else { other_method_number(method) }
}

fn other_method_number(method: &[u8]) -> u8 {
    match method {
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
    /// How long it had been with a trusted proxy before, as that says.
    pub proxied_ms: u64,
    /// See [`method_number`].
    pub method: u8,
    /// Which of the meter's routes, counted from one; 0 for none.
    pub route: u16,
}

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
    /// Routes that have answered; the last one stands for all beyond the bound.
    pub routes: Vec<Route>,
    /// The last hour.
    pub history: History,
    numbers: HashMap<Box<[u8]>, u16>,
    name: Vec<u8>,
}

/// Requests of one route.
#[derive(Debug)]
pub struct Route {
    /// Method and pattern.
    pub name: Box<[u8]>,
    /// From the head of the request to the end of the response.
    pub duration: Histogram,
    /// Responses with a status of 5xx.
    pub errors: u64,
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
        let took_us = now_us.saturating_sub(request.began_us);
        self.duration.add(took_us);
        if let Some(route) = usize::from(request.route).checked_sub(1).and_then(|at| self.routes.get_mut(at))
        {
            route.duration.add(took_us);
            route.errors += u64::from(class == 5);
        }
    }

    /// A step of the history is over.
    #[cold]
    pub fn keep_history(&mut self, now_ms: u64, levels: Levels) {
        let errors = self.requests.iter().map(|classes| classes[5]).sum();
        self.history.add(now_ms, Totals { errors, duration: self.duration.clone() }, levels);
    }

    /// The number of a route, as its worker names it: a method and a pattern are looked up, and kept while there is room.
    pub fn route(&mut self, method: u8, pattern: &[u8]) -> u16 {
        self.name.clear();
        self.name.extend_from_slice(METHODS.get(usize::from(method)).unwrap_or(&"other").as_bytes());
        self.name.push(b' ');
        self.name.extend_from_slice(pattern);
        if let Some(number) = self.numbers.get(&*self.name) {
            return *number;
        }
        if self.routes.len() > MOST_ROUTES {
            return self.routes.len() as u16;
        }
        let is_last = self.routes.len() == MOST_ROUTES;
        let name: Box<[u8]> = if is_last { b"other"[..].into() } else { self.name[..].into() };
        self.routes.push(Route { name: name.clone(), duration: Histogram::default(), errors: 0 });
        let number = self.routes.len() as u16;
        self.numbers.insert(name, number);
        number
    }

    /// It got a thread at `started_ms`, by the clock that workers share.
    #[inline]
    pub fn started(&mut self, request: &Metered, started_ms: u64) {
        let waited_ms = started_ms.saturating_sub(request.complete_coarse_ms) + request.proxied_ms;
        if waited_ms == 0 {
            // Most of them.
            return self.queue.add_none();
        }
        self.queue.add(waited_ms * 1000);
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
    fn routes_are_counted_apart_up_to_a_bound() {
        let mut meter = Meter::default();
        for number in 0..10_000_u32 {
            let pattern = format!("/route-{number}");
            let route = meter.route(0, pattern.as_bytes());
            assert_eq!(usize::from(route), (number as usize + 1).min(MOST_ROUTES + 1));
            meter.end(Metered { began_us: 1, status: 500, route, ..Metered::default() }, 2, 0);
        }
        assert_eq!(meter.route(0, b"/route-7"), 8);
        assert_ne!(meter.route(2, b"/route-7"), 8);
        assert_eq!((meter.routes.len(), meter.numbers.len()), (MOST_ROUTES + 1, MOST_ROUTES + 1));
        let last = meter.routes.last().unwrap();
        assert_eq!((&*last.name, last.errors), (&b"other"[..], 9000));
        assert_eq!(&*meter.routes[7].name, b"GET /route-7");
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
