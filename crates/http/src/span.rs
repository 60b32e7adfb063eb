//! A place inside a byte buffer, kept as two offsets.
//!
//! A head refers to the bytes it was parsed from by spans instead of slices, so that it can be stored, moved and
//! reused while the buffer belongs to someone else.

/// A range of bytes. Half the size of a `Range<usize>` and `Copy`; heads are bounded far below 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// From one offset to another. Offsets beyond 4 GiB give an empty span.
    pub fn new(start: usize, end: usize) -> Span {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Span { start, end },
            _ => Span::default(),
        }
    }

    /// The bytes in `buffer`; empty if the span does not lie inside it.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// The span of `part` inside the buffer that starts at address `base`.
    ///
    /// `part` must be a slice of that buffer, and the buffer shorter than 4 GiB; anything else gives a span that
    /// reads wrong bytes or none, but never out of bounds, because [`Span::of`] checks.
    #[inline]
    pub(crate) fn locate(base: usize, part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(base);
        Span { start: start as u32, end: start.wrapping_add(part.len()) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn reads_its_bytes_and_never_more() {
        let buffer = b"hello";
        assert_eq!(Span { start: 1, end: 3 }.of(buffer), b"el");
        assert_eq!(Span { start: 1, end: 9 }.of(buffer), b"");
        assert_eq!(Span { start: 3, end: 1 }.of(buffer), b"");
        assert_eq!(Span { start: 3, end: 1 }.len(), 0);
        assert!(Span::default().is_empty());
    }

    #[test]
    fn locates_a_part() {
        let buffer = b"hello";
        let span = Span::locate(buffer.as_ptr() as usize, &buffer[2..4]);
        assert_eq!((span.of(buffer), span.len()), (&b"ll"[..], 2));
    }
}
