//! The sending half: one writer of heads, for the application's answers and for the front's own.
//!
//! The application decides status and fields, this file decides everything that concerns the connection: how the end
//! of the body is marked and whether another request may follow. So hop-by-hop fields of the application are left
//! out (PEP 3333 forbids them to applications) except that `Connection: close` is honoured. What would let an
//! application's data become protocol (CR, LF and other controls) is refused.

pub use crate::h1::status::reason_phrase;

use crate::error::ResponseError;
use crate::h1::status::status_line;
use crate::head::Version;
use crate::header_policy::{
    is_named, list_members, parse_content_length, valid_name, valid_reason, valid_value,
};

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Last chunk and empty trailer section (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What the answer's head depends on besides status and fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// Version of the request.
    pub version: Version,
    /// Whether the request was HEAD.
    pub is_head: bool,
    /// Whether the connection may be kept: the client wants it and the front is not draining.
    pub keep_alive: bool,
    /// Value of `Date`.
    pub date: &'a [u8; 29],
    /// Length of the body, if the front knows it although the application gave no Content-Length.
    pub known_length: Option<u64>,
    /// What to tell of in `Server-Timing`, unless the application has one of its own.
    pub timing: Option<Timing>,
}

/// How long a request took up to the head of its answer, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for a thread.
    pub queue_us: u64,
    /// In the application.
    pub application_us: u64,
}

/// How the body goes on the wire (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No byte of a body goes on the wire: HEAD, 1xx, 204, 304.
    None,
    /// As it is, exactly so many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// As it is; closing the connection ends it.
    UntilClose,
}

/// What became of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// How the body must be sent.
    pub coding: Coding,
    /// Whether the connection can be used again afterwards.
    pub keep_alive: bool,
}

/// Fields that the encoder has something to say about.
#[derive(PartialEq, Eq)]
enum Special {
    No,
    Date,
    Server,
    ServerTiming,
    Connection,
    ContentLength,
    Upgrade,
    /// RFC 9110 section 7.6.1 and RFC 9112: about this connection only, hence not the application's.
    HopByHop,
}

#[inline]
fn special(name: &[u8]) -> Special {
    // The length rules out nearly every name before any letter is compared.
    let (is_it, answer) = match name.len() {
        2 => (is_named(name, b"te"), Special::HopByHop),
        4 => (is_named(name, b"date"), Special::Date),
        6 => (is_named(name, b"server"), Special::Server),
        7 if is_named(name, b"upgrade") => (true, Special::Upgrade),
        7 => (is_named(name, b"trailer"), Special::HopByHop),
        10 if is_named(name, b"connection") => (true, Special::Connection),
        10 => (is_named(name, b"keep-alive"), Special::HopByHop),
        13 => (is_named(name, b"server-timing"), Special::ServerTiming),
        14 => (is_named(name, b"content-length"), Special::ContentLength),
        16 => (is_named(name, b"proxy-connection"), Special::HopByHop),
        17 => (is_named(name, b"transfer-encoding"), Special::HopByHop),
        _ => return Special::No,
    };
    if is_it { answer } else { Special::No }
}

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

    // RFC 9110 section 15.2: interim answers carry no final fields; 101 hands the connection over to the
    // application's protocol and is the one answer in which Connection and Upgrade are the application's.
    let interim = status < 200;
    let switching = status == 101;
    let mut has_date = interim;
    let mut has_server = interim;
    let mut timing = context.timing.filter(|_| !interim);
    let mut close = false;
    let mut length = None;
    for (name, value) in fields {
        match special(name) {
            Special::No => {
                if !valid_name(name) {
                    return Err(ResponseError::FieldName);
                }
            }
            Special::Date => has_date = true,
            Special::Server => has_server = true,
            // Copied, and so looked at as any other name.
            Special::ServerTiming if !valid_name(name) => return Err(ResponseError::FieldName),
            Special::ServerTiming => timing = None,
            Special::ContentLength => {
                let given = parse_content_length(value).ok_or(ResponseError::ContentLength)?;
                match length.replace(given) {
                    Some(earlier) if earlier != given => return Err(ResponseError::ContentLength),
                    // Written below, once and only if the status allows it.
                    _ => continue,
                }
            }
            Special::Connection if !switching => {
                close |= list_members(value).any(|member| member.eq_ignore_ascii_case(b"close"));
                continue;
            }
            Special::Upgrade if !switching => continue,
            Special::Connection | Special::Upgrade => {}
            Special::HopByHop => continue,
        }
        if !valid_value(value) {
            return Err(ResponseError::FieldValue);
        }
        write_field(out, name, value);
    }

    if !has_server {
        out.extend_from_slice(b"Server: pelton\r\n");
    }
    if !has_date {
        write_field(out, b"Date", context.date);
    }
    if let Some(timing) = timing {
        write_timing(out, timing);
    }
    let coding = write_framing(out, status, length, context);
    let keep_alive = context.keep_alive && !close && !switching && coding != Coding::UntilClose;
    if !interim {
        // RFC 9112 section 9.6: say so when this answer is the last. Section 9.3: 1.0 clients need to be told that
        // it is not.
        if !keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if context.version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(Encoded { coding, keep_alive })
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

/// Chooses how the end of the body is marked, and writes the field that says so (RFC 9112 section 6.3).
#[inline]
fn write_framing(
    out: &mut Vec<u8>,
    status: u16,
    length: Option<u64>,
    context: &ResponseContext<'_>,
) -> Coding {
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204. Applications do send `Content-Length: 0` with 204;
    // leaving it out harms nobody.
    if status < 200 || status == 204 {
        return Coding::None;
    }
    let bodiless = context.is_head || status == 304;
    let length = match length {
        Some(_) => length,
        // Section 8.6: in an answer to HEAD or in a 304 the length is that of the answer to GET. What the front has
        // counted is that only if the application made the body nevertheless.
        None if bodiless => context.known_length.filter(|&known| known > 0 && status != 304),
        None => context.known_length,
    };
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(out, length);
        out.extend_from_slice(b"\r\n");
        return if bodiless { Coding::None } else { Coding::Length(length) };
    }
    if bodiless {
        return Coding::None;
    }
    match context.version {
        Version::Http11 => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Coding::Chunked
        }
        // RFC 9112 section 6.1: no transfer coding to a 1.0 client.
        Version::Http10 | Version::Http2 => Coding::UntilClose,
    }
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

/// `Server-Timing` (W3C): durations are milliseconds. Hundredths are more than a person sees and less than a client needs for finding
/// out secrets by their time.
#[cold]
fn write_timing(out: &mut Vec<u8>, timing: Timing) {
    out.extend_from_slice(b"Server-Timing: queue;dur=");
    write_milliseconds(out, timing.queue_us);
    out.extend_from_slice(b", app;dur=");
    write_milliseconds(out, timing.application_us);
    out.extend_from_slice(b"\r\n");
}

/// Microseconds as `12.05`.
fn write_milliseconds(out: &mut Vec<u8>, us: u64) {
    let hundredths = us / 10;
    write_decimal(out, hundredths / 100);
    out.push(b'.');
    out.push(b'0' + (hundredths / 10 % 10) as u8);
    out.push(b'0' + (hundredths % 10) as u8);
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
