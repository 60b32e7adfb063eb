//! Names of what the front has many of. They stand below everything, so that what is named need not know who names it.

use crate::table::Id;

/// Of connections; see [`ConnectionId`].
#[derive(Debug)]
pub enum ConnectionKind {}

/// Of exchanges; see [`ExchangeId`].
#[derive(Debug)]
pub enum ExchangeKind {}

/// Names a connection, and never another one that has its place later.
pub type ConnectionId = Id<ConnectionKind>;

/// Names an exchange, and never another one that has its place later.
pub type ExchangeId = Id<ExchangeKind>;

/// A slot of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The worker's seat in the front.
    pub seat: u16,
    /// The slot.
    pub slot: u16,
}
