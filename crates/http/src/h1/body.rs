//! The lines between the data of a chunked body: chunk sizes, extensions and trailers (RFC 9112 section 7.1).
//!
//! Everything here looks at one line, says how long it is and forgets it. Lines are bounded, so looking at an
//! unfinished line again when more bytes arrive is cheap.

use memchr::memchr;

use crate::error::HttpError;
use crate::header_policy::{is_token_byte, is_value_byte, valid_name, valid_value};
use crate::known::Known;
use crate::limits::Limits;
use crate::target::hex_digit;

/// What 64 bits need.
const CHUNK_SIZE_DIGITS: usize = 16;

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
    if digits.is_empty() || !valid_extensions(extension) {
        return Err(HttpError::Chunk);
    }
    let size = digits.iter().try_fold(0u64, |size, &digit| {
        if size >> 60 == 0 { Some(size << 4 | u64::from(hex_digit(digit))) } else { None }
    });
    // A size that overflows is larger than any limit; section 7.1 asks to anticipate such numbers.
    let size = size.ok_or(HttpError::BodyTooLarge)?;
    // Zeros in front change nothing, unless for a recipient who keeps the first digits only.
    if digits.len() > CHUNK_SIZE_DIGITS {
        return Err(HttpError::Chunk);
    }
    Ok(Some(ChunkLine { size, bytes: line.len() + 2, extension_bytes: extension.len() }))
}

/// Section 7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS value ] )`. Extensions may be ignored, but what they are must be clear:
/// whoever takes a line end to be a part of a quoted string, or stops at a semicolon, sees other chunks.
fn valid_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = skip_white_space(rest).strip_prefix(b";") else { return false };
        let Some(after) = skip_token(skip_white_space(after)) else { return false };
        rest = after;
        if let Some(value) = skip_white_space(after).strip_prefix(b"=") {
            let value = skip_white_space(value);
            let Some(after) = skip_quoted(value).or_else(|| skip_token(value)) else { return false };
            rest = after;
        }
    }
    true
}

fn skip_white_space(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
    text.get(length..).unwrap_or_default()
}

/// What follows the token that `text` begins with.
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&byte| is_token_byte(byte)).count();
    if length == 0 { None } else { text.get(length..) }
}

/// What follows the quoted string that `text` begins with (RFC 9110 section 5.6.4).
fn skip_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(after),
            b'\\' => after.split_first().filter(|&(&byte, _)| is_value_byte(byte))?.1,
            _ if is_value_byte(byte) => after,
            _ => return None,
        };
    }
}

/// One line of the trailer section: its length, and whether it was the blank one that ends the message.
pub(crate) struct TrailerLine {
    pub bytes: usize,
    pub last: bool,
}

/// A trailer field is checked like a field of the head and then dropped: nothing in WSGI could show it to the
/// application, and RFC 9110 section 6.5.1 forbids to merge it into the head. Fields that would change where the message
/// ends or whom it is for must not stand there at all; that one does is no accident. `room` is what is left of the limit.
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
    let value = value.get(1..).unwrap_or_default();
    let misplaced = matches!(
        Known::lookup(name),
        Known::ContentLength | Known::TransferEncoding | Known::Host | Known::Connection | Known::Trailer
    );
    if !valid_name(name) || !valid_value(value) || misplaced {
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
            (b"0000000000000005\r\n", 5),
            (b"5;name=value\r\n", 5),
            (b"5 ;name=\"a b\"\r\n", 5),
            (b"5\t; a\r\n", 5),
            (b"5 ; a = b ;c=\"\\\"; d\"; e\r\n", 5),
            (b"5;a=\"\"\r\n", 5),
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
            (b"00000000000000005\r\n", Chunk),
            (b"5;\r\n", Chunk),
            (b"5;;a\r\n", Chunk),
            (b"5;a \r\n", Chunk),
            (b"5;a=\r\n", Chunk),
            (b"5;=a\r\n", Chunk),
            (b"5;a b\r\n", Chunk),
            (b"5;a=b c\r\n", Chunk),
            (b"5;a=\"\r\n", Chunk),
            (b"5;a=\"\\\"\r\n", Chunk),
            (b"5;a=\"b\"c\r\n", Chunk),
            (b"5,a\r\n", Chunk),
            (b"5;\x0ba\r\n", Chunk),
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
        let longest = [&b"0;"[..], &[b'e'; 252], b"\r\n"].concat();
        assert_eq!(size(&longest), Ok(Some(0)));
    }
}
