//! What an application spends of its client's rate. Runs on the front's thread.

use pelton_link::Spent;

use crate::rate_limits::table::Verdict;
use crate::rate_limits::{RateLimits, Spender};

/// Counts what an application spends of its client's rate; nothing is allowed to a client without one.
pub(crate) fn spend_more(limits: &mut RateLimits, spender: Option<Spender>, cost: u64, now_us: u64) -> Spent {
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    let spent = spender.and_then(|spender| limits.spend_more(spender, cost, now_us));
    spent.map_or_else(Spent::default, |(_, verdict)| spent_of(verdict))
}

pub(crate) fn seconds(us: u64) -> u64 {
    us.div_ceil(1_000_000)
}

pub(crate) fn spent_of(verdict: Verdict) -> Spent {
    let (allowed, remaining, reset_us) = match verdict {
        Verdict::Allowed { remaining, reset_us } => (true, remaining, reset_us),
        Verdict::Limited { remaining, reset_us, .. } => (false, remaining, reset_us),
    };
    Spent { allowed, remaining, reset: u32::try_from(seconds(reset_us)).unwrap_or(u32::MAX) }
}
