//! Conditional requests: entity tags, and in which order the conditions of RFC 9110 section 13 are looked at.
//!
//! Owns the comparison of what a client has with what there is now. Knows no files and no clock: the caller says which validators the
//! selected representation has, and gives only such as can be relied on.

use std::time::{Duration, UNIX_EPOCH};

use crate::known::Known;

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// The entity tag as it is sent, with its quotes and, where it is weak, `W/`.
    pub etag: Option<&'a [u8]>,
    /// When it changed last, in seconds since 1970. Strong in the sense of section 8.8.2.2: nothing that was sent with the same second
    /// was different.
    pub modified: Option<u64>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The method is performed.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// Whether a field is looked at here or in [`ranges`](crate::ranges); what has to be kept of a head for later.
pub fn is_condition(known: Known) -> bool {
    matches!(
        known,
        Known::IfMatch
            | Known::IfNoneMatch
            | Known::IfModifiedSince
            | Known::IfUnmodifiedSince
            | Known::IfRange
            | Known::Range
    )
}

/// Evaluates a request's conditions, in the order of section 13.2.2. `is_read`: the method is GET or HEAD.
pub fn evaluate<'f>(
    fields: impl Iterator<Item = (Known, &'f [u8])> + Clone,
    is_read: bool,
    now: &Validators<'_>,
) -> Outcome {
    let has = |name| fields.clone().any(|(known, _)| known == name);
    if has(Known::IfMatch) {
        if !is_listed(values(fields.clone(), Known::IfMatch), now.etag, strongly_equal) {
            return Outcome::Failed;
        }
    } else if let (Some(since), Some(modified)) =
        (only_date(fields.clone(), Known::IfUnmodifiedSince), now.modified)
        && modified > since
    {
        return Outcome::Failed;
    }
    if has(Known::IfNoneMatch) {
        if is_listed(values(fields.clone(), Known::IfNoneMatch), now.etag, weakly_equal) {
            return if is_read { Outcome::NotModified } else { Outcome::Failed };
        }
    } else if is_read
        && let (Some(since), Some(modified)) =
            (only_date(fields.clone(), Known::IfModifiedSince), now.modified)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether `If-Range` allows to answer a range (section 13.1.5); true where there is none.
pub fn allows_range<'f>(fields: impl Iterator<Item = (Known, &'f [u8])>, now: &Validators<'_>) -> bool {
    let mut given = values(fields, Known::IfRange);
    let Some(value) = given.next() else { return true };
    if given.next().is_some() {
        return false;
    }
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return now.etag.is_some_and(|etag| is_tag(value) && strongly_equal(value, etag));
    }
    // Exactly that date, and no earlier or later one.
    date(value).is_some_and(|date| now.modified == Some(date))
}

fn values<'f>(
    fields: impl Iterator<Item = (Known, &'f [u8])>,
    name: Known,
) -> impl Iterator<Item = &'f [u8]> {
    fields.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// A date that is given once; what is no date, or given twice, is ignored (section 13.1.3).
fn only_date<'f>(fields: impl Iterator<Item = (Known, &'f [u8])>, name: Known) -> Option<u64> {
    let mut given = values(fields, name);
    let value = given.next()?;
    if given.next().is_some() { None } else { date(value) }
}

/// Seconds since 1970 of an HTTP date (section 5.6.7), in each of its three forms.
pub fn date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().as_ref().map(Duration::as_secs)
}

/// Whether `etag` is in the lists, or one of them is `*`, which stands for anything that exists.
fn is_listed<'f>(
    lists: impl Iterator<Item = &'f [u8]>,
    etag: Option<&[u8]>,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    for list in lists {
        if list == b"*" {
            return true;
        }
        if let Some(etag) = etag
            && tags(list).any(|tag| equal(tag, etag))
        {
            return true;
        }
    }
    false
}

/// The entity tags of a list, up to the first place where it is malformed. A comma may stand inside of a tag, so it is not split at commas.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let Some((b' ' | b'\t' | b',', after)) = rest.split_first() {
            rest = after;
        }
        let quote = if rest.starts_with(b"W/") { 2 } else { 0 };
        let (b'"', inner) = rest.get(quote..)?.split_first()? else { return None };
        let length = memchr::memchr(b'"', inner)?;
        let (tag, after) = rest.split_at_checked(quote + length + 2)?;
        let follows = after.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        rest = if matches!(follows, None | Some(b',')) { after } else { &[] };
        (is_tag(tag) && matches!(follows, None | Some(b','))).then_some(tag)
    })
}

/// Whether this is one entity tag (section 8.8.3).
pub fn is_tag(tag: &[u8]) -> bool {
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let Some(inner) = opaque.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return false;
    };
    inner.iter().all(|&byte| byte == b'!' || (0x23..=0x7e).contains(&byte) || byte >= 0x80)
}

/// The comparison for `If-Match` and `If-Range` (section 8.8.3.2): a weak tag equals nothing.
fn strongly_equal(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

/// The comparison for `If-None-Match`.
fn weakly_equal(one: &[u8], other: &[u8]) -> bool {
    one.strip_prefix(b"W/").unwrap_or(one) == other.strip_prefix(b"W/").unwrap_or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const SECONDS: u64 = 784_111_777;

    fn fields<'a>(given: &'a [(Known, &'a str)]) -> impl Iterator<Item = (Known, &'a [u8])> + Clone {
        given.iter().map(|(known, value)| (*known, value.as_bytes()))
    }

    fn outcome(given: &[(Known, &str)], is_read: bool) -> Outcome {
        evaluate(fields(given), is_read, &Validators { etag: Some(b"\"a\""), modified: Some(SECONDS) })
    }

    #[test]
    fn dates_in_their_three_forms() {
        for text in [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(date(text.as_bytes()), Some(SECONDS), "{text}");
        }
        for text in ["", "0", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET", "\u{fc}"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_condition_alone() {
        use Known::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
        use Outcome::{Failed, NotModified, Proceed};
        for (name, value, read, write) in [
            (IfMatch, "\"a\"", Proceed, Proceed),
            (IfMatch, "*", Proceed, Proceed),
            (IfMatch, "\"b\", \"a\"", Proceed, Proceed),
            (IfMatch, "W/\"a\"", Failed, Failed),
            (IfMatch, "\"b\"", Failed, Failed),
            (IfMatch, "", Failed, Failed),
            (IfMatch, "a", Failed, Failed),
            (IfNoneMatch, "\"a\"", NotModified, Failed),
            (IfNoneMatch, "W/\"a\"", NotModified, Failed),
            (IfNoneMatch, "*", NotModified, Failed),
            (IfNoneMatch, "\"x,\", ,\t\"a\"", NotModified, Failed),
            (IfNoneMatch, "\"b\"", Proceed, Proceed),
            (IfNoneMatch, "\"b\"\"a\"", Proceed, Proceed),
            (IfNoneMatch, "\"b", Proceed, Proceed),
            (IfNoneMatch, "a", Proceed, Proceed),
            (IfModifiedSince, DATE, NotModified, Proceed),
            (IfModifiedSince, LATER, NotModified, Proceed),
            (IfModifiedSince, EARLIER, Proceed, Proceed),
            (IfModifiedSince, "soon", Proceed, Proceed),
            (IfUnmodifiedSince, DATE, Proceed, Proceed),
            (IfUnmodifiedSince, LATER, Proceed, Proceed),
            (IfUnmodifiedSince, EARLIER, Failed, Failed),
            (IfUnmodifiedSince, "soon", Proceed, Proceed),
        ] {
            assert_eq!(outcome(&[(name, value)], true), read, "{name:?} {value}");
            assert_eq!(outcome(&[(name, value)], false), write, "{name:?} {value}");
        }
    }

    #[test]
    fn which_condition_wins() {
        use Known::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
        use Outcome::{Failed, NotModified, Proceed};
        for (given, want) in [
            // With If-Match the date is not looked at, and with If-None-Match neither.
            (&[(IfMatch, "\"a\""), (IfUnmodifiedSince, EARLIER)][..], Proceed),
            (&[(IfNoneMatch, "\"b\""), (IfModifiedSince, LATER)], Proceed),
            (&[(IfNoneMatch, "\"a\""), (IfModifiedSince, EARLIER)], NotModified),
            // What must hold comes before what the client has.
            (&[(IfNoneMatch, "\"a\""), (IfMatch, "\"b\"")], Failed),
            (&[(IfUnmodifiedSince, EARLIER), (IfNoneMatch, "\"a\"")], Failed),
            (&[(IfMatch, "\"a\""), (IfNoneMatch, "\"a\"")], NotModified),
            // Lists in several lines are one list; dates are not.
            (&[(IfNoneMatch, "\"b\""), (IfNoneMatch, "\"a\"")], NotModified),
            (&[(IfModifiedSince, LATER), (IfModifiedSince, LATER)], Proceed),
        ] {
            assert_eq!(outcome(given, true), want, "{given:?}");
        }
    }

    #[test]
    fn a_representation_without_validators_fulfils_only_what_asks_for_none() {
        let none = Validators::default();
        for (given, want) in [
            ((Known::IfMatch, "*"), Outcome::Proceed),
            ((Known::IfMatch, "\"a\""), Outcome::Failed),
            ((Known::IfNoneMatch, "\"a\""), Outcome::Proceed),
            ((Known::IfModifiedSince, LATER), Outcome::Proceed),
            ((Known::IfUnmodifiedSince, EARLIER), Outcome::Proceed),
        ] {
            assert_eq!(evaluate(fields(&[given]), true, &none), want, "{given:?}");
        }
    }

    #[test]
    fn if_range_compares_strongly() {
        let now = Validators { etag: Some(b"\"a\""), modified: Some(SECONDS) };
        let weak = Validators { etag: Some(b"W/\"a\""), modified: None };
        let ask = |value, now: &Validators<'_>| allows_range(fields(&[(Known::IfRange, value)]), now);
        assert!(allows_range(fields(&[]), &now));
        assert!(ask("\"a\"", &now) && ask(DATE, &now));
        for value in ["\"b\"", "W/\"a\"", EARLIER, LATER, "", "*", "\"a", "\"a\", \"b\""] {
            assert!(!ask(value, &now), "{value}");
        }
        assert!(!ask("W/\"a\"", &weak) && !ask("\"a\"", &weak) && !ask(DATE, &weak));
        assert!(!allows_range(fields(&[(Known::IfRange, "\"a\""), (Known::IfRange, "\"a\"")]), &now));
    }

    #[test]
    fn tags_have_no_blanks_and_may_have_commas() {
        for tag in ["\"\"", "\"a,b\"", "W/\"\"", "\"!#~\u{e4}\""] {
            assert!(is_tag(tag.as_bytes()), "{tag}");
        }
        for tag in ["", "\"", "a", "w/\"a\"", "\"a b\"", "\"a\"b\"", "W/", "\"a\x7f\"", " \"a\""] {
            assert!(!is_tag(tag.as_bytes()), "{tag}");
        }
        let found: Vec<_> = tags(b" \"a,b\" ,, W/\"c\"\t,\"d\" e, \"f\"").collect();
        assert_eq!(found, [&b"\"a,b\""[..], b"W/\"c\""]);
    }
}
