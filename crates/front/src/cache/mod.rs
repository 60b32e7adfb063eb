//! The response cache: kept responses, and the fetches that are under way.
//!
//! What may be kept and reused decides `pelton_http::caching`; the memory is `store`; what watches responses are `recorder` and
//! `watchers`; how requests meet it is `handlers/caching`. Runs on the front's thread.

use std::collections::HashMap;

use crate::cache::entry::Entry;
use crate::cache::news::{FetchId, Inbox};
use crate::cache::store::Store;
use crate::ids::ExchangeId;

pub(crate) mod entry;
pub(crate) mod news;
pub(crate) mod page_ranges;
pub(crate) mod recorder;
pub(crate) mod store;
pub(crate) mod watchers;

/// Targets whose last response could not be kept: nobody waits for another one's then.
const MOST_PASSED: usize = 4096;
/// For how long that counts, in seconds.
const PASS_SECONDS: u64 = 30;

/// A fetch that is under way, and who waits for what it brings.
#[derive(Debug)]
struct Fetch {
    serial: u64,
    waiters: Vec<ExchangeId>,
}

pub(crate) struct Cache {
    pub(crate) store: Store,
    pub(crate) inbox: Inbox,
    fetches: HashMap<Box<[u8]>, Fetch>,
    serials: u64,
    passed: HashMap<Box<[u8]>, u64>,
    outdated: Outdated,
}

/// What was changed or purged while fetches were under way: what those bring may be from before that.
#[derive(Debug, Default)]
struct Outdated {
    /// Fetches that have not ended; with the last of them all this is forgotten.
    under_way: usize,
    /// The last fetch of a target that had begun.
    targets: HashMap<Box<[u8]>, u64>,
    /// The same of all of them.
    all: u64,
}

impl Cache {
    /// Keeps at most so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Cache {
            store: Store::new(limit),
            inbox: Inbox::default(),
            fetches: HashMap::new(),
            serials: 0,
            passed: HashMap::new(),
            outdated: Outdated::default(),
        }
    }

    /// Forgets what is kept under a target, and keeps nothing of what is fetched of it now; gives how much was kept.
    pub(crate) fn purge_target(&mut self, target: &[u8]) -> usize {
        let outdated = &mut self.outdated;
        if outdated.under_way > 0 {
            if outdated.targets.len() >= MOST_PASSED {
                outdated.targets.clear();
                outdated.all = self.serials;
            }
            outdated.targets.insert(target.into(), self.serials);
        }
        self.store.purge_target(target)
    }

    /// The store, for forgetting more than one target: nothing of what is fetched now is kept.
    pub(crate) fn purge(&mut self) -> &mut Store {
        self.outdated.all = self.serials;
        &mut self.store
    }

    /// Keeps what a fetch has brought, unless it was changed or purged meanwhile.
    pub(crate) fn keep(&mut self, fetch: &FetchId, entry: Entry) {
        let outdated = self.outdated.targets.get(&fetch.target).copied().unwrap_or_default();
        if fetch.serial > outdated.max(self.outdated.all) {
            self.store.insert(entry);
        }
    }

    /// What identifies a request's fetch: its target, and what it has in the fields by which the kept variants of that differ, so
    /// that nobody waits for a response that is somebody else's.
    pub(crate) fn key<'r>(
        &self,
        target: &[u8],
        request: impl Iterator<Item = (&'r [u8], &'r [u8])> + Clone,
    ) -> Box<[u8]> {
        let mut key = target.to_vec();
        if let Some(newest) = self.store.newest(target) {
            newest.selection.append_values(request, &mut key);
        }
        key.into()
    }

    /// A fetch begins. Its end goes to the inbox, whatever happens.
    pub(crate) fn begin_fetch(&mut self, target: &[u8], key: Box<[u8]>) -> FetchId {
        self.serials += 1;
        self.outdated.under_way += 1;
        let serial = self.serials;
        self.fetches.entry(key.clone()).or_insert(Fetch { serial, waiters: Vec::new() });
        FetchId { target: target.into(), key, serial }
    }

    /// Whether somebody fetches this.
    pub(crate) fn is_fetched(&self, key: &[u8]) -> bool {
        self.fetches.contains_key(key)
    }

    /// Waits for a fetch that is under way. False: there is none, or so many wait already.
    pub(crate) fn wait(&mut self, key: &[u8], id: ExchangeId, most: usize) -> bool {
        match self.fetches.get_mut(key) {
            Some(fetch) if fetch.waiters.len() < most => {
                fetch.waiters.push(id);
                true
            }
            _ => false,
        }
    }

    /// The fetch has ended; gives who has waited for it.
    pub(crate) fn end_fetch(&mut self, fetch: &FetchId) -> Vec<ExchangeId> {
        self.outdated.under_way = self.outdated.under_way.saturating_sub(1);
        if self.outdated.under_way == 0 {
            self.outdated.targets = HashMap::new();
        }
        match self.fetches.get(&fetch.key) {
            Some(present) if present.serial == fetch.serial => {
                self.fetches.remove(&fetch.key).map(|fetch| fetch.waiters).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// What this target brings cannot be kept: for a while nobody waits for it.
    pub(crate) fn pass(&mut self, target: &[u8], now: u64) {
        if self.passed.len() >= MOST_PASSED {
            self.passed.retain(|_, until| *until > now);
            if self.passed.len() >= MOST_PASSED {
                self.passed.clear();
            }
        }
        self.passed.insert(target.into(), now + PASS_SECONDS);
    }

    /// Whether that was so lately.
    pub(crate) fn is_passed(&self, target: &[u8], now: u64) -> bool {
        self.passed.get(target).is_some_and(|until| *until > now)
    }
}
