//! Who has asked how often: a table of fixed size, whatever the number of clients.
//!
//! Owns the arithmetic and the bound. Knows neither paths nor addresses: a client is a key of bytes. Time comes in as an argument.
//! Runs on the front's thread.
//!
//! # The rule (GCRA, as of ITU-T I.371)
//! A client has one number: the time at which it would have used up nothing. Each request moves it on by the interval of the
//! rate; it may lie at most `burst` intervals ahead of now. So a rate costs eight bytes a client, refills steadily, and needs no
//! clean-up: a number in the past is the same as none.
//!
//! # The bound
//! Places are in groups of eight, chosen by a keyed hash. A ninth client of a group takes the place whose number is furthest in the
//! past, so a flood of addresses displaces those who ask least, and whoever is at its limit is displaced last. What a displaced
//! client has asked is forgotten, which errs on the client's side.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;

/// Places that are looked at for one client.
const GROUP: usize = 8;

/// A rate: `count` requests in `window_us` microseconds, and at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) window_us: u64,
    pub(crate) burst: u32,
}

impl Rate {
    fn interval_us(&self) -> u64 {
        (self.window_us / u64::from(self.count.max(1))).max(1)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may go on; so many more could follow at once.
    Allowed { remaining: u32, reset_us: u64 },
    /// It is too early by so much; so many could follow that cost less.
    Limited { remaining: u32, retry_us: u64, reset_us: u64 },
}

/// A client and a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(NonZeroU64);

#[derive(Clone, Copy, Default)]
struct Place {
    /// The client's hash; 0: free.
    key: u64,
    /// When nothing would be used up.
    clear_at_us: u64,
}

pub(crate) struct Table {
    places: Box<[[Place; GROUP]]>,
    hasher: RandomState,
    displaced: u64,
}

impl Table {
    /// Room for about so many clients; 16 bytes each.
    pub(crate) fn new(clients: usize) -> Self {
        let groups = clients.div_ceil(GROUP).next_power_of_two();
        Table {
            places: vec![[Place::default(); GROUP]; groups].into_boxed_slice(),
            hasher: RandomState::new(),
            displaced: 0,
        }
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.places)
    }

    /// Clients that were forgotten although they had used something up.
    #[cfg(test)]
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced
    }

    /// What stands for a client of a rule here.
    pub(crate) fn key(&self, rule: u16, client: &[u8]) -> Key {
        // 0 marks a free place.
        Key(NonZeroU64::new(self.hasher.hash_one((rule, client))).unwrap_or(NonZeroU64::MIN))
    }

    /// Counts `cost` requests of a client against a rate, or refuses them.
    pub(crate) fn spend(&mut self, key: Key, rate: &Rate, cost: u32, now_us: u64) -> Verdict {
        let interval = rate.interval_us();
        let most_ahead = interval.saturating_mul(u64::from(rate.burst.max(1)));
        let place = self.place(key.0.get(), now_us);
        let clear_at = place.clear_at_us.max(now_us);
        let after = clear_at.saturating_add(interval.saturating_mul(u64::from(cost)));
        let latest = now_us.saturating_add(most_ahead);
        let left = |used: u64| u32::try_from(latest.saturating_sub(used) / interval).unwrap_or(u32::MAX);
        let reset_us = clear_at - now_us;
        if after > latest {
            return Verdict::Limited { remaining: left(clear_at), retry_us: after - latest, reset_us };
        }
        place.clear_at_us = after;
        Verdict::Allowed { remaining: left(after), reset_us: after - now_us }
    }

    fn place(&mut self, key: u64, now_us: u64) -> &mut Place {
        let mask = self.places.len() - 1;
        let number = (key >> 32) as usize & mask;
        let group = &mut self.places[number];
        let known = group.iter().position(|place| place.key == key);
        let found = known.unwrap_or_else(|| {
            let least = (0..GROUP).min_by_key(|at| group[*at].clear_at_us).unwrap_or(0);
            if group[least].key != 0 && group[least].clear_at_us > now_us {
                self.displaced += 1;
            }
            group[least] = Place { key, clear_at_us: 0 };
            least
        });
        &mut group[found]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rate(count: u32, seconds: u64, burst: u32) -> Rate {
        Rate { count, window_us: seconds * SECOND, burst }
    }

    fn spend(table: &mut Table, rule: u16, client: &[u8], rate: &Rate, cost: u32, now_us: u64) -> Verdict {
        let key = table.key(rule, client);
        table.spend(key, rate, cost, now_us)
    }

    fn allowed(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Allowed { .. })
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut table = Table::new(64);
        let rate = rate(5, 60, 10);
        let now = 1000 * SECOND;
        for left in (0..10).rev() {
            let verdict = spend(&mut table, 0, b"a", &rate, 1, now);
            assert!(
                matches!(verdict, Verdict::Allowed { remaining, .. } if remaining == left),
                "{verdict:?}"
            );
        }
        assert_eq!(
            spend(&mut table, 0, b"a", &rate, 1, now),
            Verdict::Limited { remaining: 0, retry_us: 12 * SECOND, reset_us: 120 * SECOND }
        );
        // A refused one costs nothing, so waiting as long as the response says helps.
        assert!(!allowed(spend(&mut table, 0, b"a", &rate, 1, now + 12 * SECOND - 1)));
        assert!(allowed(spend(&mut table, 0, b"a", &rate, 1, now + 12 * SECOND)));
        assert!(!allowed(spend(&mut table, 0, b"a", &rate, 1, now + 13 * SECOND)));
        // Others, and other rules, have their own.
        assert!(
            allowed(spend(&mut table, 0, b"b", &rate, 1, now))
                && allowed(spend(&mut table, 1, b"a", &rate, 1, now))
        );
    }

    #[test]
    fn steady_clients_at_the_rate_are_never_refused() {
        let mut table = Table::new(64);
        let rate = rate(10, 1, 1);
        for step in 0..1000u64 {
            assert!(allowed(spend(&mut table, 0, b"a", &rate, 1, SECOND + step * SECOND / 10)), "{step}");
        }
    }

    #[test]
    fn a_request_can_cost_more() {
        let mut table = Table::new(64);
        let rate = rate(10, 10, 10);
        assert!(allowed(spend(&mut table, 0, b"a", &rate, 7, SECOND)));
        assert!(!allowed(spend(&mut table, 0, b"a", &rate, 4, SECOND)));
        assert!(allowed(spend(&mut table, 0, b"a", &rate, 3, SECOND)));
    }

    #[test]
    fn a_million_clients_take_no_more_room_and_do_not_free_the_one_at_its_limit() {
        let mut table = Table::new(10_000);
        let before = table.bytes();
        let strict = rate(1, 3600, 5);
        for _ in 0..5 {
            assert!(allowed(spend(&mut table, 0, b"attacker", &strict, 1, SECOND)));
        }
        for number in 0..1_000_000u32 {
            spend(&mut table, 0, &number.to_le_bytes(), &strict, 1, SECOND);
        }
        assert_eq!(table.bytes(), before);
        assert!(table.displaced() > 900_000);
        // Everybody else has used up less, so it has been displaced by nobody.
        assert!(!allowed(spend(&mut table, 0, b"attacker", &strict, 1, SECOND)));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut table = Table::new(1);
        let rate = Rate { count: u32::MAX, window_us: 1, burst: u32::MAX };
        spend(&mut table, 0, b"a", &rate, u32::MAX, u64::MAX);
        let slow = Rate { count: 1, window_us: u64::MAX, burst: u32::MAX };
        spend(&mut table, 0, b"b", &slow, u32::MAX, 0);
        spend(&mut table, 0, b"b", &slow, 1, u64::MAX);
        let none = Rate { count: 0, window_us: 0, burst: 0 };
        assert!(allowed(spend(&mut table, 0, b"c", &none, 1, 5)));
    }

    #[test]
    fn to_look_costs_nothing() {
        let mut table = Table::new(64);
        let rate = rate(10, 10, 10);
        let look = |table: &mut Table| spend(table, 0, b"a", &rate, 0, SECOND);
        for _ in 0..3 {
            assert_eq!(look(&mut table), Verdict::Allowed { remaining: 10, reset_us: 0 });
        }
        assert!(allowed(spend(&mut table, 0, b"a", &rate, 7, SECOND)));
        assert_eq!(look(&mut table), Verdict::Allowed { remaining: 3, reset_us: 7 * SECOND });
        // What is too much leaves what there is.
        let refused = Verdict::Limited { remaining: 3, retry_us: SECOND, reset_us: 7 * SECOND };
        assert_eq!(spend(&mut table, 0, b"a", &rate, 4, SECOND), refused);
        assert_eq!(look(&mut table), Verdict::Allowed { remaining: 3, reset_us: 7 * SECOND });
    }
}
