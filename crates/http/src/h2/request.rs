//! From the fields of a header block to a [`Head`], by the policy that HTTP/1 has too, and what RFC 9113 section 8 adds.

use crate::error::HttpError;
use crate::head::{Field, Head, Length, Version};
use crate::header_policy::{valid_name, valid_value};
use crate::known::Known;
use crate::limits::Limits;
use crate::request_policy::{Findings, METHOD_BYTES, content_length, expect, host, is_passed_on, set_path};
use crate::span::Span;

use super::priority::{Urgency, urgency};

/// The pseudo-header fields of a request (section 8.3.1).
#[derive(Default)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
}

/// Fills `head` from `raw`, whose spans point into `text`; what `head` says points there too. `ended`: no body follows.
pub(crate) fn read_request(
    text: &mut Vec<u8>,
    raw: &[Field],
    ended: bool,
    websockets: bool,
    limits: &Limits,
    head: &mut Head,
) -> Result<Urgency, HttpError> {
    head.version = Version::Http2;
    head.fields.clear();
    head.fields.reserve(raw.len());
    let (pseudo, regular) = read_pseudo(text, raw)?;
    read_line(text, &pseudo, websockets, limits, head)?;
    let mut found = Findings::default();
    if let Some(authority) = pseudo.authority {
        take_authority(text, authority, &mut found, head)?;
    }
    let mut cookies = 0u32;
    let mut wanted = Urgency::default();
    for field in regular {
        let (name, value) = (field.name.of(text), field.value.of(text));
        check_field(name, value)?;
        if !is_passed_on(field.known, name, limits.underscores)? {
            continue;
        }
        match field.known {
            // Section 8.3.1: Host must not say anything else than `:authority`.
            Known::Host if pseudo.authority.is_some() => {
                if !value.eq_ignore_ascii_case(head.authority.of(text)) {
                    return Err(HttpError::HostRepeated);
                }
                continue;
            }
            Known::Host => {
                host(value, &mut found)?;
                head.authority = field.value;
            }
            Known::ContentLength => content_length(value, &mut found)?,
            Known::Expect => expect(value, Version::Http2, &mut found)?,
            Known::Priority => wanted = urgency(value),
            Known::Cookie => cookies += 1,
            known if is_of_connection(known, name, value) => return Err(HttpError::ConnectionField),
            _ => {}
        }
        head.fields.push(*field);
    }
    // Section 8.3.1: without `:authority` there must be a Host, and with http and https neither may be empty.
    if head.authority.is_empty() {
        return Err(HttpError::HostMissing);
    }
    if cookies > 1 {
        join_cookies(text, head);
    }
    if head.fields.len() > limits.fields {
        return Err(HttpError::TooManyFields);
    }
    conclude(&found, ended, pseudo.protocol.is_some(), limits, head)?;
    Ok(wanted)
}

/// `:authority` is passed on as Host.
fn take_authority(
    text: &[u8],
    authority: Span,
    found: &mut Findings,
    head: &mut Head,
) -> Result<(), HttpError> {
    host(authority.of(text), found)?;
    head.authority = authority;
    head.fields.push(Field { name: Span::default(), value: authority, known: Known::Host });
    Ok(())
}

/// Whether a field speaks of the connection, which section 8.2.2 forbids; there is one thing that `te` may say.
fn is_of_connection(known: Known, name: &[u8], value: &[u8]) -> bool {
    match known {
        Known::Te => value != b"trailers",
        Known::Connection | Known::KeepAlive | Known::TransferEncoding | Known::Upgrade => true,
        Known::Other => name == b"proxy-connection",
        _ => false,
    }
}

/// Section 8.3: known, once, and in front of all others.
fn read_pseudo<'f>(text: &[u8], raw: &'f [Field]) -> Result<(Pseudo, &'f [Field]), HttpError> {
    let mut pseudo = Pseudo::default();
    let is_pseudo = |field: &Field| field.name.of(text).first() == Some(&b':');
    let count = raw.iter().position(|field| !is_pseudo(field)).unwrap_or(raw.len());
    let (front, regular) = raw.split_at_checked(count).unwrap_or_default();
    for field in front {
        let place = match field.name.of(text) {
            b":method" => &mut pseudo.method,
            b":scheme" => &mut pseudo.scheme,
            b":authority" => &mut pseudo.authority,
            b":path" => &mut pseudo.path,
            b":protocol" => &mut pseudo.protocol,
            _ => return Err(HttpError::PseudoField),
        };
        if place.replace(field.value).is_some() {
            return Err(HttpError::PseudoField);
        }
    }
    if regular.iter().any(is_pseudo) { Err(HttpError::PseudoField) } else { Ok((pseudo, regular)) }
}

/// Method, scheme and path: what HTTP/1 has in its first line.
fn read_line(
    text: &[u8],
    pseudo: &Pseudo,
    websockets: bool,
    limits: &Limits,
    head: &mut Head,
) -> Result<(), HttpError> {
    head.method = pseudo.method.ok_or(HttpError::PseudoField)?;
    let method = head.method.of(text);
    if !valid_name(method) {
        return Err(HttpError::RequestLine);
    }
    if method.len() > METHOD_BYTES as usize {
        return Err(HttpError::MethodTooLong);
    }
    let is_tunnel = pseudo.protocol.is_none() && method == b"CONNECT";
    // RFC 8441 section 4: with `:protocol` all of them are there, and the method is CONNECT.
    if is_tunnel || (pseudo.protocol.is_some() && !(websockets && method == b"CONNECT")) {
        return Err(if is_tunnel { HttpError::ConnectRefused } else { HttpError::PseudoField });
    }
    let scheme = pseudo.scheme.ok_or(HttpError::PseudoField)?.of(text);
    head.https_target = false;
    // Which of the two is not looked at. It is what the connection to somebody in front was, or a guess of a proxy that speaks HTTP/1 with
    // its client; who is to be believed there says it in a forwarding field.
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(HttpError::Target);
    }
    let span = pseudo.path.ok_or(HttpError::PseudoField)?;
    let target = span.of(text);
    // As long as HTTP/1's line would be: two spaces and the version are the rest of it.
    if method.len() + target.len() + 10 > limits.line_bytes {
        return Err(HttpError::LineTooLong);
    }
    let has_form = target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS");
    // As in HTTP/1: raw bytes beyond ASCII pass where they are UTF-8.
    let is_clean = target.iter().all(|&byte| byte > 0x20 && byte != 0x7f);
    if !has_form || !is_clean || (!target.is_ascii() && std::str::from_utf8(target).is_err()) {
        return Err(HttpError::Target);
    }
    if let Some(protocol) = pseudo.protocol
        && !protocol.of(text).eq_ignore_ascii_case(b"websocket")
    {
        return Err(HttpError::ProtocolUnknown);
    }
    head.target = span;
    head.authority = Span::default();
    set_path(text.as_ptr() as usize, target, head)
}

/// Section 8.2.1.
#[inline]
fn check_field(name: &[u8], value: &[u8]) -> Result<(), HttpError> {
    if !valid_name(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err(HttpError::FieldName);
    }
    let is_padded = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if !valid_value(value) || is_padded(value.first()) || is_padded(value.last()) {
        return Err(HttpError::FieldValue);
    }
    Ok(())
}

/// Section 8.2.3: crumbs become one field again, at the place of the first.
fn join_cookies(text: &mut Vec<u8>, head: &mut Head) {
    let start = text.len();
    for field in head.fields.iter().filter(|field| field.known == Known::Cookie) {
        if text.len() > start {
            text.extend_from_slice(b"; ");
        }
        text.extend_from_within(field.value.start as usize..field.value.end as usize);
    }
    let whole = Span { start: start as u32, end: text.len() as u32 };
    let mut is_first = true;
    head.fields.retain_mut(|field| {
        if field.known != Known::Cookie {
            return true;
        }
        field.value = whole;
        std::mem::replace(&mut is_first, false)
    });
}

fn conclude(
    found: &Findings,
    ended: bool,
    is_websocket: bool,
    limits: &Limits,
    head: &mut Head,
) -> Result<(), HttpError> {
    head.length = match found.content_length {
        Some(length) if length > limits.body_bytes => return Err(HttpError::BodyTooLarge),
        // Section 8.1.1: what is announced has to come.
        Some(length) if (ended || is_websocket) && length > 0 => return Err(HttpError::LengthMismatch),
        // What follows is no content (RFC 9110 section 9.3.6).
        _ if is_websocket => Length::None,
        Some(length) => Length::Exact(length),
        None if ended => Length::None,
        None => Length::Chunked,
    };
    head.keep_alive = true;
    head.expect_continue = found.expect_continue && !ended && !is_websocket;
    head.asks_for_websocket = is_websocket;
    Ok(())
}

/// A trailer section: checked like the fields of a head, and then dropped, for nothing in WSGI could show it to the application.
pub(crate) fn check_trailers(text: &[u8], raw: &[Field]) -> Result<(), HttpError> {
    for field in raw {
        let misplaced = matches!(
            field.known,
            Known::ContentLength | Known::TransferEncoding | Known::Host | Known::Connection | Known::Trailer
        );
        if misplaced || check_field(field.name.of(text), field.value.of(text)).is_err() {
            return Err(HttpError::Trailer);
        }
    }
    Ok(())
}
