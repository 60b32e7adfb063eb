//! The slow way to read a head: byte by byte, for heads that are incomplete or wrong.
//!
//! `parse` reads a complete head in one go and is fast, but what it says about a wrong one depends on how much of it has
//! arrived. This scanner is what decides: it refuses at the first byte that no continuation could make right, so the
//! answer is the same however the bytes were cut, and it comes as early as it can. It looks at each byte once, so a
//! client who sends single bytes does not make anybody read the head again for each.
//!
//! Only what concerns single bytes, lines and their number is judged here. What the fields mean is judged by `parse`
//! when the head is complete.

use crate::error::HttpError;
use crate::header_policy::{is_token_byte, is_value_byte};
use crate::limits::Limits;
use crate::request_policy::METHOD_BYTES;

/// Where in the head the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Method,
    /// Nothing of the target has come.
    TargetStart,
    Target,
    /// So many bytes of `HTTP/1.1` have come.
    Version {
        seen: u8,
        supported: bool,
    },
    /// Behind the CR of the request line.
    RequestLineEnd {
        supported: bool,
    },
    /// Before a field or the blank line.
    LineStart,
    Name,
    Value,
    /// Behind the CR of a field line.
    FieldEnd,
    /// Behind the CR of the blank line.
    BlankLineEnd,
    /// Behind the blank line.
    Complete,
}

/// How far a head has been read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Bytes of the head that have been looked at.
    searched: u32,
    /// Field lines that have begun.
    fields: u32,
    place: Place,
}

/// What a scan has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The blank line is there.
    Complete,
    /// Not yet; all bytes have been looked at.
    NotYet,
}

impl Scan {
    /// Before the first byte of a request line.
    pub(crate) const fn new() -> Self {
        Scan { searched: 0, fields: 0, place: Place::Method }
    }

    /// Looks at what has come since the last time. `head` begins with the request line.
    #[cold]
    pub(crate) fn advance(&mut self, head: &[u8], limits: &Limits) -> Result<Scanned, HttpError> {
        let bound = longest_head(limits);
        let mut rest = head.get(self.searched as usize..head.len().min(bound)).unwrap_or_default();
        while let Some((&byte, after)) = rest.split_first() {
            self.place = self.step(byte, limits)?;
            self.searched += 1;
            rest = after;
            if self.place == Place::Complete {
                return Ok(Scanned::Complete);
            }
            if self.place == Place::Value {
                // Most of a head is values; what ends one is what cannot stand in one.
                let length = rest.iter().position(|&byte| !is_value_byte(byte)).unwrap_or(rest.len());
                self.searched += length as u32;
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        if self.searched as usize >= bound { Err(HttpError::HeadTooLarge) } else { Ok(Scanned::NotYet) }
    }

    /// The place behind `byte`.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<Place, HttpError> {
        use HttpError::*;
        let in_request_line =
            matches!(self.place, Place::Method | Place::TargetStart | Place::Target | Place::Version { .. });
        if in_request_line && self.searched as usize >= limits.line_bytes && !matches!(byte, b'\r' | b'\n') {
            return Err(LineTooLong);
        }
        Ok(match (self.place, byte) {
            (Place::RequestLineEnd { supported: true } | Place::FieldEnd, b'\n') => Place::LineStart,
            (Place::RequestLineEnd { supported: false }, b'\n') => return Err(Version),
            (Place::BlankLineEnd, b'\n') => Place::Complete,
            // RFC 9112 section 2.2: a recipient may take a lone LF for a line end. Two who disagree on where a line ends
            // see different requests, so this one does not. A CR is nothing but the first half of a line end.
            (Place::RequestLineEnd { .. } | Place::FieldEnd | Place::BlankLineEnd, _) | (_, b'\n') => {
                return Err(LineEnding);
            }

            // RFC 9112 section 3: one space between the parts of the request line, none elsewhere.
            (Place::Method, b' ') if self.searched > 0 => Place::TargetStart,
            (Place::Method, _) if !is_token_byte(byte) => return Err(RequestLine),
            (Place::Method, _) if self.searched >= METHOD_BYTES => return Err(MethodTooLong),
            (Place::Method, _) => Place::Method,
            (Place::Target, b' ') => Place::Version { seen: 0, supported: true },
            (Place::TargetStart | Place::Target, 0..=b' ' | 0x7f) => return Err(RequestLine),
            (Place::TargetStart | Place::Target, _) => Place::Target,
            (Place::Version { seen: 8, supported }, b'\r') => Place::RequestLineEnd { supported },
            (Place::Version { seen, supported }, _) => version(seen, supported, byte)?,

            (Place::LineStart, b'\r') => Place::BlankLineEnd,
            // RFC 9112 section 5.1: no space before the colon; section 5.2: a line that begins with one is folded.
            (Place::LineStart | Place::Name, _) if byte != b':' && !is_token_byte(byte) => {
                return Err(FieldName);
            }
            (Place::LineStart, b':') => return Err(FieldName),
            (Place::LineStart, _) => {
                self.fields += 1;
                if self.fields as usize > limits.fields {
                    return Err(TooManyFields);
                }
                Place::Name
            }
            (Place::Name, b':') => Place::Value,
            (Place::Name, _) => Place::Name,
            (Place::Value, b'\r') => Place::FieldEnd,
            // RFC 9110 section 5.5.
            (Place::Value, _) if !is_value_byte(byte) => return Err(FieldValue),
            (Place::Value, _) => Place::Value,
            (Place::Complete, _) => Place::Complete,
        })
    }
}

/// The place behind one more `byte` of the version, of which `seen` have been seen. RFC 9112 section 2.3.
fn version(seen: u8, supported: bool, byte: u8) -> Result<Place, HttpError> {
    let supported = supported && matches!((seen, byte), (0..5 | 6, _) | (5, b'1') | (7, b'0' | b'1'));
    match b"HTTP/0.0".get(usize::from(seen)) {
        Some(b'0') if byte.is_ascii_digit() => {}
        Some(&wanted) if wanted != b'0' && wanted == byte => {}
        _ => return Err(HttpError::RequestLine),
    }
    Ok(Place::Version { seen: seen + 1, supported })
}

/// Spans hold 32 bits.
pub(crate) fn longest_head(limits: &Limits) -> usize {
    limits.head_bytes.min((u32::MAX / 2) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are looked at before the verdict, and the verdict.
    fn scanned(head: &[u8], limits: &Limits) -> (usize, Result<Scanned, HttpError>) {
        let mut scan = Scan::new();
        for end in 1..=head.len() {
            match scan.advance(&head[..end], limits) {
                Ok(Scanned::NotYet) => {}
                verdict => {
                    assert_eq!(
                        Scan::new().advance(head, limits),
                        verdict,
                        "as a whole: {}",
                        head.escape_ascii()
                    );
                    return (end, verdict);
                }
            }
        }
        (head.len(), Ok(Scanned::NotYet))
    }

    #[test]
    fn complete_heads() {
        for head in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"G!~9 * HTTP/1.0\r\nA:\r\n\r\n",
            b"GET /\xff\x80\"<> HTTP/1.1\r\nA: \t\xff \r\nb|c:d:\r\n\r\n",
        ] {
            assert_eq!(scanned(head, &Limits::default()), (head.len(), Ok(Scanned::Complete)));
        }
    }

    #[test]
    fn refuses_at_the_first_byte_that_cannot_be_right() {
        use HttpError::*;
        // The last byte is the one at which it is known.
        for (head, want) in [
            (&b"\0"[..], RequestLine),
            (b" ", RequestLine),
            (b"G\r", RequestLine),
            (b"G\n", LineEnding),
            (b"GET  ", RequestLine),
            (b"GET /\r", RequestLine),
            (b"GET /\n", LineEnding),
            (b"GET /\x7f", RequestLine),
            (b"GET / h", RequestLine),
            (b"GET / HTTP/1.1 ", RequestLine),
            (b"GET / HTTP/11", RequestLine),
            (b"GET / HTTP/x", RequestLine),
            (b"GET / HTTP/2.0\r\n", Version),
            (b"GET / HTTP/1.2\r\n", Version),
            (b"GET / HTTP/1.1\n", LineEnding),
            (b"GET / HTTP/1.1\r\r", LineEnding),
            (b"GET / HTTP/1.1\r\n\n", LineEnding),
            (b"GET / HTTP/1.1\r\n\rX", LineEnding),
            (b"GET / HTTP/1.1\r\n ", FieldName),
            (b"GET / HTTP/1.1\r\n:", FieldName),
            (b"GET / HTTP/1.1\r\nA ", FieldName),
            (b"GET / HTTP/1.1\r\nA\r", FieldName),
            (b"GET / HTTP/1.1\r\nA\n", LineEnding),
            (b"GET / HTTP/1.1\r\nA:\n", LineEnding),
            (b"GET / HTTP/1.1\r\nA:\0", FieldValue),
            (b"GET / HTTP/1.1\r\nA: \rb", LineEnding),
            (b"GET / HTTP/1.1\r\nA: b\r\n\t", FieldName),
        ] {
            let more = [head, b"\r\n\r\n"].concat();
            assert_eq!(
                scanned(&more, &Limits::default()),
                (head.len(), Err(want)),
                "{}",
                head.escape_ascii()
            );
        }
    }

    #[test]
    fn limits() {
        let limits = Limits { line_bytes: 40, fields: 1, head_bytes: 60, ..Limits::default() };
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(length - 14)).into_bytes();
        let with = |fields: &str| [&line(14)[..], fields.as_bytes()].concat();
        use HttpError::*;
        for (head, at, want) in [
            (line(40), 42, Ok(Scanned::NotYet)),
            (line(41), 41, Err(LineTooLong)),
            (vec![b'a'; 50], 33, Err(MethodTooLong)),
            (with("A:b\r\nC"), 22, Err(TooManyFields)),
            (with(&format!("A:{}\r\n\r\n", "b".repeat(38))), 60, Ok(Scanned::Complete)),
            (with(&format!("A:{}\r\n\r\n", "b".repeat(39))), 60, Err(HeadTooLarge)),
        ] {
            assert_eq!(scanned(&head, &limits), (at, want), "{}", head.escape_ascii());
        }
    }
}
