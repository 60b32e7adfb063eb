//! From the bytes of a complete head to a [`Head`], and everything that may be refused on the way.
//!
//! httparse does the tokenising. It is lenient in one point that matters: it takes a lone LF for a line end, and two
//! recipients who disagree on where a line ends can be made to see different requests. So each line end is checked
//! here again, which costs two bytes of reading per line. What httparse already refuses and this file relies on:
//! NUL and other controls in names, targets and values, a CR without LF, space before a colon, folded lines (they
//! start with a space, which is no token), empty names, more than one space in the request line, and a target that
//! is not UTF-8 (raw non-ASCII that is UTF-8 passes, because sloppy clients send it; RFC 9112 section 3 forbids it).
//!
//! Which error a wrong head gives is decided by `scan`, whatever is noticed here first; only what fields and target mean
//! is decided here.

use std::mem::MaybeUninit;

use memchr::memchr;

use crate::error::HttpError;
use crate::h1::scan::{Scan, Scanned, longest_head};
use crate::head::{Field, Head, Length, Version};
use crate::header_policy::{list_members, valid_authority, valid_name};
use crate::known::Known;
use crate::limits::Limits;
use crate::request_policy::{Findings, METHOD_BYTES, content_length, expect, host, is_passed_on, set_path};
use crate::span::Span;

/// Fields that fit on the stack; a larger limit is served from the heap.
const STACK_FIELDS: usize = 128;

/// Bytes of a request line besides method and target: two spaces and the version.
const LINE_REST: usize = 2 + 8;

/// Parses a head that starts at `input[skip]`. Gives its length (without `skip`), or `None` if more bytes are needed.
#[inline]
pub(crate) fn parse_head(
    input: &[u8],
    skip: usize,
    limits: &Limits,
    head: &mut Head,
) -> Result<Option<usize>, HttpError> {
    // Never look further than a head may reach: pipelined bytes behind it are none of our business.
    let end = input.len().min(skip.saturating_add(longest_head(limits)));
    let Some(window) = input.get(skip..end) else { return Ok(None) };
    let result = if limits.fields <= STACK_FIELDS {
        let mut lines = [const { MaybeUninit::uninit() }; STACK_FIELDS];
        let lines = lines.get_mut(..limits.fields).unwrap_or(&mut []);
        parse_into(input, window, lines, limits, head)
    } else {
        let mut lines = vec![MaybeUninit::uninit(); limits.fields];
        parse_into(input, window, &mut lines, limits, head)
    };
    result.or_else(|error| refusal(error, window, limits))
}

/// The error of a head in which something is wrong; `error` is what was noticed. None if a part of the head is still to
/// come and could be wrong in a way that counts before.
#[cold]
fn refusal(error: HttpError, window: &[u8], limits: &Limits) -> Result<Option<usize>, HttpError> {
    match Scan::new().advance(window, limits)? {
        Scanned::Complete => Err(error),
        Scanned::NotYet => Ok(None),
    }
}

fn parse_into<'b>(
    input: &'b [u8],
    window: &'b [u8],
    lines: &mut [MaybeUninit<httparse::Header<'b>>],
    limits: &Limits,
    head: &mut Head,
) -> Result<Option<usize>, HttpError> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(window, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        // A form that the scanner allows as well is no reason to get here, but for a target that is not UTF-8.
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyFields),
        Err(httparse::Error::HeaderName) => return Err(HttpError::FieldName),
        Err(httparse::Error::HeaderValue) => return Err(HttpError::FieldValue),
        Err(httparse::Error::NewLine) => return Err(HttpError::LineEnding),
        Err(_) => return Err(HttpError::RequestLine),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HttpError::RequestLine);
    };
    // Together with the check before each name below this covers every line of the head.
    if window.get(length.wrapping_sub(4)..length) != Some(b"\r\n\r\n") {
        return Err(HttpError::LineEnding);
    }
    let base = input.as_ptr() as usize;
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.method = Span::locate(base, method.as_bytes());
    if method.len() > METHOD_BYTES as usize {
        return Err(HttpError::MethodTooLong);
    }
    if method.len() + target.len() + LINE_REST > limits.line_bytes {
        return Err(HttpError::LineTooLong);
    }
    parse_target(base, method.as_bytes(), target.as_bytes(), head)?;
    parse_fields(input, request.headers, limits, head)?;
    Ok(Some(length))
}

/// RFC 9112 section 3.2: the four forms of a request target.
#[inline]
fn parse_target(base: usize, method: &[u8], target: &[u8], head: &mut Head) -> Result<(), HttpError> {
    head.target = Span::locate(base, target);
    head.authority = Span::default();
    head.https_target = false;
    // RFC 9112 section 3.2.3: CONNECT has a target of its own form, and no origin server has a use for it.
    if method == b"CONNECT" {
        return Err(HttpError::ConnectRefused);
    }
    let rest = match target {
        // Section 3.2.1, origin-form.
        [b'/', ..] => target,
        // Section 3.2.4, asterisk-form: only for OPTIONS.
        b"*" if method == b"OPTIONS" => target,
        _ => {
            // Section 3.2.2, absolute-form: accepted from every client, though only proxies are sent it.
            let absolute = split_absolute(target).ok_or(HttpError::Target)?;
            head.authority = Span::locate(base, absolute.authority);
            head.https_target = absolute.https;
            absolute.rest
        }
    };
    set_path(base, rest, head)
}

/// A target in absolute form.
struct Absolute<'t> {
    https: bool,
    authority: &'t [u8],
    rest: &'t [u8],
}

/// The parts of an `http` or `https` URI.
#[cold]
fn split_absolute(target: &[u8]) -> Option<Absolute<'_>> {
    let colon = memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    let https = scheme.eq_ignore_ascii_case(b"https");
    if !https && !scheme.eq_ignore_ascii_case(b"http") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // RFC 9110 section 4.2.1: an http URI with an empty host is invalid; section 4.2.4: so is user information,
    // which `valid_authority` refuses with its '@'.
    (!authority.is_empty() && authority.first() != Some(&b':') && valid_authority(authority))
        .then_some(Absolute { https, authority, rest })
}

#[inline]
fn parse_fields(
    input: &[u8],
    lines: &[httparse::Header<'_>],
    limits: &Limits,
    head: &mut Head,
) -> Result<(), HttpError> {
    let base = input.as_ptr() as usize;
    let mut found = Findings::default();
    let absolute = !head.authority.is_empty();
    head.fields.clear();
    head.fields.reserve(lines.len());
    for line in lines {
        let name = Span::locate(base, line.name.as_bytes());
        let mut value = Span::locate(base, line.value);
        // RFC 9112 section 2.2: the line before ended with CR LF, not with LF alone.
        if input.get((name.start as usize).wrapping_sub(2)..name.start as usize) != Some(b"\r\n") {
            return Err(HttpError::LineEnding);
        }
        let known = Known::lookup(line.name.as_bytes());
        if !is_passed_on(known, line.name.as_bytes(), limits.underscores)? {
            continue;
        }
        match known {
            Known::Host => {
                host(line.value, &mut found)?;
                // RFC 9112 section 3.2.2: an absolute target overrides Host, and the application must not see
                // anything else.
                if absolute {
                    value = head.authority;
                } else {
                    head.authority = value;
                }
            }
            Known::ContentLength => content_length(line.value, &mut found)?,
            Known::TransferEncoding => transfer_encoding(line.value, head.version, &mut found)?,
            Known::Connection => connection(line.value, &mut found),
            Known::Expect => expect(line.value, head.version, &mut found)?,
            Known::Upgrade => upgrade(line.value, &mut found),
            _ => {}
        }
        head.fields.push(Field { name, value, known });
    }
    // RFC 9112 section 3.2: an HTTP/1.1 request without Host is refused.
    if found.hosts == 0 {
        if head.version == Version::Http11 {
            return Err(HttpError::HostMissing);
        }
        if absolute {
            head.fields.push(Field { name: Span::default(), value: head.authority, known: Known::Host });
        }
    }
    conclude(&found, head.method.of(input) == b"GET", limits, head)
}

#[cold]
fn transfer_encoding(value: &[u8], version: Version, found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9112 section 6.1: in HTTP/1.0 the framing must be taken as faulty.
    if version == Version::Http10 {
        return Err(HttpError::TransferEncodingVersion);
    }
    if found.chunked {
        return Err(HttpError::TransferEncodingRepeated);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        found.chunked = true;
        return Ok(());
    }
    // All that follows is refused; the question is only whether we did not understand (501, RFC 9112 section 6.1)
    // or nobody could (400, section 6.3 item 4: chunked must be the last coding, section 7: and only once).
    let mut chunked = false;
    let mut unknown = false;
    for member in list_members(value) {
        if chunked || !valid_name(member) {
            return Err(HttpError::TransferEncodingInvalid);
        }
        chunked = member.eq_ignore_ascii_case(b"chunked");
        unknown |= !chunked;
    }
    Err(if unknown { HttpError::TransferCodingUnknown } else { HttpError::TransferEncodingInvalid })
}

fn connection(value: &[u8], found: &mut Findings) {
    // RFC 9110 section 7.6.1: a list of tokens in any case. The usual values need no list.
    for member in list_members(value) {
        if member.eq_ignore_ascii_case(b"keep-alive") {
            found.keep_alive = true;
        } else if member.eq_ignore_ascii_case(b"close") {
            found.close = true;
        } else if member.eq_ignore_ascii_case(b"upgrade") {
            found.upgrade = true;
        }
    }
}

fn upgrade(value: &[u8], found: &mut Findings) {
    // RFC 9110 section 7.8: a list of protocols, in any case here as RFC 6455 section 4.2.1 has it.
    found.websocket |= list_members(value).any(|member| member.eq_ignore_ascii_case(b"websocket"));
}

/// What only all fields together can tell.
fn conclude(found: &Findings, is_get: bool, limits: &Limits, head: &mut Head) -> Result<(), HttpError> {
    head.length = match (found.chunked, found.content_length) {
        // RFC 9112 section 6.1: a server may refuse both together, and ought to (section 11.2).
        (true, Some(_)) => return Err(HttpError::LengthConflict),
        (true, None) => Length::Chunked,
        (false, Some(length)) if length > limits.body_bytes => return Err(HttpError::BodyTooLarge),
        (false, Some(length)) => Length::Exact(length),
        // RFC 9112 section 6.3 item 7: a request without framing has no body.
        (false, None) => Length::None,
    };
    // RFC 9112 section 9.3: close wins; 1.1 persists by default, 1.0 only if asked.
    head.keep_alive = !found.close && (head.version == Version::Http11 || found.keep_alive);
    // Without content there is nothing to wait for (RFC 9110 section 10.1.1 forbids clients to ask then).
    let has_body = !head.length.is_empty();
    head.expect_continue = found.expect_continue && has_body;
    // RFC 9110 section 7.8: without the token in Connection, or in a version below 1.1, Upgrade means nothing. With a body, or with `close`,
    // it could be kept to; but where two readers may differ on what follows the head, the bytes are not given to anybody else.
    head.asks_for_websocket = found.upgrade
        && found.websocket
        && !found.close
        && !has_body
        && head.version == Version::Http11
        && is_get;
    Ok(())
}
