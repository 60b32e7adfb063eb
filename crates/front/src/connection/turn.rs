//! What one turn of a connection may take, and what it leads to.

/// Bytes read from one connection before the others get their turn.
pub const READ_BUDGET: usize = 1 << 20;

/// Bytes read at once into the loop's buffer.
pub const SCRATCH: usize = 64 * 1024;

/// What driving a connection led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its state has changed: look at it again.
    Again,
    /// It waits for something outside.
    Wait,
    /// It is no more.
    Closed,
}
