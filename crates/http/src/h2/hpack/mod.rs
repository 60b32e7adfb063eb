//! HPACK (RFC 7541): how fields are written in HTTP/2.
//!
//! `decode` reads into one buffer and spans, as HTTP/1's parser does, so that a request costs no allocation per field. `encode` writes
//! without a table of its own. Knows nothing of frames and of what the fields mean.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod huffman;
pub(crate) mod table;

/// The block cannot be understood, and so no later one either (COMPRESSION_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
