//! What a request head may say, whatever the version of HTTP: one policy for the path and for the fields that mean something here.
//!
//! `h1::parse` and `h2::request` bring the parts of a head; which framing each protocol has is their own concern. Pure.

use memchr::{memchr, memchr3};

use crate::error::HttpError;
use crate::forwarded::is_forwarding_field;
use crate::head::{Head, Version};
use crate::header_policy::{UnderscorePolicy, parse_content_length, valid_authority};
use crate::known::Known;
use crate::span::Span;

/// The longest method that is looked at. The registry's longest has 17 letters.
pub(crate) const METHOD_BYTES: u32 = 32;

/// Sets path and query from `rest`, the target behind an authority; `base` is where the head's bytes begin.
#[inline]
pub(crate) fn set_path(base: usize, rest: &[u8], head: &mut Head) -> Result<(), HttpError> {
    let (path, query) = match memchr3(b'?', b'#', b'%', rest) {
        None => {
            head.path_encoded = false;
            (rest, &[][..])
        }
        Some(at) => {
            let (path, query) = split_path(rest, at)?;
            head.path_encoded = at < path.len();
            (path, query)
        }
    };
    head.path = Span::locate(base, path);
    head.query = if query.is_empty() { Span::default() } else { Span::locate(base, query) };
    Ok(())
}

/// Path and query; before `at` is nothing but path.
fn split_path(rest: &[u8], at: usize) -> Result<(&[u8], &[u8]), HttpError> {
    let tail = rest.get(at..).unwrap_or_default();
    // RFC 9112 section 3.2: no form has a fragment.
    if memchr(b'#', tail).is_some() {
        return Err(HttpError::Target);
    }
    let (path, query) = rest.split_at(memchr(b'?', tail).map_or(rest.len(), |more| at + more));
    // RFC 3986 section 7.3: %00 should be refused where no raw data is expected. Whoever passes a path on to the system
    // would have it end there.
    if path.get(at..).is_some_and(|tail| tail.windows(3).any(|three| three == b"%00")) {
        return Err(HttpError::TargetNul);
    }
    Ok((path, query.get(1..).unwrap_or_default()))
}

/// What the fields have said about the message as a whole.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) hosts: u32,
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    pub(crate) upgrade: bool,
    pub(crate) websocket: bool,
}

/// Whether the application is to see a field of this name at all.
#[inline]
pub(crate) fn is_passed_on(known: Known, name: &[u8], policy: UnderscorePolicy) -> Result<bool, HttpError> {
    match known {
        // Known names have no underscore.
        Known::Other if name.contains(&b'_') => match policy {
            UnderscorePolicy::Drop => Ok(false),
            UnderscorePolicy::Refuse => Err(HttpError::FieldUnderscore),
            UnderscorePolicy::Allow => Ok(!is_look_alike(name)),
        },
        // RFC 3875 section 4.1.18 makes HTTP_PROXY of it, which programs take for a setting (CVE-2016-5385).
        Known::Proxy => Ok(false),
        _ => Ok(true),
    }
}

/// Whether a name with underscores would have the environ key of a field that means something to this server or says where
/// the request came from. Such a one is never passed on.
#[cold]
fn is_look_alike(name: &[u8]) -> bool {
    let mut hyphens = [0; 64];
    let Some(copy) = hyphens.get_mut(..name.len()) else { return false };
    copy.iter_mut().zip(name).for_each(|(place, &byte)| *place = if byte == b'_' { b'-' } else { byte });
    Known::lookup(copy) != Known::Other || is_forwarding_field(Known::Other, name)
}

/// RFC 9110 section 7.2.
pub(crate) fn host(value: &[u8], found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9112 section 3.2: more than one Host, or an invalid one, is refused.
    found.hosts += 1;
    if found.hosts > 1 {
        return Err(HttpError::HostRepeated);
    }
    if valid_authority(value) { Ok(()) } else { Err(HttpError::HostInvalid) }
}

/// RFC 9110 section 8.6.
pub(crate) fn content_length(value: &[u8], found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9112 section 6.3 item 5 lets a recipient accept repeated equal values; refusing is allowed and leaves
    // nothing to disagree on.
    if found.content_length.is_some() {
        return Err(HttpError::ContentLengthRepeated);
    }
    found.content_length = Some(parse_content_length(value).ok_or(HttpError::ContentLengthInvalid)?);
    Ok(())
}

/// RFC 9110 section 10.1.1.
pub(crate) fn expect(value: &[u8], version: Version, found: &mut Findings) -> Result<(), HttpError> {
    // RFC 9110 section 10.1.1: ignored in HTTP/1.0; 417 for what is not understood.
    if version != Version::Http10 {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HttpError::ExpectationUnknown);
        }
        found.expect_continue = true;
    }
    Ok(())
}
