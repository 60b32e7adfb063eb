//! Range requests: which bytes a client wants, and the form of a response with several of them (RFC 9110 section 14).
//!
//! Owns the meaning of `Range`, and the text of `multipart/byteranges`. Knows no files; whether ranges apply at all
//! (`If-Range`) is [`conditions`](crate::conditions)'.

use std::ops::Range;

use crate::h1::encode::write_decimal;
use crate::header_policy::list_members;

/// Ranges in one request. Players and readers of documents ask for a few; a request for many small ones costs the server much more than
/// the client, so it gets all of it (section 14.2 allows that).
pub const MOST_RANGES: usize = 32;

/// What `Range` asks for of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: there is no range that can be understood, or too many.
    All,
    /// 206. At least one, none empty, in the order of the request and without overlap if there are several.
    Some(Vec<Range<u64>>),
    /// 416: none of the ranges has any byte.
    None,
}

/// Reads a `Range` field for a representation of `length` bytes.
pub fn wanted(value: &[u8], length: u64) -> Wanted {
    let Some(set) = value.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")) else {
        return Wanted::All;
    };
    let mut found = Vec::new();
    let mut count = 0;
    for member in list_members(value.get(set.len()..).unwrap_or_default()) {
        count += 1;
        match one(member, length) {
            _ if count > MOST_RANGES => return Wanted::All,
            None => return Wanted::All,
            Some(range) if range.is_empty() => {}
            Some(range) => found.push(range),
        }
    }
    match found.len() {
        // Without any member it is malformed.
        0 if count == 0 => Wanted::All,
        0 => Wanted::None,
        1 => Wanted::Some(found),
        _ => Wanted::Some(joined(&found)),
    }
}

/// `first-last`, `first-` or `-count`; empty where it lies behind the end, None where it is malformed.
fn one(member: &[u8], length: u64) -> Option<Range<u64>> {
    let hyphen = memchr::memchr(b'-', member)?;
    let (first, last) = (member.get(..hyphen)?, member.get(hyphen + 1..)?);
    if first.is_empty() {
        let count = number(last)?;
        return Some(length.saturating_sub(count)..length);
    }
    let first = number(first)?;
    if last.is_empty() {
        return Some(first.min(length)..length);
    }
    let last = number(last)?;
    if last < first {
        return None;
    }
    let end = last.saturating_add(1);
    Some(first.min(length)..end.min(length))
}

/// Digits only; larger than anything where they cannot be counted.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

/// Joins what overlaps or touches (section 15.3.7.2), so that no byte is sent twice however the ranges were chosen. Each of the others stays where
/// it stood in the request: a client may want the end of a file before its beginning.
fn joined(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<(usize, &Range<u64>)> = ranges.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, range)| range.start);
    let mut joined: Vec<(usize, Range<u64>)> = Vec::with_capacity(sorted.len());
    for (place, range) in sorted {
        match joined.last_mut() {
            Some((first, last)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                *first = place.min(*first);
            }
            _ => joined.push((place, range.clone())),
        }
    }
    joined.sort_unstable_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, range)| range).collect()
}

/// Appends the value of `Content-Range`: `bytes 0-9/100`, or `bytes */100` for none.
pub fn write_content_range(out: &mut Vec<u8>, range: Option<&Range<u64>>, length: u64) {
    out.extend_from_slice(b"bytes ");
    match range {
        Some(range) => {
            write_decimal(out, range.start);
            out.push(b'-');
            write_decimal(out, range.end.saturating_sub(1));
        }
        None => out.push(b'*'),
    }
    out.push(b'/');
    write_decimal(out, length);
}

/// A response with several ranges: what stands before, between and behind them (section 14.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The value of `Content-Type`.
    pub media_type: Vec<u8>,
    /// What precedes each range.
    pub heads: Vec<Vec<u8>>,
    /// What follows the last one.
    pub tail: Vec<u8>,
    /// Bytes of all of it.
    pub length: u64,
}

impl Multipart {
    /// For `ranges` of a representation of `length` bytes and of type `media_type`. `random` has to be hard to guess, so that nobody
    /// can write a file that contains the boundary.
    pub fn new(ranges: &[Range<u64>], length: u64, media_type: Option<&[u8]>, random: u128) -> Self {
        let boundary = format!("{random:032x}");
        let heads: Vec<Vec<u8>> = ranges
            .iter()
            .enumerate()
            .map(|(number, range)| {
                let mut head = Vec::with_capacity(160);
                // The preamble is empty: the first boundary stands at the beginning.
                head.extend_from_slice(if number == 0 { b"--" } else { b"\r\n--" });
                head.extend_from_slice(boundary.as_bytes());
                if let Some(media_type) = media_type {
                    head.extend_from_slice(b"\r\nContent-Type: ");
                    head.extend_from_slice(media_type);
                }
                head.extend_from_slice(b"\r\nContent-Range: ");
                write_content_range(&mut head, Some(range), length);
                head.extend_from_slice(b"\r\n\r\n");
                head
            })
            .collect();
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        let text: usize = heads.iter().map(Vec::len).sum::<usize>() + tail.len();
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let media_type = format!("multipart/byteranges; boundary={boundary}").into_bytes();
        Multipart { media_type, heads, tail, length: text as u64 + bytes }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one range is one range")]
mod tests {
    use super::*;

    fn some<const N: usize>(ranges: [Range<u64>; N]) -> Wanted {
        Wanted::Some(ranges.into())
    }

    #[test]
    fn ranges_as_the_rfc_writes_them() {
        for (value, want) in [
            ("bytes=0-499", some([0..500])),
            ("bytes=500-999", some([500..1000])),
            ("bytes=-500", some([9500..10_000])),
            ("bytes=9500-", some([9500..10_000])),
            ("bytes=0-0,-1", some([0..1, 9999..10_000])),
            ("BYTES=0-0", some([0..1])),
            ("bytes= 0-999, 4500-5499, -1000", some([0..1000, 4500..5500, 9000..10_000])),
            // Joined: they touch or overlap.
            ("bytes=500-600,601-999", some([500..1000])),
            ("bytes=500-700,601-999", some([500..1000])),
            ("bytes=0-10,12-200", some([0..11, 12..201])),
            ("bytes=9000-,0-,-1", some([0..10_000])),
            // In the order in which they were asked for.
            ("bytes=5000-5001,0-1", some([5000..5002, 0..2])),
            ("bytes=9000-9001,0-1,5000-5001,1-2", some([9000..9002, 0..3, 5000..5002])),
            // Beyond the end.
            ("bytes=0-99999", some([0..10_000])),
            ("bytes=-99999", some([0..10_000])),
            ("bytes=0-99999999999999999999999", some([0..10_000])),
            ("bytes=99999999999999999999998-99999999999999999999999", Wanted::None),
            ("bytes=9999-10000", some([9999..10_000])),
            ("bytes=10000-,0-0", some([0..1])),
            ("bytes=10000-", Wanted::None),
            ("bytes=10000-10001", Wanted::None),
            ("bytes=99999999999999999999999-", Wanted::None),
            ("bytes=-0", Wanted::None),
            // Malformed, or another unit: as if there were none.
            ("bytes", Wanted::All),
            ("bytes=", Wanted::All),
            ("bytes=,", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=1", Wanted::All),
            ("bytes=2-1", Wanted::All),
            ("bytes=0-1,x", Wanted::All),
            ("bytes=0 - 1", Wanted::All),
            ("bytes=+0-1", Wanted::All),
            ("bytes=0-1-2", Wanted::All),
            ("bytes=--1", Wanted::All),
            ("bytes=\u{661}-2", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("0-1", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(wanted(value.as_bytes(), 10_000), want, "{value}");
        }
    }

    #[test]
    fn nothing_of_nothing() {
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(wanted(value.as_bytes(), 0), Wanted::None, "{value}");
        }
    }

    #[test]
    fn many_ranges_are_no_weapon() {
        let many = |count| format!("bytes={}", vec!["0-"; count].join(","));
        assert_eq!(wanted(many(MOST_RANGES).as_bytes(), 10), some([0..10]));
        assert_eq!(wanted(many(MOST_RANGES + 1).as_bytes(), 10), Wanted::All);
    }

    #[test]
    fn several_parts_have_the_length_that_is_announced() {
        let ranges = [0..2, 5000..5010];
        let parts = Multipart::new(&ranges, 10_000, Some(b"text/plain"), 0xabc);
        let boundary = format!("{:032x}", 0xabc);
        let mut body = Vec::new();
        for (head, range) in parts.heads.iter().zip(&ranges) {
            body.extend_from_slice(head);
            body.resize(body.len() + (range.end - range.start) as usize, b'x');
        }
        body.extend_from_slice(&parts.tail);
        assert_eq!(body.len() as u64, parts.length);
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10000\r\n\r\nxx\r\n\
             --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 5000-5009/10000\r\n\r\n\
             xxxxxxxxxx\r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let media_type = format!("multipart/byteranges; boundary={boundary}");
        assert_eq!(parts.media_type, media_type.as_bytes());
        let mut none = Vec::new();
        write_content_range(&mut none, None, 7);
        assert_eq!(none, b"bytes */7");
    }
}
