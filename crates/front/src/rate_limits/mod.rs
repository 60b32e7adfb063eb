//! How often a client may ask: limits of rate, kept for all workers in one place.
//!
//! Owns the rules and who counts as one client. The arithmetic and the bound are in `table`. Runs on the front's thread.

use std::net::IpAddr;

use crate::edge::hosts::HostPattern;
use crate::edge::normal;
use crate::paths::lies_below;
use crate::rate_limits::table::{Key, Rate, Table, Verdict};
use crate::transport::peer::Peer;

pub(crate) mod spending;
pub(crate) mod table;

/// Clients that are kept apart. 16 bytes each.
const CLIENTS: usize = 65_536;

/// One rule of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// It holds for these hosts …
    pub host: HostPattern,
    /// … this path and all below.
    pub path: Vec<u8>,
    /// So many requests …
    pub count: u32,
    /// … in so many microseconds.
    pub window_us: u64,
    /// So many at once.
    pub burst: u32,
    /// A field that tells clients apart; empty: their address does.
    pub field: Vec<u8>,
}

impl RateRule {
    fn rate(&self) -> Rate {
        Rate { count: self.count, window_us: self.window_us, burst: self.burst }
    }
}

/// Whose request it was and which rule held, for spending more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spender {
    rule: u16,
    key: Key,
}

pub(crate) struct RateLimits {
    /// With the number by which clients' accounts know each.
    rules: Vec<(u16, RateRule)>,
    table: Option<Table>,
    numbers: u16,
}

impl RateLimits {
    pub(crate) fn new(rules: &[RateRule]) -> Self {
        let mut made = RateLimits { rules: Vec::new(), table: None, numbers: 0 };
        made.change(rules);
        made
    }

    /// Other rules hold from now on. Who has spent of one that is for the same requests goes on from there.
    pub(crate) fn change(&mut self, rules: &[RateRule]) {
        let mut changed = Vec::with_capacity(rules.len());
        for rule in rules {
            let is_same =
                |old: &RateRule| (&old.host, &old.path, &old.field) == (&rule.host, &rule.path, &rule.field);
            let number = self.rules.iter().find(|(_, old)| is_same(old)).map(|(number, _)| *number);
            let number = number.unwrap_or_else(|| {
                // Around again after 65,536 changes: then a client may find what somebody has spent long ago.
                self.numbers = self.numbers.wrapping_add(1);
                self.numbers
            });
            changed.push((number, rule.clone()));
        }
        self.rules = changed;
        self.table = self.table.take().or_else(|| Some(Table::new(CLIENTS))).filter(|_| !rules.is_empty());
    }

    /// Counts a request; None where no rule holds for it, or its client cannot be distinguished from others. `field` finds a field's value.
    pub(crate) fn spend<'f>(
        &mut self,
        (host, path): (&[u8], &[u8]),
        client: &Peer,
        field: impl Fn(&[u8]) -> Option<&'f [u8]>,
        now_us: u64,
    ) -> Option<(Spender, &RateRule, Verdict)> {
        if self.rules.is_empty() {
            return None;
        }
        let path = normal(path);
        let (number, rule) = (self.rules.iter())
            .filter(|(_, rule)| lies_below(&rule.path, &path) && rule.host.fits(host))
            .max_by_key(|(_, rule)| (rule.path.len(), rule.host.rank()))?;
        let named = if rule.field.is_empty() { None } else { field(&rule.field) };
        let mut address = [0; 16];
        let key = match named {
            Some(value) => value,
            None => address_of(client, &mut address)?,
        };
        let table = self.table.as_mut()?;
        let spender = Spender { rule: *number, key: table.key(*number, key) };
        let verdict = table.spend(spender.key, &rule.rate(), 1, now_us);
        Some((spender, rule, verdict))
    }

    /// Counts `cost` more; with 0 only looks.
    pub(crate) fn spend_more(
        &mut self,
        spender: Spender,
        cost: u32,
        now_us: u64,
    ) -> Option<(&RateRule, Verdict)> {
        let (_, rule) = self.rules.iter().find(|(number, _)| *number == spender.rule)?;
        Some((rule, self.table.as_mut()?.spend(spender.key, &rule.rate(), cost, now_us)))
    }
}

/// What of an address names one client. Of IPv6 it is the network of 64 bits: whoever has one address there has all of them.
fn address_of<'b>(client: &Peer, into: &'b mut [u8; 16]) -> Option<&'b [u8]> {
    let (ip, _) = client.address?;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            into[..4].copy_from_slice(&ip.octets());
            into.get(..4)
        }
        IpAddr::V6(ip) => {
            *into = ip.octets();
            into.get(..8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, count: u32, field: &str) -> RateRule {
        let (host, path) = path.split_at(path.find('/').unwrap());
        RateRule {
            host: HostPattern::new(host),
            path: path.as_bytes().to_vec(),
            count,
            window_us: 60_000_000,
            burst: count,
            field: field.as_bytes().to_vec(),
        }
    }

    fn ask(limits: &mut RateLimits, path: &str, client: &str, key: Option<&'static str>) -> Option<bool> {
        let peer = client.parse().map_or(Peer::unknown(), |ip| Peer::named(ip, 1));
        let (host, path) = path.split_at(path.find('/').unwrap());
        let found = limits.spend((host.as_bytes(), path.as_bytes()), &peer, |_| key.map(str::as_bytes), 1);
        found.map(|(_, _, verdict)| matches!(verdict, Verdict::Allowed { .. }))
    }

    #[test]
    fn the_longest_path_counts_and_others_are_free() {
        let mut limits = RateLimits::new(&[rule("/", 3, ""), rule("/login", 1, "")]);
        assert_eq!(ask(&mut limits, "/login", "10.0.0.1", None), Some(true));
        for other in ["/%6cogin", "//login", "/./login", "/x/../login", "/login//"] {
            assert_eq!(ask(&mut limits, other, "10.0.0.1", None), Some(false), "{other}");
        }
        assert_eq!(ask(&mut limits, "/logins", "10.0.0.1", None), Some(true));
        let mut limits = RateLimits::new(&[rule("/login", 1, "")]);
        assert_eq!(ask(&mut limits, "/logins", "10.0.0.1", None), None);
    }

    #[test]
    fn a_rule_for_a_host_before_one_for_any_where_the_path_is_the_same() {
        let mut limits =
            RateLimits::new(&[rule("/", 3, ""), rule("api.example/", 1, ""), rule("/login", 1, "")]);
        assert_eq!(ask(&mut limits, "api.example:8000/a", "10.0.0.1", None), Some(true));
        assert_eq!(ask(&mut limits, "api.example/b", "10.0.0.1", None), Some(false));
        assert_eq!(ask(&mut limits, "www.example/b", "10.0.0.1", None), Some(true));
        // The longest path counts, whatever the host.
        assert_eq!(ask(&mut limits, "api.example/login", "10.0.0.1", None), Some(true));
        assert_eq!(ask(&mut limits, "www.example/login", "10.0.0.1", None), Some(false));
    }

    #[test]
    fn rules_change_and_accounts_stay_with_those_that_are_for_the_same() {
        let mut limits = RateLimits::new(&[rule("/a", 2, ""), rule("/b", 1, "")]);
        assert_eq!(ask(&mut limits, "/b", "10.0.0.1", None), Some(true));
        // Another order, another number.
        limits.change(&[rule("/c", 1, ""), rule("/b", 1, ""), rule("/a", 1, "")]);
        assert_eq!(ask(&mut limits, "/b", "10.0.0.1", None), Some(false));
        assert_eq!(ask(&mut limits, "/c", "10.0.0.1", None), Some(true));
        limits.change(&[]);
        assert_eq!(ask(&mut limits, "/b", "10.0.0.1", None), None);
        limits.change(&[rule("/b", 1, "")]);
        assert_eq!(ask(&mut limits, "/b", "10.0.0.1", None), Some(true));
    }

    #[test]
    fn who_is_one_client() {
        let mut limits = RateLimits::new(&[rule("/", 1, "")]);
        for (client, allowed) in [
            ("10.0.0.1", Some(true)),
            ("::ffff:10.0.0.1", Some(false)),
            ("10.0.0.2", Some(true)),
            ("2001:db8:1:2:3::4", Some(true)),
            ("2001:db8:1:2:ffff::1", Some(false)),
            ("2001:db8:1:3::1", Some(true)),
            ("a unix socket", None),
        ] {
            assert_eq!(ask(&mut limits, "/", client, None), allowed, "{client}");
        }
    }

    #[test]
    fn a_field_tells_clients_apart_where_it_is_there() {
        let mut limits = RateLimits::new(&[rule("/", 1, "x-api-key")]);
        assert_eq!(ask(&mut limits, "/", "10.0.0.1", Some("a")), Some(true));
        assert_eq!(ask(&mut limits, "/", "10.0.0.2", Some("a")), Some(false));
        assert_eq!(ask(&mut limits, "/", "10.0.0.1", Some("b")), Some(true));
        assert_eq!(ask(&mut limits, "/", "10.0.0.1", None), Some(true));
    }
}
