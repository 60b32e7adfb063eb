//! What a response head may say, whatever the version of HTTP: one policy for the fields of applications and of the front's own responses.
//!
//! The application decides status and fields, this file decides everything that concerns the connection: how the end
//! of the body is marked and whether another request may follow. So hop-by-hop fields of the application are left
//! out (PEP 3333 forbids them to applications) except that `Connection: close` is honoured. What would let an
//! application's data become protocol (CR, LF and other controls) is refused. How a field is written, the protocol's [`Sink`] knows.

use crate::error::ResponseError;
use crate::h1::encode::write_decimal;
use crate::head::Version;
use crate::header_policy::{is_named, list_members, parse_content_length, valid_name, valid_value};

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
    /// As it is; the end of the connection, or of the stream of HTTP/2, ends it.
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

/// Where a head goes, in the form of its protocol.
pub(crate) trait Sink {
    /// A field that may go on the wire.
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// `Server`, where the application has none.
    fn server(&mut self);
    /// `Content-Length`.
    fn content_length(&mut self, length: u64);
    /// HTTP/1.1 only: the body comes in chunks.
    fn chunked(&mut self);
    /// HTTP/1 only: whether another request may follow.
    fn persistence(&mut self, keep_alive: bool, version: Version);
}

/// Writes all fields of a response, the front's own among them, and says how its body must be sent.
#[inline]
pub(crate) fn write_fields<'f>(
    out: &mut impl Sink,
    status: u16,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
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
        out.field(name, value);
    }

    if !has_server {
        out.server();
    }
    if !has_date {
        out.field(b"Date", context.date);
    }
    if let Some(timing) = timing {
        write_timing(out, timing);
    }
    let coding = write_framing(out, status, length, context);
    let until_close = coding == Coding::UntilClose && context.version != Version::Http2;
    let keep_alive = context.keep_alive && !close && !switching && !until_close;
    if !interim {
        out.persistence(keep_alive, context.version);
    }
    Ok(Encoded { coding, keep_alive })
}

/// Chooses how the end of the body is marked, and writes the field that says so (RFC 9112 section 6.3).
#[inline]
fn write_framing(
    out: &mut impl Sink,
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
        out.content_length(length);
        return if bodiless { Coding::None } else { Coding::Length(length) };
    }
    if bodiless {
        return Coding::None;
    }
    match context.version {
        Version::Http11 => {
            out.chunked();
            Coding::Chunked
        }
        // RFC 9112 section 6.1: no transfer coding to a 1.0 client. RFC 9113 section 8.1: frames need none.
        Version::Http10 | Version::Http2 => Coding::UntilClose,
    }
}

/// `Server-Timing` (W3C): durations are milliseconds. Hundredths are more than a person sees and less than a client needs for finding
/// out secrets by their time.
#[cold]
fn write_timing(out: &mut impl Sink, timing: Timing) {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(b"queue;dur=");
    write_milliseconds(&mut text, timing.queue_us);
    text.extend_from_slice(b", app;dur=");
    write_milliseconds(&mut text, timing.application_us);
    out.field(b"Server-Timing", &text);
}

/// Microseconds as `12.05`.
fn write_milliseconds(out: &mut Vec<u8>, us: u64) {
    let hundredths = us / 10;
    write_decimal(out, hundredths / 100);
    out.push(b'.');
    out.push(b'0' + (hundredths / 10 % 10) as u8);
    out.push(b'0' + (hundredths % 10) as u8);
}
