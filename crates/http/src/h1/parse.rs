//! From the bytes of a complete head to a [`Head`], and everything that may be refused on the way.
//!
//! httparse does the tokenising. It is lenient in one point that matters: it takes a lone LF for a line end, and two
//! recipients who disagree on where a line ends can be made to see different requests. So each line end is checked
//! here again, which costs two bytes of reading per line. What httparse already refuses and this file relies on:
//! NUL and other controls in names, targets and values, a CR without LF, space before a colon, folded lines (they
//! start with a space, which is no token), empty names, more than one space in the request line, and a target that
//! is not UTF-8 (raw non-ASCII that is UTF-8 passes, because sloppy clients send it; RFC 9112 section 3 forbids it).

use std::mem::MaybeUninit;

use memchr::{memchr, memchr_iter};

use crate::error::HttpError;
use crate::head::{Field, Head, Length, Version};
use crate::header_policy::{
    UnderscorePolicy, list_members, parse_content_length, valid_authority, valid_name,
};
use crate::known::Known;
use crate::limits::Limits;
use crate::span::Span;

/// Fields that fit on the stack; a larger limit is served from the heap.
const STACK_FIELDS: usize = 128;

/// The longest method that is looked at. The registry's longest has 17 letters.
const METHOD_BYTES: usize = 32;

/// Bytes of a request line besides method and target: two spaces, the version, CR LF.
const LINE_REST: usize = 2 + 8 + 2;

/// Parses a head that starts at `input[skip]`. Gives its length (without `skip`), or `None` if more bytes are needed.
#[inline]
pub(crate) fn parse_head(
    input: &[u8],
    skip: usize,
    limits: &Limits,
    head: &mut Head,
) -> Result<Option<usize>, HttpError> {
    // Never look further than a head may reach: pipelined bytes behind it are none of our business, and spans hold
    // 32 bits.
    let bound = limits.head_bytes.min((u32::MAX / 2) as usize);
    let Some(window) = input.get(skip..input.len().min(skip.saturating_add(bound))) else { return Ok(None) };
    let result = if limits.fields <= STACK_FIELDS {
        let mut lines = [const { MaybeUninit::uninit() }; STACK_FIELDS];
        let lines = lines.get_mut(..limits.fields).unwrap_or(&mut []);
        parse_into(input, window, lines, limits, head)
    } else {
        let mut lines = vec![MaybeUninit::uninit(); limits.fields];
        parse_into(input, window, &mut lines, limits, head)
    };
    // Where lines end comes first: the answer should not depend on whether the search for the blank line or the parser
    // has seen the bytes first.
    result.map_err(|error| match scan_lines(window, 0) {
        Err(line_ending) => line_ending,
        Ok(_) => error,
    })
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
        Err(error) => return refusal(error, window),
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
    if method.len() > METHOD_BYTES {
        return Err(HttpError::MethodTooLong);
    }
    if target.len() > limits.target_bytes {
        return Err(HttpError::TargetTooLong);
    }
    parse_target(base, method.as_bytes(), target.as_bytes(), head)?;
    parse_fields(input, request.headers, limits, head)?;
    Ok(Some(length))
}

/// What is wrong when httparse says no.
#[cold]
fn refusal(error: httparse::Error, window: &[u8]) -> Result<Option<usize>, HttpError> {
    Err(match error {
        httparse::Error::HeaderName => HttpError::FieldName,
        httparse::Error::HeaderValue => HttpError::FieldValue,
        httparse::Error::NewLine => HttpError::LineEnding,
        httparse::Error::TooManyHeaders => HttpError::TooManyFields,
        httparse::Error::Token | httparse::Error::Status => HttpError::RequestLine,
        httparse::Error::Version => {
            // The rest of the line decides between 400 and 505, so wait for it: the answer must not depend on how
            // the bytes were cut.
            let Some(end) = memchr(b'\n', window) else { return Ok(None) };
            let line = window.get(..end).unwrap_or(&[]);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Method and target were well-formed, so the version is all that follows the second space.
            match line.splitn(3, |&byte| byte == b' ').nth(2) {
                Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    HttpError::Version
                }
                _ => HttpError::RequestLine,
            }
        }
    })
}

/// RFC 9112 section 3.2: the four forms of a request target.
#[inline]
fn parse_target(base: usize, method: &[u8], target: &[u8], head: &mut Head) -> Result<(), HttpError> {
    head.target = Span::locate(base, target);
    head.authority = Span::default();
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
            let (authority, rest) = split_absolute(target).ok_or(HttpError::Target)?;
            head.authority = Span::locate(base, authority);
            rest
        }
    };
    // RFC 9112 section 3.2: no form has a fragment.
    let (path, query) = match memchr::memchr2(b'?', b'#', rest) {
        None => (rest, &[][..]),
        Some(at) => {
            let (path, query) = rest.split_at(at);
            if memchr(b'#', query).is_some() {
                return Err(HttpError::Target);
            }
            (path, query.get(1..).unwrap_or(&[]))
        }
    };
    head.path = Span::locate(base, path);
    head.query = if query.is_empty() { Span::default() } else { Span::locate(base, query) };
    Ok(())
}

/// Authority and what follows it, of an `http` or `https` URI.
#[cold]
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // RFC 9110 section 4.2.1: an http URI with an empty host is invalid; section 4.2.4: so is user information,
    // which `valid_authority` refuses with its '@'.
    (!authority.is_empty() && authority.first() != Some(&b':') && valid_authority(authority))
        .then_some((authority, rest))
}

/// What the fields have said about the message as a whole.
#[derive(Default)]
struct Findings {
    hosts: u32,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
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
        match known {
            // Known names have no underscore.
            Known::Other if line.name.as_bytes().contains(&b'_') => match limits.underscores {
                UnderscorePolicy::Drop => continue,
                UnderscorePolicy::Refuse => return Err(HttpError::FieldUnderscore),
                UnderscorePolicy::Allow => {}
            },
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
    conclude(&found, limits, head)
}

fn host(value: &[u8], found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9112 section 3.2: more than one Host, or an invalid one, is refused.
    found.hosts += 1;
    if found.hosts > 1 {
        return Err(HttpError::HostRepeated);
    }
    if valid_authority(value) { Ok(()) } else { Err(HttpError::HostInvalid) }
}

fn content_length(value: &[u8], found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9112 section 6.3 item 5 lets a recipient accept repeated equal values; refusing is allowed and leaves
    // nothing to disagree on.
    if found.content_length.is_some() {
        return Err(HttpError::ContentLengthRepeated);
    }
    found.content_length = Some(parse_content_length(value).ok_or(HttpError::ContentLengthInvalid)?);
    Ok(())
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
        }
    }
}

fn expect(value: &[u8], version: Version, found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9110 section 10.1.1: ignored in HTTP/1.0; 417 for what is not understood.
    if version == Version::Http11 {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HttpError::ExpectationUnknown);
        }
        found.expect_continue = true;
    }
    Ok(())
}

/// What only all fields together can tell.
fn conclude(found: &Findings, limits: &Limits, head: &mut Head) -> Result<(), HttpError> {
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
    head.expect_continue = found.expect_continue && !matches!(head.length, Length::None | Length::Exact(0));
    Ok(())
}

/// Where the search for the end of a head has come to.
pub(crate) enum Search {
    /// The blank line is there.
    Found,
    /// Not yet; `input` has been searched completely.
    NotYet,
}

/// Looks for the blank line in `input[from..]`, which continues an incomplete head; the limits are checked on the way.
///
/// `input` starts with the request line and `from` is what has been searched before, so that a client who sends
/// single bytes does not make us read the head again for each.
#[cold]
pub(crate) fn search_end(input: &[u8], from: usize, limits: &Limits) -> Result<Search, HttpError> {
    // A request line that cannot become valid any more: say which part of it is to blame.
    let line = limits.target_bytes.saturating_add(METHOD_BYTES + LINE_REST);
    let start = input.get(..line).unwrap_or(input);
    if input.len() > METHOD_BYTES
        && !start.iter().take(METHOD_BYTES + 1).any(|byte| matches!(byte, b' ' | b'\n'))
    {
        return Err(HttpError::MethodTooLong);
    }
    if input.len() > line && memchr(b'\n', start).is_none() {
        return Err(HttpError::TargetTooLong);
    }
    match scan_lines(input, from)? {
        Search::NotYet if input.len() >= limits.head_bytes => Err(HttpError::HeadTooLarge),
        search => Ok(search),
    }
}

/// Looks at each line end in `input[from..]` up to the blank line. RFC 9112 section 2.2 allows a recipient to take a
/// lone LF for a line end; this one does not.
fn scan_lines(input: &[u8], from: usize) -> Result<Search, HttpError> {
    let fresh = input.get(from..).unwrap_or(&[]);
    for at in memchr_iter(b'\n', fresh).map(|at| at + from) {
        let before = input.get(..at).unwrap_or(&[]);
        let Some(before) = before.strip_suffix(b"\r") else { return Err(HttpError::LineEnding) };
        if before.last() == Some(&b'\n') {
            return Ok(Search::Found);
        }
    }
    Ok(Search::NotYet)
}
