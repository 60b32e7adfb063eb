//! Large pieces of a response that are not copied into the ring but lent to the front, where both ends live in one process.
//!
//! The ring carries a number; the bytes stay where the application made them, with something that keeps them alive. Who takes a loan out
//! of the table owns it, and gives it back by dropping it, on any thread. Across processes there is no such table, and pieces are copied.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

/// Bytes that do not change or move as long as this is alive.
pub type Loan = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Pieces from this size on are worth it: below, the copy costs less than keeping the books.
pub const LEND_FROM: usize = 64 * 1024;

/// Loans that were given and not taken yet.
#[derive(Default)]
pub struct Lending {
    loans: Mutex<Slab<Loan>>,
}

impl fmt::Debug for Lending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lending").field("loans", &self.lock().len()).finish()
    }
}

impl Lending {
    fn lock(&self) -> MutexGuard<'_, Slab<Loan>> {
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a loan into the table.
    pub(crate) fn give(&self, loan: Loan) -> u64 {
        self.lock().insert(loan) as u64
    }

    /// Takes it out; None for a number that stands for nothing.
    pub(crate) fn take(&self, token: u64) -> Option<Loan> {
        self.lock().try_remove(usize::try_from(token).ok()?)
    }
}
