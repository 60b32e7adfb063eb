//! The policy of a response's head, whichever version of HTTP says it: one for the application's responses and for the front's own.
//!
//! The application decides status and fields, this file decides everything that concerns the connection: how the end
//! of the body is marked and whether another request may follow. So hop-by-hop fields of the application are left
//! out (PEP 3333 forbids them to applications) except that `Connection: close` is honoured. What would let an
//! application's data become protocol (CR, LF and other controls) is refused. How a head looks on the wire is its [`HeadSink`]'s business.

use crate::error::ResponseError;
use crate::head::Version;
use crate::head_sink::HeadSink;
use crate::header_policy::{is_named, list_members, parse_content_length, valid_name, valid_value};

/// What a response's head depends on besides status and fields.
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
    /// Value of `Strict-Transport-Security`, unless the application has one of its own.
    pub transport_security: Option<&'a [u8]>,
}

/// How long a request took up to the head of its response, in microseconds.
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
    /// As it is; the frames of HTTP/2 say where it ends.
    Frames,
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
    TransportSecurity,
    Connection,
    ContentLength,
    Upgrade,
    /// RFC 9110 section 7.6.1 and RFC 9112: about this connection only, hence not the application's.
    HopByHop,
}

#[inline(always)]
fn special(name: &[u8]) -> Special {
    // The length rules out nearly every name before any letter is compared.
    let (is_it, which) = match name.len() {
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
        25 => (is_named(name, b"strict-transport-security"), Special::TransportSecurity),
        _ => return Special::No,
    };
    if is_it { which } else { Special::No }
}

/// What the application's fields come to, and which of ours are still to be written.
struct Seen<'c> {
    has_date: bool,
    has_server: bool,
    timing: Option<Timing>,
    transport_security: Option<&'c [u8]>,
    close: bool,
    length: Option<u64>,
}

/// Copies the application's fields, but for those that are the connection's, and Content-Length, which is written once.
#[inline]
fn copy_fields<'f, 'c>(
    sink: &mut impl HeadSink,
    status: u16,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'c>,
) -> Result<Seen<'c>, ResponseError> {
    // RFC 9110 section 15.2: interim responses carry no final fields; 101 hands the connection over to the
    // application's protocol and is the one response in which Connection and Upgrade are the application's.
    let interim = status < 200;
    let switching = status == 101;
    let mut seen = Seen {
        has_date: interim,
        has_server: interim,
        timing: context.timing.filter(|_| !interim),
        transport_security: context.transport_security.filter(|_| !interim),
        close: false,
        length: None,
    };
    for (name, value) in fields {
        match special(name) {
            Special::No => {
                if !valid_name(name) {
                    return Err(ResponseError::FieldName);
                }
            }
            Special::Date => seen.has_date = true,
            Special::Server => seen.has_server = true,
            // Copied, and so looked at as any other name.
            Special::ServerTiming if !valid_name(name) => return Err(ResponseError::FieldName),
            Special::ServerTiming => seen.timing = None,
            Special::TransportSecurity if !valid_name(name) => return Err(ResponseError::FieldName),
            Special::TransportSecurity => seen.transport_security = None,
            Special::ContentLength => {
                let given = parse_content_length(value).ok_or(ResponseError::ContentLength)?;
                match seen.length.replace(given) {
                    Some(earlier) if earlier != given => return Err(ResponseError::ContentLength),
                    // Written below, once and only if the status allows it.
                    _ => continue,
                }
            }
            Special::Connection if !switching => {
                seen.close |= list_members(value).any(|member| member.eq_ignore_ascii_case(b"close"));
                continue;
            }
            Special::Upgrade if !switching => continue,
            Special::Connection | Special::Upgrade => {}
            Special::HopByHop => continue,
        }
        if !valid_value(value) {
            return Err(ResponseError::FieldValue);
        }
        sink.field(name, value);
    }
    Ok(seen)
}

/// Writes the head of a response into `sink`; what was written before an error is to be thrown away.
#[inline]
pub fn write_response_head<'f>(
    sink: &mut impl HeadSink,
    status: u16,
    reason: &[u8],
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    context: &ResponseContext<'_>,
) -> Result<Encoded, ResponseError> {
    // RFC 9113 section 8.6: HTTP/2 has no switching of protocols.
    if status == 101 && context.version == Version::Http2 {
        return Err(ResponseError::Status);
    }
    sink.status(status, reason)?;

    let Seen { has_date, has_server, timing, transport_security, close, length } =
        copy_fields(sink, status, fields, context)?;
    if !has_server {
        sink.fixed(b"server", b"pelton", b"Server: pelton\r\n");
    }
    if !has_date {
        sink.field(b"Date", context.date);
    }
    if let Some(timing) = timing {
        write_timing(sink, timing);
    }
    if let Some(value) = transport_security {
        sink.field(b"Strict-Transport-Security", value);
    }
    let (coding, length) = choose_framing(status, length, context);
    if let Some(length) = length {
        sink.content_length(length);
    } else if coding == Coding::Chunked {
        sink.fixed(b"transfer-encoding", b"chunked", b"Transfer-Encoding: chunked\r\n");
    }
    let (interim, switching) = (status < 200, status == 101);
    let keep_alive = context.keep_alive && !close && !switching && coding != Coding::UntilClose;
    // RFC 9113 section 8.2.2: no field about the connection in HTTP/2.
    if !interim && context.version != Version::Http2 {
        // RFC 9112 section 9.6: say so when this response is the last. Section 9.3: 1.0 clients have to learn that
        // it is not.
        if !keep_alive {
            sink.fixed(b"connection", b"close", b"Connection: close\r\n");
        } else if context.version == Version::Http10 {
            sink.fixed(b"connection", b"keep-alive", b"Connection: keep-alive\r\n");
        }
    }
    sink.end();
    Ok(Encoded { coding, keep_alive })
}

/// Chooses how the end of the body is marked, and which `Content-Length` stands in the head (RFC 9112 section 6.3).
#[inline]
fn choose_framing(status: u16, length: Option<u64>, context: &ResponseContext<'_>) -> (Coding, Option<u64>) {
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204. Applications do send `Content-Length: 0` with 204;
    // leaving it out harms nobody.
    if status < 200 || status == 204 {
        return (Coding::None, None);
    }
    let bodiless = context.is_head || status == 304;
    let length = match length {
        Some(_) => length,
        // Section 8.6: in a response to HEAD or in a 304 the length is that of the response to GET. What the front has
        // counted is that only if the application made the body nevertheless.
        None if bodiless => context.known_length.filter(|&known| known > 0 && status != 304),
        None => context.known_length,
    };
    let coding = match (length, context.version) {
        _ if bodiless => Coding::None,
        (Some(length), _) => Coding::Length(length),
        (None, Version::Http11) => Coding::Chunked,
        // RFC 9112 section 6.1: no transfer coding to a 1.0 client.
        (None, Version::Http10) => Coding::UntilClose,
        (None, Version::Http2) => Coding::Frames,
    };
    (coding, length)
}

/// `Server-Timing` (W3C): durations are milliseconds. Hundredths are more than a person sees and less than a client needs for finding
/// out secrets by their time.
#[cold]
fn write_timing(sink: &mut impl HeadSink, timing: Timing) {
    let hundredths = |us: u64| (us / 1000, us / 10 % 100);
    let (queue, application) = (hundredths(timing.queue_us), hundredths(timing.application_us));
    let value =
        format!("queue;dur={}.{:02}, app;dur={}.{:02}", queue.0, queue.1, application.0, application.1);
    sink.field(b"Server-Timing", value.as_bytes());
}

/// Media type of responses for people.
pub const PLAIN_TEXT: &[u8] = b"text/plain; charset=utf-8";
