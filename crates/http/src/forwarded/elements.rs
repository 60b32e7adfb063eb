//! The syntax of `Forwarded` (RFC 7239 section 4).
//!
//! A field line is read from its beginning, as a whole, although what counts stands at its end: where a quoted string
//! begins cannot be found from behind. A client who leaves a quote open, to swallow what the proxy appends, makes the line
//! malformed and is refused: behind the quote that the proxy opens there is always something.

use crate::error::HttpError;
use crate::header_policy::is_token_byte;

/// What one proxy says. Values as written, without quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub client: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
    pub proto: Option<&'a [u8]>,
}

/// Calls `each` with every element of one field line, in order; those without any parameter are left out.
pub(super) fn elements<'a>(value: &'a [u8], mut each: impl FnMut(Element<'a>)) -> Result<(), HttpError> {
    let mut rest = value;
    loop {
        let (element, after) = element(rest)?;
        if let Some(element) = element {
            each(element);
        }
        match after.split_first() {
            None => return Ok(()),
            Some((b',', after)) => rest = after,
            Some(_) => return Err(HttpError::ForwardedInvalid),
        }
    }
}

/// `[ pair ] *( ";" [ pair ] )`, with the white space around it that many senders add, and what follows.
fn element(mut rest: &[u8]) -> Result<(Option<Element<'_>>, &[u8]), HttpError> {
    let mut element = Element::default();
    let mut by = None;
    let mut any = false;
    loop {
        rest = rest.trim_ascii_start();
        let (name, after) = token(rest);
        if !name.is_empty() {
            any = true;
            let after = after.strip_prefix(b"=").ok_or(HttpError::ForwardedInvalid)?;
            let (value, after) = pair_value(after)?;
            rest = after.trim_ascii_start();
            let place = match name.len() {
                3 if name.eq_ignore_ascii_case(b"for") => Some(&mut element.client),
                4 if name.eq_ignore_ascii_case(b"host") => Some(&mut element.host),
                5 if name.eq_ignore_ascii_case(b"proto") => Some(&mut element.proto),
                2 if name.eq_ignore_ascii_case(b"by") => Some(&mut by),
                // Section 5.5: others may exist and mean nothing here.
                _ => None,
            };
            // Section 4: each parameter once.
            if let Some(place) = place
                && place.replace(value).is_some()
            {
                return Err(HttpError::ForwardedInvalid);
            }
        }
        match rest.strip_prefix(b";") {
            Some(after) => rest = after,
            None => return Ok((any.then_some(element), rest)),
        }
    }
}

/// A token or a quoted string, without its quotes, and what follows. An escaped byte stays escaped, so that what it
/// stands in has a form that no address, host or scheme has.
fn pair_value(text: &[u8]) -> Result<(&[u8], &[u8]), HttpError> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, after) = token(text);
        return if value.is_empty() { Err(HttpError::ForwardedInvalid) } else { Ok((value, after)) };
    };
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', quoted.get(end..).ok_or(HttpError::ForwardedInvalid)?)
            .ok_or(HttpError::ForwardedInvalid)?;
        match quoted.get(end) {
            Some(b'"') => break,
            // RFC 9110 section 5.6.4: the byte behind a backslash is no quote.
            _ => end += 2,
        }
    }
    let (value, after) = quoted.split_at_checked(end).ok_or(HttpError::ForwardedInvalid)?;
    Ok((value, after.get(1..).unwrap_or_default()))
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Triple<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

    fn read(value: &str) -> Result<Vec<Triple<'_>>, HttpError> {
        let mut all = Vec::new();
        let text = |part: Option<_>| part.map(|bytes| std::str::from_utf8(bytes).unwrap());
        elements(value.as_bytes(), |element| {
            all.push((text(element.client), text(element.host), text(element.proto)));
        })?;
        Ok(all)
    }

    #[test]
    fn well_formed() {
        let cases: &[(&'static str, &[Triple<'_>])] = &[
            ("", &[]),
            (" , ;; ,", &[]),
            ("for=1.2.3.4", &[(Some("1.2.3.4"), None, None)]),
            ("For=\"[::1]:80\" ; PROTO=https;by=_x;host=a", &[(Some("[::1]:80"), Some("a"), Some("https"))]),
            ("for=a, for=b;ext=\"x,;\\\"y\"", &[(Some("a"), None, None), (Some("b"), None, None)]),
            ("proto=http;", &[(None, None, Some("http"))]),
            ("x=y", &[(None, None, None)]),
            ("for=\"\"", &[(Some(""), None, None)]),
            ("host=\"a\\b\"", &[(None, Some("a\\b"), None)]),
        ];
        for (value, want) in cases {
            assert_eq!(read(value).as_deref(), Ok(*want), "{value}");
        }
    }

    #[test]
    fn malformed() {
        for value in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= a",
            "for=a b",
            "for=[::1]",
            "for=1.2.3.4:80",
            "for=\"a",
            "for=\"a\\\"",
            "for=\"a\\",
            "for=\"a\"b",
            "for=a\"b\"",
            "for=a;for=b",
            "by=a;by=b",
            "for=a for=b",
            "(a)=b",
            // A client leaves a quote open, the proxy appends.
            "for=\"x, for=1.2.3.4",
            "for=\"x, for=\"[::1]:80\"",
            "x=\"\\, for=\"[::1]\";proto=https",
            "x=\", for=1.2.3.4;by=\"_p\";proto=http",
        ] {
            assert_eq!(read(value), Err(HttpError::ForwardedInvalid), "{value}");
        }
    }
}
