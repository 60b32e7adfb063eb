//! How requests meet the response cache: answered from it, waiting for somebody else's fetch, or going on with a recorder behind them.
//!
//! `lookup` decides which of these; `hits` responds, `fetches` asks the application, `news` keeps what that brings. Runs on the front's thread.

pub(crate) mod fetches;
pub(crate) mod hits;
pub(crate) mod lookup;
pub(crate) mod news;
pub(crate) mod purge;
pub(crate) mod views;
