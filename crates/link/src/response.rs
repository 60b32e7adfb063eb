//! The response as frames in a slot's response ring: written by the worker, read by the front.
//!
//! A frame is eight bytes of header and a payload padded to eight, so a header never wraps around the end of the ring. The first
//! frame is the head (heads with the status 103 may precede it), then data, files and loans in the order of the body. There is no end frame: the slot's `progress` word says when
//! `produced` is final. Frames that spend of the client's rate may lie anywhere between them: they are no part of the response, and the front
//! says in the slot's words what became of them (see `spending`). Nothing here sleeps or wakes; the two ends do.

/// Kinds of frames.
pub(crate) const FRAME_HEAD: u32 = 1;
pub(crate) const FRAME_DATA: u32 = 2;
pub(crate) const FRAME_FILE: u32 = 3;
pub(crate) const FRAME_LENT: u32 = 4;
pub(crate) const FRAME_SPEND: u32 = 5;
/// Payload of a file frame.
pub(crate) const FILE_BYTES: usize = 24;
/// Payload of a lent frame.
pub(crate) const LENT_BYTES: usize = 16;
/// Payload of a frame that spends.
pub(crate) const SPEND_BYTES: usize = 8;

pub(crate) const FRAME_HEADER: usize = 8;
/// The largest head that fits a ring with room to spare; also what one line of a head may not exceed.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
pub(crate) const NO_LENGTH: u64 = u64::MAX;

/// Bytes of a ring that early hints of one request may fill. What is left of it is enough for the largest head and more.
pub(crate) const MAX_HINTS_BYTES: usize = 32 * 1024;
/// The status of a head that is not the last one (RFC 8297).
pub const EARLY_HINTS: u16 = 103;

pub(crate) fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// What the application answered, before the body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'a [u8],
    /// The body's length where the worker knows it although the application did not say it.
    pub known_length: Option<u64>,
    /// Which of the application's routes has answered, for metrics; empty where that is not known. It does not leave the front.
    pub route: &'a [u8],
}

/// The head does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadTooLarge;

/// Writes a head frame's payload to `area`; gives its length.
pub(crate) fn encode_head<'a>(
    area: &mut [u8],
    head: &ResponseHead<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<usize, HeadTooLarge> {
    let mut at = 16;
    let mut put = |at: &mut usize, bytes: &[u8]| -> Result<(), HeadTooLarge> {
        area.get_mut(*at..*at + bytes.len()).ok_or(HeadTooLarge)?.copy_from_slice(bytes);
        *at += bytes.len();
        Ok(())
    };
    let reason_len = u16::try_from(head.reason.len()).map_err(|_| HeadTooLarge)?;
    let route_len = u16::try_from(head.route.len()).map_err(|_| HeadTooLarge)?;
    put(&mut at, head.reason)?;
    put(&mut at, head.route)?;
    let mut count: u16 = 0;
    for (name, value) in fields {
        let name_len = u32::try_from(name.len()).map_err(|_| HeadTooLarge)?;
        let value_len = u32::try_from(value.len()).map_err(|_| HeadTooLarge)?;
        put(&mut at, &(u64::from(name_len) << 32 | u64::from(value_len)).to_ne_bytes())?;
        put(&mut at, name)?;
        put(&mut at, value)?;
        count = count.checked_add(1).ok_or(HeadTooLarge)?;
    }
    let end = at;
    at = 0;
    put(&mut at, &head.status.to_ne_bytes())?;
    put(&mut at, &reason_len.to_ne_bytes())?;
    put(&mut at, &count.to_ne_bytes())?;
    put(&mut at, &route_len.to_ne_bytes())?;
    put(&mut at, &head.known_length.unwrap_or(NO_LENGTH).to_ne_bytes())?;
    Ok(end)
}

/// A head as the front finds it.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    /// Status code; not yet checked to be one.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'a [u8],
    /// See [`ResponseHead::known_length`].
    pub known_length: Option<u64>,
    /// See [`ResponseHead::route`].
    pub route: &'a [u8],
    count: u16,
    fields: &'a [u8],
}

impl<'a> HeadView<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Option<Self> {
        let status = u16::from_ne_bytes(payload.get(0..2)?.try_into().ok()?);
        let reason_len = u16::from_ne_bytes(payload.get(2..4)?.try_into().ok()?) as usize;
        let count = u16::from_ne_bytes(payload.get(4..6)?.try_into().ok()?);
        let route_len = u16::from_ne_bytes(payload.get(6..8)?.try_into().ok()?) as usize;
        let known = u64::from_ne_bytes(payload.get(8..16)?.try_into().ok()?);
        let reason = payload.get(16..16 + reason_len)?;
        let route = payload.get(16 + reason_len..16 + reason_len + route_len)?;
        let fields = payload.get(16 + reason_len + route_len..)?;
        let known_length = (known != NO_LENGTH).then_some(known);
        Some(HeadView { status, reason, known_length, route, count, fields })
    }

    /// Names and values in order; ends early when the frame is damaged.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let mut rest = self.fields;
        (0..self.count).map_while(move |_| {
            let lengths = u64::from_ne_bytes(rest.get(..8)?.try_into().ok()?);
            let name_len = (lengths >> 32) as usize;
            let value_len = (lengths & 0xFFFF_FFFF) as usize;
            let name = rest.get(8..8 + name_len)?;
            let value = rest.get(8 + name_len..8 + name_len + value_len)?;
            rest = rest.get(8 + name_len + value_len..)?;
            Some((name, value))
        })
    }
}

/// A head in memory that another process may still be changing: it has to be copied before anybody looks at it, or what
/// is checked and what is sent could be two things.
#[derive(Clone, Copy, Debug)]
pub struct HeadFrame<'a> {
    payload: &'a [u8],
    may_change: bool,
}

impl<'a> HeadFrame<'a> {
    pub(crate) fn new(payload: &'a [u8], may_change: bool) -> Self {
        HeadFrame { payload, may_change }
    }

    /// Whether it says that it is not the last one. To be asked again after it was copied.
    pub fn is_early_hints(&self) -> bool {
        self.payload.get(0..2) == Some(&EARLY_HINTS.to_ne_bytes()[..])
    }

    /// The head, out of `copy` where it had to be copied; None when it is damaged.
    #[inline]
    pub fn read<'c>(&self, copy: &'c mut Vec<u8>) -> Option<HeadView<'c>>
    where
        'a: 'c,
    {
        if !self.may_change {
            return HeadView::new(self.payload);
        }
        copy.clear();
        copy.extend_from_slice(self.payload);
        HeadView::new(copy)
    }
}

/// A frame as the front finds it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// The head.
    Head(HeadFrame<'a>),
    /// Body bytes; in two pieces where the ring wraps.
    Data(&'a [u8], &'a [u8]),
    /// `len` bytes of a file from `offset`; the token is to be taken from `descriptors`.
    File {
        /// Names the descriptor.
        token: u64,
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// The first `len` bytes of a loan, to be taken by its token.
    Lent {
        /// Names the loan.
        token: u64,
        /// How many.
        len: u64,
    },
    /// So many more requests are to be counted against the client's rate.
    Spend(u64),
}

/// Splits a payload of words.
pub(crate) fn words<const N: usize>(first: &[u8], second: &[u8]) -> Option<[u64; N]> {
    let mut words = [0; N];
    let mut bytes = first.iter().chain(second).copied();
    for word in &mut words {
        let mut place = [0; 8];
        for byte in &mut place {
            *byte = bytes.next()?;
        }
        *word = u64::from_ne_bytes(place);
    }
    bytes.next().is_none().then_some(words)
}

/// The ring holds something that no worker of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_as_written() {
        let mut area = [0; 256];
        let head =
            ResponseHead { status: 404, reason: b"Not Found", known_length: Some(7), route: b"/a/<b>" };
        let fields = [(&b"A"[..], &b""[..]), (&b"Content-Type"[..], &b"text/plain"[..])];
        let len = encode_head(&mut area, &head, fields.into_iter()).unwrap();
        let view = HeadView::new(&area[..len]).unwrap();
        assert_eq!((view.status, view.reason, view.known_length), (404, &b"Not Found"[..], Some(7)));
        assert_eq!(view.route, b"/a/<b>");
        assert_eq!(view.fields().collect::<Vec<_>>(), fields);
        for cut in 0..len {
            if let Some(view) = HeadView::new(&area[..cut]) {
                assert!(view.fields().count() <= 2);
            }
        }
        for short in 0..len {
            assert!(encode_head(&mut vec![0; short], &head, fields.into_iter()).is_err());
        }
    }
}
