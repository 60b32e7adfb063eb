//! How much of each thing a client may send. One set for all protocols.

use crate::header_policy::UnderscorePolicy;

/// Bounds and choices of the receiving side. Exceeding one gives the [`HttpError`](crate::HttpError) named beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line and fields together (431).
    pub head_bytes: usize,
    /// Number of fields (431).
    pub fields: usize,
    /// The request line without its line end (414). A field line is bounded by `head_bytes` only.
    pub line_bytes: usize,
    /// The body, announced or summed up (413).
    pub body_bytes: u64,
    /// One chunk-size line with its extensions (400).
    pub chunk_line_bytes: usize,
    /// All trailer fields together (431).
    pub trailer_bytes: usize,
    /// What becomes of field names with an underscore.
    pub underscores: UnderscorePolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Browsers send up to ~16 KiB of cookies to one site and Kerberos tokens reach 48 KiB; nothing honest
            // is larger.
            head_bytes: 65_536,
            // What gunicorn and Apache allow too; a browser sends about 20.
            fields: 100,
            // Apache stops at 8 KiB, nginx at its 8 KiB buffer; OAuth and search links pass 8 KiB now and then, so
            // be one step more generous. RFC 9112 section 3 recommends at least 8,000.
            line_bytes: 16_384,
            // A safety net, not a policy: the application sets its own (Flask's MAX_CONTENT_LENGTH).
            body_bytes: 1 << 30,
            // Sixteen digits suffice; extensions are hardly used and are a way to send bytes that count for nothing.
            chunk_line_bytes: 256,
            // Trailers are dropped, so they only need to be able to carry a checksum or a signature.
            trailer_bytes: 8_192,
            underscores: UnderscorePolicy::Drop,
        }
    }
}
