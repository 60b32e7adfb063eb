//! Flow control (RFC 9113 section 5.2): how much the client may send us. How much we may send is one number per stream.

/// The room that the client has been promised, for one stream or for the connection.
#[derive(Debug)]
pub(crate) struct Room {
    /// What it may send.
    left: u32,
    /// What has been consumed and not been promised again.
    owed: u32,
    /// What it may send when all is consumed.
    size: u32,
}

impl Room {
    /// `left` is what the client knows of, without a word of ours.
    pub(crate) fn new(left: u32, size: u32) -> Self {
        Room { left, owed: size.saturating_sub(left), size }
    }

    /// So much has come. False if it is more than was allowed.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> bool {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// So much is consumed. Gives the increment to send, when it is worth a frame.
    #[inline]
    pub(crate) fn give(&mut self, count: u32) -> Option<u32> {
        self.owed = self.owed.saturating_add(count);
        if self.owed == 0 || self.owed < self.size / 2 { None } else { Some(self.settle()) }
    }

    fn settle(&mut self) -> u32 {
        self.left = self.left.saturating_add(self.owed);
        std::mem::take(&mut self.owed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_in_halves_and_never_exceeds_its_size() {
        let mut room = Room::new(100, 100);
        assert!(room.take(60) && !room.take(41) && room.take(40));
        assert_eq!(
            (room.give(30), room.give(20), room.give(49), room.give(1)),
            (None, Some(50), None, Some(50))
        );
        assert!(room.take(100) && !room.take(1));
        let mut room = Room::new(65_535, 1 << 20);
        assert_eq!(room.give(0), Some((1 << 20) - 65_535));
        assert_eq!(room.give(0), None);
    }
}
