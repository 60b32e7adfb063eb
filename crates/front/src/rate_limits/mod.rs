//! How often a client may ask: limits of rate, kept for all workers in one place.

pub(crate) mod table;
