//! How much of all responses is kept in memory for slow readers, and what a single connection may keep.
//!
//! Every connection's output counts here while it holds something. Used on the front's thread; atomic only because what it belongs to is
//! made on another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a connection may keep in memory when the responses of all have reached their limit.
const LITTLE: usize = 64 * 1024;

/// The account.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    held: Arc<AtomicUsize>,
}

impl Backlog {
    /// `count` bytes more are held.
    pub fn add(&self, count: usize) {
        self.held.fetch_add(count, Ordering::Relaxed);
    }

    /// `count` bytes less.
    pub fn give_back(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// Bytes held for all connections.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// What one connection may keep: `each` while all together are below `total`.
    pub fn allowance(&self, each: usize, total: usize) -> usize {
        if self.held() < total { each } else { each.min(LITTLE) }
    }
}
