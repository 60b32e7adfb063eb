//! The head of a response as a header block, by the policy that HTTP/1 has too.

use super::hpack::encode;
use crate::error::ResponseError;
use crate::head::Version;
use crate::head_sink::HeadSink;
use crate::response::{Encoded, ResponseContext, write_response_head};

/// A header block.
struct Block<'o> {
    out: &'o mut Vec<u8>,
}

impl HeadSink for Block<'_> {
    #[inline]
    fn status(&mut self, status: u16, _reason: &[u8]) -> Result<(), ResponseError> {
        if !(100..=999).contains(&status) {
            return Err(ResponseError::Status);
        }
        encode::status(self.out, status);
        Ok(())
    }

    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        // RFC 9113 section 8.2.1: no white space around a value.
        encode::field(self.out, name, value.trim_ascii());
    }

    #[inline]
    fn fixed(&mut self, name: &'static [u8], value: &'static [u8], _line: &'static [u8]) {
        encode::field(self.out, name, value);
    }

    #[inline]
    fn content_length(&mut self, length: u64) {
        let mut text = Vec::with_capacity(20);
        crate::h1::encode::write_decimal(&mut text, length);
        encode::field(self.out, b"content-length", &text);
    }

    fn end(&mut self) {}
}

/// Appends a head. On an error `out` is as before.
#[inline]
pub(crate) fn encode_head<'f>(
    out: &mut Vec<u8>,
    status: u16,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
    let start = out.len();
    out.reserve(256);
    let context = ResponseContext { version: Version::Http2, ..*context };
    let result = write_response_head(&mut Block { out }, status, b"", fields, &context);
    if result.is_err() {
        out.truncate(start);
    }
    result
}
