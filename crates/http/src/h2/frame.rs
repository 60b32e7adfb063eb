//! Frames (RFC 9113 section 4.1): their head, their kinds, and the small ones whole.

/// Bytes before a payload.
pub(crate) const HEADER_BYTES: usize = 9;
/// The largest payload that is taken: what every client may send before it knows our settings (section 4.2).
pub(crate) const LARGEST: usize = 16_384;
/// The highest stream number and the largest window.
pub(crate) const MAX_31: u32 = (1 << 31) - 1;

/// Kinds of frames (section 6; RFC 9218 section 7.1).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const PRIORITY_UPDATE: u8 = 16;
}

/// Flags.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// Section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorCode {
    /// Nothing is wrong.
    NoError = 0,
    /// A rule is broken and no other code says which.
    ProtocolError = 1,
    /// The server is at fault.
    InternalError = 2,
    /// More was sent than there was room for.
    FlowControlError = 3,
    /// A frame for a half-closed or closed stream.
    StreamClosed = 5,
    /// A frame has a wrong length.
    FrameSizeError = 6,
    /// Nothing was done with the stream; the request can be sent again.
    RefusedStream = 7,
    /// The stream is not wanted any more.
    Cancel = 8,
    /// The state of field compression is lost.
    CompressionError = 9,
    /// The client costs more than it may.
    EnhanceYourCalm = 11,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    /// None if it is incomplete. The reserved bit is ignored.
    #[inline]
    pub(crate) fn parse(input: &[u8]) -> Option<FrameHead> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = input.first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(FrameHead { length, kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) & MAX_31 })
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The number at the beginning of `bytes`; zero if there are too few.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_be_bytes(*four))
}

/// Appends the head of a frame. `length` is at most [`LARGEST`].
#[inline]
pub(crate) fn write_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, s0, s1, s2, s3]);
}

/// Appends a frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    write_head(out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
}

/// Appends a RST_STREAM or WINDOW_UPDATE: a frame of one number.
pub(crate) fn write_number(out: &mut Vec<u8>, kind: u8, stream: u32, number: u32) {
    write(out, kind, 0, stream, &number.to_be_bytes());
}
