//! Metrics for a statsd: gathered with each request, sent about once a second.
//!
//! `totals` adds up, `packets` writes, `sender` sends. Runs on the front's thread. Must cost no packet per request, and wait for nobody.

pub(crate) mod packets;
pub(crate) mod sender;
pub(crate) mod totals;
