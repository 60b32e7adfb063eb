//! The sending half: one writer of heads, for the application's answers and for the front's own.
//!
//! What may stand in one, `response_policy` decides; here it becomes text.

pub use crate::h1::status::reason_phrase;

use crate::error::ResponseError;
use crate::h1::status::status_line;
use crate::head::Version;
use crate::header_policy::valid_reason;
use crate::response_policy::{Coding, Encoded, ResponseContext, Sink, write_fields};

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Last chunk and empty trailer section (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the head of an answer to `out`. On an error `out` is as before.
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
    let result = write_head(out, status, reason, fields, context);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[inline]
fn write_head<'f>(
    out: &mut Vec<u8>,
    status: u16,
    reason: &[u8],
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
    write_status_line(out, status, reason)?;

    let encoded = write_fields(&mut Text(out), status, fields, context)?;
    out.extend_from_slice(b"\r\n");
    Ok(encoded)
}

/// Field lines of HTTP/1.
struct Text<'o>(&'o mut Vec<u8>);

impl Sink for Text<'_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        write_field(self.0, name, value);
    }

    #[inline]
    fn server(&mut self) {
        self.0.extend_from_slice(b"Server: pelton\r\n");
    }

    #[inline]
    fn content_length(&mut self, length: u64) {
        self.0.extend_from_slice(b"Content-Length: ");
        write_decimal(self.0, length);
        self.0.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn chunked(&mut self) {
        self.0.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }

    #[inline]
    fn persistence(&mut self, keep_alive: bool, version: Version) {
        // RFC 9112 section 9.6: say so when this answer is the last. Section 9.3: 1.0 clients need to be told that
        // it is not.
        if !keep_alive {
            self.0.extend_from_slice(b"Connection: close\r\n");
        } else if version == Version::Http10 {
            self.0.extend_from_slice(b"Connection: keep-alive\r\n");
        }
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

#[inline]
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
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

/// Media type of answers for people.
pub const PLAIN_TEXT: &[u8] = b"text/plain; charset=utf-8";

/// Appends a complete answer made by the front: head and a body of one line, of the type `media_type`.
///
/// `extra` are fields such as `Retry-After`; they must be valid, and are all left out should they not be.
pub fn canned_answer<'f>(
    out: &mut Vec<u8>,
    status: u16,
    media_type: &'f [u8],
    detail: &str,
    extra: &[(&'f [u8], &'f [u8])],
    context: &ResponseContext<'_>,
) -> Encoded {
    let media_type: (&[u8], &[u8]) = (b"Content-Type", media_type);
    let reason = reason_phrase(status).as_bytes();
    let context = ResponseContext { known_length: Some(detail.len() as u64 + 1), ..*context };
    let fields = std::iter::once(media_type).chain(extra.iter().copied());
    let encoded = encode_head(out, status, reason, fields, &context).or_else(|error| {
        debug_assert!(false, "canned answer {status}: {error}");
        encode_head(out, status, reason, [media_type], &context)
    });
    let Ok(encoded) = encoded else {
        // The status is not one: say what is certain.
        out.extend_from_slice(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        return Encoded { coding: Coding::None, keep_alive: false };
    };
    if encoded.coding != Coding::None {
        out.extend_from_slice(detail.as_bytes());
        out.push(b'\n');
    }
    encoded
}
