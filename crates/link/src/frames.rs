//! Reads the frames of a response in its slot's ring: the front's side of `writing`.
//!
//! What it reads is a worker's: each header is copied, then checked. Runs on the front's thread.

use crate::layout::RESPONSE_BYTES;
use crate::region::Region;
use crate::response::{
    Damaged, FRAME_DATA, FRAME_FILE, FRAME_HEAD, FRAME_HEADER, FRAME_LENT, FRAME_SPEND, Frame, HeadFrame,
    MAX_HEAD_BYTES, padded, words,
};
use crate::wake::Sharing;

/// How far a response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More may follow.
    Open,
    /// All of it is in the ring.
    Complete,
    /// It will not be completed; the connection must be cut once the ring is read.
    Broken,
}

/// How far the front has read a slot's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) at: u32,
    pub(crate) end: u32,
}

impl Cursor {
    /// Whether every published frame has been read.
    pub fn is_at_end(&self) -> bool {
        self.at == self.end
    }
}

/// The ring of one slot. The worker does not write between `consumed` and `produced`, and a [`Cursor`] never leaves that part.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    pub(crate) region: &'a Region,
    /// Where it begins.
    pub(crate) ring: usize,
}

impl<'a> Frames<'a> {
    /// The frame at the cursor, which moves past it; None at the end of what is published.
    pub fn next(&self, cursor: &mut Cursor) -> Result<Option<Frame<'a>>, Damaged> {
        let available = cursor.end.wrapping_sub(cursor.at) as usize;
        if available == 0 {
            return Ok(None);
        }
        if !(FRAME_HEADER..=RESPONSE_BYTES).contains(&available) || !cursor.at.is_multiple_of(8) {
            return Err(Damaged);
        }
        let header = self.bytes(cursor.at, FRAME_HEADER).0;
        let header = u64::from_ne_bytes(header.try_into().map_err(|_| Damaged)?);
        let (kind, len) = ((header >> 32) as u32, (header & 0xFFFF_FFFF) as usize);
        let whole = FRAME_HEADER + padded(len);
        if whole > available {
            return Err(Damaged);
        }
        let payload = self.bytes(cursor.at.wrapping_add(FRAME_HEADER as u32), len);
        cursor.at = cursor.at.wrapping_add(whole as u32);
        match kind {
            FRAME_DATA => Ok(Some(Frame::Data(payload.0, payload.1))),
            // A head is near the beginning and so never wraps; one that does is not ours.
            FRAME_HEAD if payload.1.is_empty() && len <= MAX_HEAD_BYTES => {
                let may_change = self.region.sharing() == Sharing::Shared;
                Ok(Some(Frame::Head(HeadFrame::new(payload.0, may_change))))
            }
            FRAME_FILE => words(payload.0, payload.1)
                .map(|[token, offset, len]| Some(Frame::File { token, offset, len }))
                .ok_or(Damaged),
            FRAME_LENT => words(payload.0, payload.1)
                .map(|[token, len]| Some(Frame::Lent { token, len }))
                .ok_or(Damaged),
            FRAME_SPEND => words(payload.0, payload.1).map(|[cost]| Some(Frame::Spend(cost))).ok_or(Damaged),
            _ => Err(Damaged),
        }
    }

    fn bytes(&self, at: u32, len: usize) -> (&'a [u8], &'a [u8]) {
        let start = at as usize & (RESPONSE_BYTES - 1);
        let first = len.min(RESPONSE_BYTES - start);
        // SAFETY: between `consumed` and `produced` (checked by the caller) the worker does not write.
        unsafe { (self.region.bytes(self.ring + start, first), self.region.bytes(self.ring, len - first)) }
    }
}
