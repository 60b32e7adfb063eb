//! Kept responses: found by target and selected fields, bounded in bytes, forgotten by target or tag.
//!
//! Owns the memory and its bound. Knows no clock and no connection; a body is shared by reference count, so that what is being
//! sent stays whole although its entry has gone. Runs on the front's thread.
//!
//! Eviction is second chance: entries leave in the order in which they came, but one that was used since it came to the head of the
//! queue goes to the end once more. A hit costs one flag, no list is mended.

use std::collections::{HashMap, HashSet, VecDeque};

use pelton_http::ContentCoding;
use pelton_http::caching::{Age, Lifetime};
use slab::Slab;

use crate::cache::entry::{Coded, Entry, OwnField};

/// Kept responses to one target. Each lookup looks at all of them, and a client can choose the fields that they differ in.
const MOST_VARIANTS: usize = 16;
/// Tags of one response that count.
const MOST_TAGS: usize = 64;

struct Kept {
    entry: Entry,
    bytes: usize,
    /// Used since it last stood at the head of the queue.
    used: bool,
    /// Unlike that of every other one that had or will have this place.
    serial: u64,
}

/// Names a kept response as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId {
    place: usize,
    serial: u64,
}

/// What looking for a response gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Entry(EntryId),
    /// Something is kept under the target, but this request selects something else.
    OtherVariants,
    Nothing,
}

pub(crate) struct Store {
    limit: usize,
    used: usize,
    serials: u64,
    kept: Slab<Kept>,
    by_target: HashMap<Box<[u8]>, Vec<usize>>,
    /// Sets, for one tag may be on every page.
    by_tag: HashMap<Box<[u8]>, HashSet<usize>>,
    queue: VecDeque<EntryId>,
    evicted: u64,
}

impl Store {
    /// Keeps at most so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Store {
            limit,
            used: 0,
            serials: 0,
            kept: Slab::new(),
            by_target: HashMap::new(),
            by_tag: HashMap::new(),
            queue: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Bytes that are kept.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Responses that are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Responses that had to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The largest body that may be kept: an eighth of the bound, so that one response never empties the cache.
    pub(crate) fn most_body_bytes(&self) -> usize {
        self.limit / 8
    }

    /// Looks for the response that a request selects. The newest of several counts.
    pub(crate) fn find<'r>(
        &mut self,
        target: &[u8],
        request: impl Iterator<Item = (&'r [u8], &'r [u8])> + Clone,
    ) -> Found {
        let Some(places) = self.by_target.get(target) else { return Found::Nothing };
        for &place in places.iter().rev() {
            if let Some(kept) = self.kept.get_mut(place)
                && kept.entry.selection.matches(request.clone())
            {
                kept.used = true;
                return Found::Entry(EntryId { place, serial: kept.serial });
            }
        }
        Found::OtherVariants
    }

    /// The entry, if it is still kept.
    pub(crate) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.kept.get(id.place).filter(|kept| kept.serial == id.serial).map(|kept| &kept.entry)
    }

    /// The newest response to a target, whatever it was selected by.
    pub(crate) fn newest(&self, target: &[u8]) -> Option<&Entry> {
        let place = self.by_target.get(target)?.last()?;
        self.kept.get(*place).map(|kept| &kept.entry)
    }

    /// Forgets one response.
    pub(crate) fn forget(&mut self, id: EntryId) {
        if self.get(id).is_some() {
            self.remove(id.place);
        }
    }

    /// Keeps a response, in the place of the one that the same requests have selected so far. None: it is too large.
    pub(crate) fn insert(&mut self, mut entry: Entry) -> Option<EntryId> {
        entry.tags.truncate(MOST_TAGS);
        let bytes = entry.bytes();
        self.remove_same(&entry);
        if entry.body.len() > self.most_body_bytes() || bytes > self.limit {
            return None;
        }
        self.make_room(bytes);
        self.serials += 1;
        let id = EntryId { place: self.kept.vacant_key(), serial: self.serials };
        self.by_target.entry(entry.target.clone()).or_default().push(id.place);
        for tag in &entry.tags {
            self.by_tag.entry(tag.clone()).or_default().insert(id.place);
        }
        self.kept.insert(Kept { entry, bytes, used: false, serial: id.serial });
        self.used += bytes;
        self.queue.push_back(id);
        Some(id)
    }

    /// Puts another head before the same body: what a 304 has brought.
    pub(crate) fn freshen(&mut self, id: EntryId, fields: Vec<OwnField>, lifetime: Lifetime, age: Age) {
        let Some(kept) = self.kept.get_mut(id.place).filter(|kept| kept.serial == id.serial) else { return };
        kept.entry.fields = fields;
        kept.entry.coded = Default::default();
        kept.entry.lifetime = lifetime;
        kept.entry.age = age;
        let bytes = kept.entry.bytes();
        self.used = self.used - kept.bytes + bytes;
        kept.bytes = bytes;
    }

    /// Keeps also what a kept response has become by compression.
    pub(crate) fn add_coded(&mut self, id: EntryId, coding: ContentCoding, coded: Coded) {
        let bytes = coded.bytes();
        if coded.body.len() > self.most_body_bytes() {
            return;
        }
        self.make_room(bytes);
        // It may be what had to make room.
        let Some(kept) = self.kept.get_mut(id.place).filter(|kept| kept.serial == id.serial) else { return };
        if let Some(place @ None) = kept.entry.coded.get_mut(coding as usize) {
            *place = Some(coded);
            kept.bytes += bytes;
            self.used += bytes;
        }
    }

    /// Forgets all that is kept under a target; gives how much that was.
    pub(crate) fn purge_target(&mut self, target: &[u8]) -> usize {
        let places = self.by_target.get(target).cloned().unwrap_or_default();
        self.remove_all(&places)
    }

    /// Forgets all that has a tag.
    pub(crate) fn purge_tag(&mut self, tag: &[u8]) -> usize {
        let places: Vec<_> = self.by_tag.remove(tag).unwrap_or_default().into_iter().collect();
        self.remove_all(&places)
    }

    /// Forgets all whose target fits.
    pub(crate) fn purge_where(&mut self, fits: impl Fn(&[u8]) -> bool) -> usize {
        let places: Vec<_> =
            self.kept.iter().filter(|(_, kept)| fits(&kept.entry.target)).map(|(place, _)| place).collect();
        self.remove_all(&places)
    }

    fn remove_all(&mut self, places: &[usize]) -> usize {
        for &place in places {
            self.remove(place);
        }
        places.len()
    }

    /// Makes room for one more of the same target, first of all in its own place.
    fn remove_same(&mut self, entry: &Entry) {
        let Some(places) = self.by_target.get(&entry.target) else { return };
        let same = places
            .iter()
            .copied()
            .find(|place| self.kept.get(*place).is_some_and(|kept| kept.entry.selection == entry.selection));
        let oldest = if places.len() >= MOST_VARIANTS { places.first().copied() } else { None };
        if let Some(place) = same.or(oldest) {
            self.remove(place);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.used + bytes > self.limit {
            let Some(id) = self.queue.pop_front() else { return };
            let Some(kept) = self.kept.get_mut(id.place).filter(|kept| kept.serial == id.serial) else {
                continue;
            };
            if std::mem::take(&mut kept.used) {
                self.queue.push_back(id);
            } else {
                self.evicted += 1;
                self.remove(id.place);
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let Some(kept) = self.kept.try_remove(place) else { return };
        self.used -= kept.bytes;
        if let Some(places) = self.by_target.get_mut(&kept.entry.target) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.by_target.remove(&kept.entry.target);
            }
        }
        for tag in &kept.entry.tags {
            if let Some(places) = self.by_tag.get_mut(tag) {
                places.remove(&place);
                if places.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        // Its place in the queue is passed over when its turn comes; but purges must not let the queue grow.
        if self.queue.len() > 64 && self.queue.len() > 2 * self.kept.len() {
            let kept = &self.kept;
            self.queue.retain(|id| kept.get(id.place).is_some_and(|one| one.serial == id.serial));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pelton_http::caching::Selection;

    use super::*;

    fn entry(target: &str, language: &str, body: usize, tags: &[&str]) -> Entry {
        let request = [(&b"accept-language"[..], language.as_bytes())];
        let vary = if language.is_empty() { &b""[..] } else { b"accept-language" };
        Entry {
            target: target.as_bytes().into(),
            selection: Selection::new([vary].into_iter(), request.into_iter()).unwrap(),
            status: 200,
            fields: vec![(b"ETag"[..].into(), b"\"1\""[..].into())],
            body: vec![0; body].into(),
            coded: Default::default(),
            lifetime: Lifetime::default(),
            age: Age::default(),
            tags: tags.iter().map(|tag| tag.as_bytes().into()).collect(),
        }
    }

    fn find(store: &mut Store, target: &str, language: &str) -> Found {
        let request = [(&b"Accept-Language"[..], language.as_bytes())];
        store.find(target.as_bytes(), request.into_iter())
    }

    #[test]
    fn variants_of_one_target() {
        let mut store = Store::new(1 << 20);
        assert_eq!(find(&mut store, "/", "de"), Found::Nothing);
        let german = store.insert(entry("/", "de", 10, &[])).unwrap();
        let french = store.insert(entry("/", "fr", 10, &[])).unwrap();
        assert_eq!(find(&mut store, "/", "de"), Found::Entry(german));
        assert_eq!(find(&mut store, "/", "fr"), Found::Entry(french));
        assert_eq!(find(&mut store, "/", "en"), Found::OtherVariants);
        assert_eq!(store.get(german).unwrap().field(b"etag"), Some(&b"\"1\""[..]));
        let newer = store.insert(entry("/", "de", 20, &[])).unwrap();
        assert_eq!((find(&mut store, "/", "de"), store.get(german).is_none()), (Found::Entry(newer), true));
        assert_eq!((store.len(), store.purge_target(b"/"), store.used(), store.len()), (2, 2, 0, 0));
    }

    #[test]
    fn variants_are_bounded() {
        let mut store = Store::new(1 << 20);
        for number in 0..1000 {
            store.insert(entry("/", &format!("x{number}"), 1, &[]));
        }
        assert_eq!(store.len(), MOST_VARIANTS);
        assert_eq!(find(&mut store, "/", "x0"), Found::OtherVariants);
        assert!(matches!(find(&mut store, "/", "x999"), Found::Entry(_)));
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let mut store = Store::new(100_000);
        let hot = store.insert(entry("/hot", "", 1000, &[])).unwrap();
        for number in 0..1000 {
            store.insert(entry(&format!("/{number}"), "", 1000, &[])).unwrap();
            assert!(store.used() <= 100_000);
            assert_eq!(find(&mut store, "/hot", ""), Found::Entry(hot), "after {number}");
        }
        assert!(store.evicted() > 900 && store.queue.len() <= 2 * store.len() + 64);
        assert_eq!(store.insert(entry("/large", "", 12_501, &[])), None);
    }

    #[test]
    fn purged_by_tag_and_by_rule() {
        let mut store = Store::new(1 << 20);
        store.insert(entry("/a", "", 1, &["post-1", "front"]));
        store.insert(entry("/b", "", 1, &["post-2", "front"]));
        store.insert(entry("/c", "", 1, &[]));
        assert_eq!((store.purge_tag(b"post-1"), store.purge_tag(b"post-1"), store.len()), (1, 0, 2));
        assert_eq!((store.purge_tag(b"front"), store.len()), (1, 1));
        assert_eq!((store.purge_where(|target| target.starts_with(b"/c")), store.used()), (1, 0));
        assert!(store.by_tag.is_empty() && store.by_target.is_empty());
    }

    #[test]
    fn one_tag_on_all_pages_costs_no_walk_for_each() {
        let mut store = Store::new(100 << 20);
        for number in 0..100_000 {
            // With a walk over all of them for each page this would take minutes.
            store.insert(entry(&format!("/{number}"), "", 1, &["shop", "shop"])).unwrap();
        }
        let count = store.len();
        assert_eq!((store.purge_tag(b"shop"), store.len(), store.used()), (count, 0, 0));
    }

    #[test]
    fn a_body_that_is_being_sent_outlives_its_entry() {
        let mut store = Store::new(1 << 20);
        let id = store.insert(entry("/a", "", 7, &[])).unwrap();
        let body = Arc::clone(&store.get(id).unwrap().body);
        store.purge_target(b"/a");
        assert_eq!((body.len(), store.get(id).is_none()), (7, true));
    }

    #[test]
    fn a_validation_changes_the_head_and_what_it_costs() {
        let mut store = Store::new(1 << 20);
        let id = store.insert(entry("/a", "", 7, &[])).unwrap();
        let before = store.used();
        let lifetime = Lifetime { fresh: 9, ..Lifetime::default() };
        store.freshen(id, vec![(b"X"[..].into(), vec![b'y'; 100].into())], lifetime, Age::default());
        let kept = store.get(id).unwrap();
        assert_eq!((kept.lifetime.fresh, kept.field(b"x").map(<[u8]>::len)), (9, Some(100)));
        assert!(store.used() > before);
        store.purge_where(|_| true);
        assert_eq!(store.used(), 0);
    }
}
