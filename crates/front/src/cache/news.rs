//! What those who watch responses tell the cache: it waits in an inbox until the event loop reads it, in the same turn.
//!
//! Filters may run on helper threads, so the inbox has a lock; whoever reads it is the front's thread.

use std::sync::{Arc, Mutex, PoisonError};

use pelton_http::ContentCoding;
use pelton_http::caching::{Age, Lifetime};

use crate::cache::entry::{Coded, Entry, OwnField};
use crate::cache::store::EntryId;

/// What became of a fetch.
#[derive(Debug)]
pub(crate) enum News {
    /// It may be kept.
    Stored { fetch: FetchId, entry: Box<Entry> },
    /// What is kept is still right, with another head.
    Validated { fetch: FetchId, id: EntryId, fields: Vec<OwnField>, lifetime: Lifetime, age: Age },
    /// It may not be kept; neither may what it was to take the place of, if that is named.
    NotStored { fetch: FetchId, outdated: Option<EntryId> },
    /// It has no end, or none that anybody will see.
    Abandoned { fetch: FetchId },
    /// This is what a kept response has become by compression.
    Coded { id: EntryId, coding: ContentCoding, coded: Coded },
    /// A request has changed what is kept under these targets.
    Changed { targets: Vec<Box<[u8]>> },
}

/// Names one fetch: its target, what identifies it (`Cache::key`), and a number unlike those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchId {
    pub(crate) target: Box<[u8]>,
    pub(crate) key: Box<[u8]>,
    pub(crate) serial: u64,
}

/// Where news waits for the event loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Vec<News>>>);

impl Inbox {
    pub(super) fn post(&self, news: News) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(news);
    }

    pub(crate) fn take(&self) -> Vec<News> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
