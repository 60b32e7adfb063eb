//! Which part of a file is sent where the application leaves that to the server: it has said `Accept-Ranges: bytes` of a `wsgi.file_wrapper`.
//!
//! # The contract
//! Only a 200 to GET is looked at whose body is a regular file, with that field, without `Content-Range`, and with the length of the file or
//! none. Then conditions (where there is an `ETag` or `Last-Modified`) and ranges are the server's business, as with files of its own (RFC 9110
//! sections 13 and 14); of everything else not a byte is changed. Whoever cuts the file itself says 206, and has another iterable.
//! A request for several ranges gets all of it, which section 14.2 allows.
//!
//! Pure. Must not know where fields come from or how files are sent.

use std::ops::Range;

use pelton_http::Known;
use pelton_http::conditions::{Outcome, Validators, allows_range, date, evaluate};
use pelton_http::ranges::{Wanted, wanted, write_content_range};

use crate::head::Head;

/// What the response becomes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// 206, 304, 412 or 416.
    pub(crate) status: u16,
    pub(crate) reason: &'static [u8],
    /// Of the file's bytes from its position on; empty for all but 206.
    pub(crate) range: Range<u64>,
    /// Fields that are no longer true.
    pub(crate) removed: &'static [&'static [u8]],
    pub(crate) added: Vec<(&'static [u8], Vec<u8>)>,
}

/// The fields of requests that matter here, by their names in an environ.
pub(crate) const ASKED: [(&str, Known); 6] = [
    ("HTTP_RANGE", Known::Range),
    ("HTTP_IF_RANGE", Known::IfRange),
    ("HTTP_IF_MATCH", Known::IfMatch),
    ("HTTP_IF_NONE_MATCH", Known::IfNoneMatch),
    ("HTTP_IF_MODIFIED_SINCE", Known::IfModifiedSince),
    ("HTTP_IF_UNMODIFIED_SINCE", Known::IfUnmodifiedSince),
];

/// Fields about the whole body.
const OF_THE_WHOLE: &[&[u8]] = &[b"content-length", b"content-md5", b"digest", b"content-digest"];
/// Fields about a body that is not sent (section 15.4.5).
const OF_A_BODY: &[&[u8]] = &[
    b"content-length",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"content-type",
    b"content-encoding",
    b"content-language",
    b"content-disposition",
];
/// The same, and what would be kept of a refusal.
const OF_A_SUCCESS: &[&[u8]] = &[
    b"content-length",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"content-type",
    b"content-encoding",
    b"content-language",
    b"content-disposition",
    b"cache-control",
    b"expires",
    b"etag",
    b"last-modified",
];

/// Whether the application leaves it to the server to cut what it sends.
pub(crate) fn leaves_ranges(head: &Head) -> bool {
    let mut offers = false;
    for (name, value) in head.fields() {
        if name.eq_ignore_ascii_case(b"accept-ranges") {
            offers = value.trim_ascii().eq_ignore_ascii_case(b"bytes");
        } else if name.eq_ignore_ascii_case(b"content-range") {
            return false;
        }
    }
    offers && head.status() == 200
}

/// What becomes of a response of `length` bytes whose head leaves it to the server; None: nothing else than it is.
pub(crate) fn cut(head: &Head, length: u64, asked: &[(Known, Vec<u8>)]) -> Option<Cut> {
    if head.content_length().is_some_and(|said| said != length) {
        return None;
    }
    let find = |wanted: &[u8]| {
        head.fields().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim_ascii())
    };
    let now = Validators { etag: find(b"etag"), modified: find(b"last-modified").and_then(date) };
    let fields = asked.iter().map(|(known, value)| (*known, &value[..]));
    let nothing = |status, reason, removed, added| Some(Cut { status, reason, range: 0..0, removed, added });
    if now.etag.is_some() || now.modified.is_some() {
        match evaluate(fields.clone(), true, &now) {
            Outcome::Proceed => {}
            Outcome::NotModified => return nothing(304, b"Not Modified", OF_A_BODY, Vec::new()),
            Outcome::Failed => return nothing(412, b"Precondition Failed", OF_A_SUCCESS, empty()),
        }
    }
    let (_, value) = asked.iter().find(|(known, _)| *known == Known::Range)?;
    if !allows_range(fields, &now) {
        return None;
    }
    let mut content_range = Vec::new();
    match wanted(value, length) {
        Wanted::All => None,
        Wanted::None => {
            write_content_range(&mut content_range, None, length);
            let mut added = empty();
            added.push((b"Content-Range", content_range));
            nothing(416, b"Range Not Satisfiable", OF_A_SUCCESS, added)
        }
        Wanted::Some(ranges) => {
            let [range] = &ranges[..] else { return None };
            write_content_range(&mut content_range, Some(range), length);
            let count = (range.end - range.start).to_string().into_bytes();
            Some(Cut {
                status: 206,
                reason: b"Partial Content",
                range: range.clone(),
                removed: OF_THE_WHOLE,
                added: vec![(b"Content-Length", count), (b"Content-Range", content_range)],
            })
        }
    }
}

fn empty() -> Vec<(&'static [u8], Vec<u8>)> {
    vec![(b"Content-Length", b"0".to_vec())]
}
