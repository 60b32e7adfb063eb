//! Requests of some paths: how many of them run at once, over all workers, and which go before others.
//!
//! # The rule
//! A request that a limit holds for (of several the one with the longest path) goes on like any other as long as fewer than
//! `count` of its kind are in slots or in the common queue. The others wait here, each kind in a queue with a bound and an age of
//! its own: so what is slow can neither take all threads nor fill the queue of the rest. How many run is counted anew from the
//! slots each time that it matters, so nothing can be lost of it.
//!
//! Owns the rules and these queues. Must not know workers or connections' states. Runs on the front's thread.

use std::collections::VecDeque;
use std::time::Duration;

use crate::edge::hosts::HostPattern;
use crate::ids::ExchangeId;
use crate::paths::lies_below;
use crate::scheduling::attachments::{LimitNumber, Waiting};

/// Which requests are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRule {
    /// Of this method; empty: of any.
    pub method: Vec<u8>,
    /// For these hosts.
    pub host: HostPattern,
    /// This path and all below.
    pub path: Vec<u8>,
}

impl PathRule {
    fn holds(&self, method: &[u8], host: &[u8], path: &[u8]) -> bool {
        (self.method.is_empty() || self.method == method)
            && lies_below(&self.path, path)
            && self.host.fits(host)
    }
}

/// One limit of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathLimit {
    /// For what.
    pub rule: PathRule,
    /// So many at once.
    pub count: usize,
    /// So many may wait.
    pub queue_length: usize,
    /// For so long.
    pub queue_time: Duration,
}

/// Whatever there is to say of a request by its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Which limit holds.
    pub limit: LimitNumber,
    /// It goes before others.
    pub is_first: bool,
}

#[derive(Debug, Default)]
pub struct PathLimits {
    /// Those that hold no more stay, so that numbers in slots keep their meaning: None instead of the limit.
    limits: Vec<(Option<PathLimit>, VecDeque<Waiting>)>,
    first: Vec<PathRule>,
    waiting: usize,
}

impl PathLimits {
    /// With these rules.
    pub fn new(limits: &[PathLimit], first: &[PathRule]) -> Self {
        let mut made = PathLimits::default();
        made.change(limits, first);
        made
    }

    /// Other rules hold from now on. What waits for one that holds no more goes on; of one that is for the same requests as before, what runs
    /// counts and what waits goes on waiting.
    pub fn change(&mut self, limits: &[PathLimit], first: &[PathRule]) {
        for (old, _) in &mut self.limits {
            if let Some(limit) = old {
                *old = limits.iter().find(|new| new.rule == limit.rule).cloned();
            }
        }
        for new in limits {
            if self.active().all(|old| old.rule != new.rule) {
                self.limits.push((Some(new.clone()), VecDeque::new()));
            }
        }
        self.first = first.to_vec();
    }

    fn active(&self) -> impl Iterator<Item = &PathLimit> {
        self.limits.iter().filter_map(|(limit, _)| limit.as_ref())
    }

    /// Whether there is no rule at all.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.limits.is_empty() && self.first.is_empty()
    }

    /// Whether some requests go before others.
    #[inline]
    pub fn has_first(&self) -> bool {
        !self.first.is_empty()
    }

    /// What holds for a request with this method and decoded path.
    pub fn class_of(&self, method: &[u8], host: &[u8], path: &[u8]) -> Class {
        let of_rule = |rule: &PathRule| (rule.path.len(), rule.host.rank(), !rule.method.is_empty());
        let limit = (self.limits.iter().zip(1..))
            .filter_map(|((limit, _), number)| Some((&limit.as_ref()?.rule, number)))
            .filter(|(rule, _)| rule.holds(method, host, path))
            .max_by_key(|(rule, _)| of_rule(rule))
            .map_or(0, |(_, number)| number);
        Class { limit, is_first: self.first.iter().any(|rule| rule.holds(method, host, path)) }
    }

    /// A limit that holds, and its queue.
    fn of(&mut self, number: LimitNumber) -> Option<(&PathLimit, &mut VecDeque<Waiting>)> {
        let (limit, queue) = self.limits.get_mut(usize::from(number).checked_sub(1)?)?;
        Some((limit.as_ref()?, queue))
    }

    /// Whether a request has to wait here when so many of its kind are on their way already.
    pub fn must_wait(&mut self, number: LimitNumber, running: usize) -> bool {
        self.of(number).is_some_and(|(limit, queue)| running >= limit.count || !queue.is_empty())
    }

    /// Whether one more may wait, and for how long; None: as many wait as may.
    pub fn room(&mut self, number: LimitNumber) -> Option<Duration> {
        let (limit, queue) = self.of(number)?;
        (queue.len() < limit.queue_length).then_some(limit.queue_time)
    }

    /// Puts a request at the end of its queue.
    pub fn wait(&mut self, number: LimitNumber, waiting: Waiting) {
        if let Some((_, queue)) = self.of(number) {
            queue.push_back(waiting);
            self.waiting += 1;
        } else {
            debug_assert!(false, "nobody waits for a limit that does not hold");
        }
    }

    /// How many wait, of all kinds.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The limits of which some wait, with how many may run at once: as many as there are of one that holds no more.
    pub fn with_waiting(&self) -> Vec<(LimitNumber, usize)> {
        (self.limits.iter().zip(1..))
            .filter(|((_, queue), _)| !queue.is_empty())
            .map(|((limit, _), number)| (number, limit.as_ref().map_or(usize::MAX, |limit| limit.count)))
            .collect()
    }

    /// Takes the first of a queue out.
    pub fn next(&mut self, number: LimitNumber) -> Option<Waiting> {
        let (_, queue) = self.limits.get_mut(usize::from(number).checked_sub(1)?)?;
        let found = queue.pop_front()?;
        self.waiting -= 1;
        Some(found)
    }

    /// Takes the request of an exchange out, whichever queue it is in.
    pub fn leave(&mut self, id: ExchangeId) -> Option<Waiting> {
        if self.waiting == 0 {
            return None;
        }
        let found = self.limits.iter_mut().find_map(|(_, queue)| {
            let index = queue.iter().position(|waiting| waiting.id == id)?;
            queue.remove(index)
        })?;
        self.waiting -= 1;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(method: &str, path: &str) -> PathLimit {
        let (host, path) = path.split_at(path.find('/').unwrap());
        let rule = PathRule { method: method.into(), host: HostPattern::new(host), path: path.into() };
        PathLimit { rule, count: 1, queue_length: 1, queue_time: Duration::from_secs(1) }
    }

    #[test]
    fn the_longest_path_holds_and_a_method_before_none() {
        let first = [PathRule { path: b"/health".to_vec(), ..PathRule::default() }];
        let limits = [
            limit("", "/"),
            limit("", "/export"),
            limit("POST", "/export"),
            limit("GET", "/export/small"),
            limit("", "a.example/"),
        ];
        let limits = PathLimits::new(&limits, &first);
        let number =
            |method: &str, path: &str| limits.class_of(method.as_bytes(), b"", path.as_bytes()).limit;
        assert_eq!(number("GET", "/"), 1);
        assert_eq!(number("GET", "/exports"), 1);
        assert_eq!(number("GET", "/export"), 2);
        assert_eq!(number("POST", "/export/x"), 3);
        assert_eq!(number("GET", "/export/small"), 4);
        assert_eq!(number("POST", "/export/small"), 3);
        assert_eq!(number("OPTIONS", "*"), 0);
        assert!(limits.class_of(b"GET", b"", b"/health").is_first);
        assert!(!limits.class_of(b"GET", b"", b"/healthy").is_first);
        assert_eq!(limits.class_of(b"GET", b"a.example", b"/").limit, 5);
        assert_eq!(limits.class_of(b"GET", b"a.example", b"/export").limit, 2);
    }

    #[test]
    fn numbers_keep_their_meaning_when_rules_change() {
        let mut limits = PathLimits::new(&[limit("", "/a"), limit("", "/b")], &[]);
        let number = |limits: &PathLimits, path: &str| limits.class_of(b"GET", b"", path.as_bytes()).limit;
        assert_eq!((number(&limits, "/a"), number(&limits, "/b")), (1, 2));
        limits.wait(
            1,
            Waiting {
                id: ExchangeId::nobody(),
                turn: 1,
                since_ms: 0,
                record: Vec::new(),
                attachments: Default::default(),
            },
        );
        limits.change(&[limit("", "/c"), PathLimit { count: 7, ..limit("", "/b") }], &[]);
        assert_eq!((number(&limits, "/a"), number(&limits, "/b"), number(&limits, "/c")), (0, 2, 3));
        assert!(limits.must_wait(2, 7) && !limits.must_wait(2, 6));
        // What waited for the one that is gone goes on.
        assert_eq!(limits.with_waiting(), [(1, usize::MAX)]);
        assert!(limits.next(1).is_some() && limits.waiting() == 0);
    }
}
