//! The head of a response as a header block, by the policy that HTTP/1 has too.

use super::hpack::encode;
use crate::error::ResponseError;
use crate::head::Version;
use crate::response_policy::{Encoded, ResponseContext, Sink, write_fields};

/// A header block.
struct Block<'o>(&'o mut Vec<u8>);

impl Sink for Block<'_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        // RFC 9113 section 8.2.1: no white space around a value.
        encode::field(self.0, name, value.trim_ascii());
    }

    #[inline]
    fn server(&mut self) {
        encode::field(self.0, b"server", b"pelton");
    }

    #[inline]
    fn content_length(&mut self, length: u64) {
        let mut text = Vec::with_capacity(20);
        crate::h1::encode::write_decimal(&mut text, length);
        encode::field(self.0, b"content-length", &text);
    }

    fn chunked(&mut self) {}

    fn persistence(&mut self, _keep_alive: bool, _version: Version) {}
}

/// Appends a head. On an error `out` is as before.
#[inline]
pub(crate) fn encode_head<'f>(
    out: &mut Vec<u8>,
    status: u16,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
    // RFC 9113 section 8.6: there is no 101.
    if !(100..=999).contains(&status) || status == 101 {
        return Err(ResponseError::Status);
    }
    let start = out.len();
    out.reserve(256);
    encode::status(out, status);
    let context = ResponseContext { version: Version::Http2, ..*context };
    let result = write_fields(&mut Block(out), status, fields, &context);
    if result.is_err() {
        out.truncate(start);
    }
    result
}
