//! The text of a head and of chunks in HTTP/1 (RFC 9112).
//!
//! What stands in a head is decided by [`crate::response`]; this file only writes it down.

pub use crate::h1::status::reason_phrase;

use crate::error::ResponseError;
use crate::h1::status::status_line;
use crate::head_sink::HeadSink;
use crate::header_policy::valid_reason;
use crate::response::{Encoded, ResponseContext, write_response_head};

/// The interim response to `Expect: 100-continue` (RFC 9110 section 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Last chunk and empty trailer section (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the head of a response to `out`. On an error `out` is as before.
///
/// The status line always says HTTP/1.1, the version that this server speaks (RFC 9110 section 6.2); only framing
/// and persistence follow the version of the request.
#[inline]
pub fn encode_head<'f>(
    out: &mut Vec<u8>,
    status: u16,
    reason: &[u8],
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
    let start = out.len();
    let result = write_response_head(&mut Text { out }, status, reason, fields, context);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// A head as text.
struct Text<'o> {
    out: &'o mut Vec<u8>,
}

impl HeadSink for Text<'_> {
    #[inline(always)]
    fn status(&mut self, status: u16, reason: &[u8]) -> Result<(), ResponseError> {
        write_status_line(self.out, status, reason)
    }

    #[inline(always)]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline(always)]
    fn fixed(&mut self, _: &'static [u8], _: &'static [u8], line: &'static [u8]) {
        self.out.extend_from_slice(line);
    }

    #[inline(always)]
    fn content_length(&mut self, length: u64) {
        self.out.extend_from_slice(b"Content-Length: ");
        write_decimal(self.out, length);
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline(always)]
    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[inline]
fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) -> Result<(), ResponseError> {
    // Room for a usual head at once, instead of growing several times.
    out.reserve(256);
    if let Some(line) = status_line(status, reason) {
        out.extend_from_slice(line);
        return Ok(());
    }
    if !(100..=999).contains(&status) {
        return Err(ResponseError::Status);
    }
    if !valid_reason(reason) {
        return Err(ResponseError::Reason);
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    // RFC 9112 section 4: the space stays even if the phrase is empty.
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(CHUNK_END);
    Ok(())
}

/// Appends `len` in hexadecimal and CR LF: what precedes the data of a chunk. `len` must not be zero, which would end
/// the body.
#[inline]
pub fn chunk_prefix(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    let mut text = [0; 18];
    let mut at = text.len();
    let mut rest = len;
    for place in text.iter_mut().rev() {
        *place = match (rest & 15) as u8 {
            digit @ 0..10 => b'0' + digit,
            digit => b'a' - 10 + digit,
        };
        at -= 1;
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(at..).unwrap_or(&[]));
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal without the formatting machinery.
#[inline]
pub(crate) fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    let mut rest = number;
    for place in text.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(at..).unwrap_or(&[]));
}
