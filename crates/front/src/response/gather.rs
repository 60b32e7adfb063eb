//! Pieces of one write, in order: parts of the loop's buffer (heads, chunk framing, small data) between parts of a slot's ring.

use std::ops::Range;

/// Pieces of one write.
pub(crate) const PIECES: usize = 16;

/// A piece of one write: a part of the loop's buffer, or of a slot's ring.
pub(crate) enum Piece<'r> {
    Wire(Range<usize>),
    Ring(&'r [u8]),
}

/// Pieces in order; neighbouring parts of the buffer grow together.
pub(crate) struct Gather<'r> {
    pieces: [Piece<'r>; PIECES],
    count: usize,
}

impl<'r> Gather<'r> {
    pub(crate) fn new() -> Self {
        Gather { pieces: [const { Piece::Wire(0..0) }; PIECES], count: 0 }
    }

    /// A frame takes at most five.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.count + 5 > PIECES
    }

    pub(crate) fn add(&mut self, piece: Piece<'r>) {
        if let (Piece::Wire(new), Some(Piece::Wire(last))) =
            (&piece, self.count.checked_sub(1).and_then(|i| self.pieces.get_mut(i)))
            && last.end == new.start
        {
            last.end = new.end;
        } else if let Some(place) = self.pieces.get_mut(self.count) {
            *place = piece;
            self.count += 1;
        }
    }

    /// What was written to `wire` since `from`.
    pub(crate) fn add_wire(&mut self, wire: &[u8], from: usize) {
        if wire.len() > from {
            self.add(Piece::Wire(from..wire.len()));
        }
    }

    pub(crate) fn bytes<'a>(&'a self, wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pieces.iter().take(self.count).map(move |piece| match piece {
            Piece::Wire(range) => wire.get(range.clone()).unwrap_or_default(),
            Piece::Ring(bytes) => bytes,
        })
    }
}
