//! A table whose entries are found by ids that say which life of a place is meant.
//!
//! Events, timers, slots and lists refer to connections and exchanges by [`Id`], never by pointer. A place is used again after a removal, so the id
//! carries a generation: what was meant for the former entry finds nothing. Ids of connections and of exchanges are different types.

use std::fmt;
use std::marker::PhantomData;

use slab::Slab;

/// Place and generation of one of this kind.
pub struct Id<T> {
    /// Index into the table.
    pub key: usize,
    generation: u32,
    kind: PhantomData<fn() -> T>,
}

// By hand: derived, they would ask the same of `T`.
impl<T> Clone for Id<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.generation == other.generation
    }
}

impl<T> Eq for Id<T> {}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.generation)
    }
}

impl<T> Id<T> {
    #[inline]
    fn new(key: usize, generation: u32) -> Self {
        Id { key, generation, kind: PhantomData }
    }

    /// Names nothing, ever.
    pub fn nobody() -> Self {
        Id::new(usize::MAX, u32::MAX)
    }

    /// As one number, for the poller. Keys are below 2^31 because descriptors are.
    pub fn to_token(self) -> usize {
        (self.generation as usize) << 32 | self.key
    }

    /// From the poller's number.
    #[inline]
    pub fn from_token(token: usize) -> Self {
        Id::new(token & 0xFFFF_FFFF, (token >> 32) as u32)
    }
}

#[derive(Debug)]
pub struct Table<T, K> {
    entries: Slab<(u32, T)>,
    last_generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<T, K> Default for Table<T, K> {
    fn default() -> Self {
        Table { entries: Slab::new(), last_generation: 0, kind: PhantomData }
    }
}

impl<T, K> Table<T, K> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    fn next_generation(&mut self) -> u32 {
        self.last_generation = self.last_generation.wrapping_add(1) & 0x3FFF_FFFF;
        self.last_generation
    }

    /// Adds an entry.
    pub fn insert(&mut self, entry: T) -> Id<K> {
        let generation = self.next_generation();
        Id::new(self.entries.insert((generation, entry)), generation)
    }

    /// The entry, if it is still the one meant.
    #[inline]
    pub fn get(&self, id: Id<K>) -> Option<&T> {
        match self.entries.get(id.key) {
            Some((generation, entry)) if *generation == id.generation => Some(entry),
            _ => None,
        }
    }

    /// See [`Table::get`].
    #[inline]
    pub fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        match self.entries.get_mut(id.key) {
            Some((generation, entry)) if *generation == id.generation => Some(entry),
            _ => None,
        }
    }

    /// Takes the entry out.
    pub fn remove(&mut self, id: Id<K>) -> Option<T> {
        self.get(id)?;
        Some(self.entries.remove(id.key).1)
    }

    /// The entry begins another life in the same place: whatever knows it by its former id does not find it any more.
    #[inline]
    pub fn renew(&mut self, id: Id<K>) -> Option<(Id<K>, &mut T)> {
        let generation = self.next_generation();
        match self.entries.get_mut(id.key) {
            Some((present, entry)) if *present == id.generation => {
                *present = generation;
                Some((Id::new(id.key, generation), entry))
            }
            _ => None,
        }
    }

    /// The id of whatever is at `key` now.
    pub fn id_at(&self, key: usize) -> Option<Id<K>> {
        self.entries.get(key).map(|(generation, _)| Id::new(key, *generation))
    }

    /// All ids.
    pub fn ids(&self) -> Vec<Id<K>> {
        self.entries.iter().map(|(key, (generation, _))| Id::new(key, *generation)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_outlives_its_entry_without_meaning_another() {
        let mut table: Table<_, ()> = Table::default();
        let first = table.insert("first");
        assert_eq!(Id::from_token(first.to_token()), first);
        assert!(table.remove(first).is_some() && table.remove(first).is_none());
        let second = table.insert("second");
        assert_eq!(second.key, first.key);
        assert!(table.get_mut(first).is_none() && table.get(second) == Some(&"second"));
        assert_eq!(table.id_at(second.key), Some(second));
    }

    #[test]
    fn a_renewed_entry_is_not_found_by_its_former_id() {
        let mut table: Table<_, ()> = Table::default();
        let first = table.insert(1);
        let (second, entry) = table.renew(first).unwrap();
        *entry = 2;
        assert_eq!((table.get(first), table.get(second), second.key), (None, Some(&2), first.key));
        assert!(table.renew(first).is_none());
        assert_eq!((table.len(), table.ids()), (1, vec![second]));
    }
}
