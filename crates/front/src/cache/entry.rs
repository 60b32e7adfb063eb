//! One kept response, and what it costs.
//!
//! Pure values. Runs on the front's thread.

use std::sync::Arc;

use pelton_http::caching::{Age, Lifetime, Selection};

/// A field with its own memory.
pub(crate) type OwnField = (Box<[u8]>, Box<[u8]>);

/// What an entry costs beside its texts, roughly: its own size, its places in the tables and in the queue.
const ENTRY_BYTES: usize = 384;
/// A kept response as it left when it had been compressed.
#[derive(Clone, Debug)]
pub(crate) struct Coded {
    pub(crate) fields: Vec<OwnField>,
    pub(crate) body: Arc<[u8]>,
}

impl Coded {
    pub(super) fn bytes(&self) -> usize {
        bytes_of(&self.fields) + self.body.len()
    }
}

fn bytes_of(fields: &[OwnField]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

/// One kept response.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Scheme, authority, path and query.
    pub(crate) target: Box<[u8]>,
    pub(crate) selection: Selection,
    pub(crate) status: u16,
    /// Names and values, without those that concern one connection only.
    pub(crate) fields: Vec<OwnField>,
    pub(crate) body: Arc<[u8]>,
    /// By the number of the coding; each is made by the first client that wants it.
    pub(crate) coded: [Option<Coded>; 3],
    pub(crate) lifetime: Lifetime,
    pub(crate) age: Age,
    pub(crate) tags: Vec<Box<[u8]>>,
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        let fields = bytes_of(&self.fields) + self.coded.iter().flatten().map(Coded::bytes).sum::<usize>();
        let tags: usize = self.tags.iter().map(|tag| 2 * tag.len() + 64).sum();
        ENTRY_BYTES + 2 * self.target.len() + self.selection.bytes() + fields + self.body.len() + tags
    }

    /// The first field of this name.
    #[cfg(test)]
    pub(crate) fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}
