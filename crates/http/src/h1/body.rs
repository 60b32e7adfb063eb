//! The lines between the data of a chunked body: chunk sizes, extensions and trailers (RFC 9112 section 7.1).
//!
//! Everything here looks at one line, says how long it is and forgets it. Lines are bounded, so looking at an
//! unfinished line again when more bytes arrive is cheap.

use memchr::memchr;

use crate::error::HttpError;
use crate::header_policy::{valid_name, valid_value};
use crate::limits::Limits;
use crate::target::hex_digit;

/// A chunk-size line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChunkLine {
    /// Size of the data; zero for the last chunk.
    pub size: u64,
    /// Bytes of the line with CR LF.
    pub bytes: usize,
    /// Bytes of it that are extensions.
    pub extension_bytes: usize,
}

/// One line without its CR LF, or `None` if its end has not arrived. `limit` counts CR LF.
fn complete_line(input: &[u8], limit: usize, too_long: HttpError) -> Result<Option<&[u8]>, HttpError> {
    let window = input.get(..limit).unwrap_or(input);
    match memchr(b'\n', window) {
        // RFC 9112 section 2.2 allows a lone LF as line end; section 7.1 has only CRLF, and accepting less is how
        // two recipients come to see different chunks.
        Some(end) => match window.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
            Some(line) => Ok(Some(line)),
            None => Err(HttpError::LineEnding),
        },
        None if input.len() >= limit => Err(too_long),
        None => Ok(None),
    }
}

/// `chunk-size [ chunk-ext ] CRLF`
pub(crate) fn chunk_line(input: &[u8], limits: &Limits) -> Result<Option<ChunkLine>, HttpError> {
    let Some(line) = complete_line(input, limits.chunk_line_bytes, HttpError::ChunkLineTooLong)? else {
        return Ok(None);
    };
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extension) = line.split_at(digits);
    // Section 7.1.1: extensions may be ignored but must be there if anything follows the size; white space is only
    // allowed before the semicolon. A lone CR would end the line for some recipients, like any control.
    let announced = extension.trim_ascii_start().first() == Some(&b';');
    if digits.is_empty() || !(extension.is_empty() || announced) || !valid_value(extension) {
        return Err(HttpError::Chunk);
    }
    let size = digits.iter().try_fold(0u64, |size, &digit| {
        if size >> 60 == 0 { Some(size << 4 | u64::from(hex_digit(digit))) } else { None }
    });
    // A size that overflows is larger than any limit; section 7.1 asks to anticipate such numbers.
    let size = size.ok_or(HttpError::BodyTooLarge)?;
    Ok(Some(ChunkLine { size, bytes: line.len() + 2, extension_bytes: extension.len() }))
}

/// One line of the trailer section: its length, and whether it was the blank one that ends the message.
pub(crate) struct TrailerLine {
    pub bytes: usize,
    pub last: bool,
}

/// A trailer field is checked like a field of the head and then dropped: nothing in WSGI could show it to the
/// application, and RFC 9110 section 6.5.1 forbids to merge it into the head. `room` is what is left of the limit.
pub(crate) fn trailer_line(input: &[u8], room: usize) -> Result<Option<TrailerLine>, HttpError> {
    // The blank line is not counted against the limit.
    let limit = room.saturating_add(2);
    let Some(line) = complete_line(input, limit, HttpError::TrailerTooLarge)? else { return Ok(None) };
    if line.is_empty() {
        return Ok(Some(TrailerLine { bytes: 2, last: true }));
    }
    if line.len() + 2 > room {
        return Err(HttpError::TrailerTooLarge);
    }
    let colon = memchr(b':', line).ok_or(HttpError::Trailer)?;
    let (name, value) = line.split_at(colon);
    if !valid_name(name) || !valid_value(value) {
        return Err(HttpError::Trailer);
    }
    Ok(Some(TrailerLine { bytes: line.len() + 2, last: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(line: &[u8]) -> Result<Option<u64>, HttpError> {
        chunk_line(line, &Limits::default()).map(|line| line.map(|line| line.size))
    }

    #[test]
    fn chunk_sizes() {
        for (line, want) in [
            (&b"0\r\n"[..], 0),
            (b"5\r\nhello", 5),
            (b"aBc\r\n", 0xabc),
            (b"0000000000000000000000005\r\n", 5),
            (b"ffffffffffffffff\r\n", u64::MAX),
            (b"5;name=value\r\n", 5),
            (b"5 ;name=\"a b\"\r\n", 5),
            (b"5\t; a\r\n", 5),
        ] {
            assert_eq!(size(line), Ok(Some(want)), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn malformed_chunk_sizes() {
        use HttpError::*;
        for (line, want) in [
            (&b"\r\n"[..], Chunk),
            (b"x\r\n", Chunk),
            (b"0x5\r\n", Chunk),
            (b"+5\r\n", Chunk),
            (b"-5\r\n", Chunk),
            (b" 5\r\n", Chunk),
            (b"5 \r\n", Chunk),
            (b"5 5\r\n", Chunk),
            (b"5_0\r\n", Chunk),
            (b";a\r\n", Chunk),
            (b"5;a\rb\r\n", Chunk),
            (b"5;a\0\r\n", Chunk),
            (b"5\r\r\n", Chunk),
            (b"5\n", LineEnding),
            (b"5;a\nb\r\n", LineEnding),
            (b"10000000000000000\r\n", BodyTooLarge),
        ] {
            assert_eq!(size(line), Err(want), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn unfinished_and_endless_lines() {
        assert_eq!(size(b""), Ok(None));
        assert_eq!(size(b"5"), Ok(None));
        assert_eq!(size(b"5\r"), Ok(None));
        assert_eq!(size(&[b'0'; 255]), Ok(None));
        assert_eq!(size(&[b'0'; 256]), Err(HttpError::ChunkLineTooLong));
        let longest = [&[b'0'; 254][..], b"\r\n"].concat();
        assert_eq!(size(&longest), Ok(Some(0)));
    }
}
