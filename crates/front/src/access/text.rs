//! Texts and numbers inside access lines: what a client sent can end neither a field nor a line.
//!
//! Each function appends, and allocates nothing for what is usual. Must not know what is written. Pure.

/// A byte as two digits.
#[inline]
pub fn hex(byte: u8) -> [u8; 2] {
    let digit = |n: u8| n + if n < 10 { b'0' } else { b'a' - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    !(0x20..=0x7E).contains(&byte) | (byte == b'"') | (byte == b'\\')
}

/// Eight bytes at a time: most values are some words long, and all of them pass here.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    !words.iter().any(|word| any_needs_escape(u64::from_ne_bytes(*word)))
        && !rest.iter().any(|byte| needs_escape(*byte))
}

/// Whether one of eight bytes does. A borrow may cross into the byte above one that is found, and never into one from a byte that is not:
/// so it finds nothing where there is nothing.
#[inline]
fn any_needs_escape(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let (quote, backslash) = (is_zero(word ^ (ONES * 0x22)), is_zero(word ^ (ONES * 0x5C)));
    (controls | quote | backslash | is_zero(word ^ (ONES * 0x7F)) | word) & HIGH != 0
}

/// Whatever could end the field, forge a line or drive a terminal is written as `\xHH`; nothing at all as a dash.
#[inline]
pub fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        out.push(b'-');
    } else if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escape_hostile(out, bytes);
    }
}

#[cold]
fn escape_hostile(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if needs_escape(*byte) {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(*byte));
        } else {
            out.push(*byte);
        }
    }
}

/// The inside of a JSON string, in ASCII. What is not UTF-8 becomes U+FFFD.
#[inline]
pub fn escape_json(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escape_json_hostile(out, bytes);
    }
}

#[cold]
fn escape_json_hostile(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut units = [0; 2];
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            ' '..='~' => out.push(c as u8),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    let [high, low] = unit.to_be_bytes();
                    out.extend_from_slice(b"\\u");
                    out.extend_from_slice(&hex(high));
                    out.extend_from_slice(&hex(low));
                }
            }
        }
    }
}

/// A number.
#[inline]
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    if number < 1000 {
        // A status, a small body, a worker, whole seconds: nearly all.
        let small = number as u32;
        let digits = [b'0' + (small / 100) as u8, b'0' + (small / 10 % 10) as u8, b'0' + (small % 10) as u8];
        let skipped = usize::from(small < 100) + usize::from(small < 10);
        out.extend_from_slice(digits.get(skipped..).unwrap_or_default());
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Microseconds as `1.000250`.
#[inline]
pub fn seconds(out: &mut Vec<u8>, us: u64) {
    decimal(out, us / 1_000_000);
    let mut text = *b".000000";
    // Of 32 bits, for a division of 64 takes several times as long.
    let mut rest = (us % 1_000_000) as u32;
    for place in text.iter_mut().skip(1).rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text);
}

/// The name in `Basic bmFtZTpwYXNz`; empty for anything else.
pub fn user(credentials: &[u8]) -> Vec<u8> {
    let Some((scheme, rest)) = credentials.split_at_checked(6) else { return Vec::new() };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Vec::new();
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in rest.trim_ascii() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return Vec::new(),
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    match out.iter().position(|byte| *byte == b':') {
        Some(end) => out.truncate(end),
        // Without a colon it may be a secret.
        None => out.clear(),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations() {
        for (number, text) in [
            (0, "0"),
            (7, "7"),
            (10, "10"),
            (99, "99"),
            (100, "100"),
            (999, "999"),
            (1000, "1000"),
            (1234567890, "1234567890"),
            (u64::MAX, "18446744073709551615"),
        ] {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        seconds(&mut out, 3_000_250);
        out.push(b' ');
        seconds(&mut out, 999_999);
        assert_eq!(out, b"3.000250 0.999999");
    }

    #[test]
    fn names_in_credentials() {
        assert_eq!(user(b"Basic YWxpY2U6c2VjcmV0"), b"alice");
        assert_eq!(user(b"basic YWxpY2U6"), b"alice");
        for nobody in [&b""[..], b"Basic", b"Basic !!!", b"Bearer YWxpY2U6c2VjcmV0", b"Basic YWxpY2U="] {
            assert_eq!(user(nobody), b"");
        }
    }

    #[test]
    fn every_byte_is_found_at_every_place_of_a_word() {
        for byte in 0..=255u8 {
            for place in 0..19 {
                // Neighbours of all kinds, for those that a borrow could come from.
                for other in [b' ', b'!', b'#', b'[', b']', b'~', b'a', b'0'] {
                    let mut text = [other; 19];
                    text[place] = byte;
                    let expected = !(0x20..=0x7E).contains(&byte) || byte == b'"' || byte == b'\\';
                    assert_eq!(!is_plain(&text), expected, "{byte:#x} at {place} among {other:#x}");
                }
            }
        }
    }

    #[test]
    fn hostile_bytes_stay_inside_their_field() {
        let mut out = Vec::new();
        escape(&mut out, b"/\"\n\x1b[31m\xff\\");
        assert_eq!(out, b"/\\x22\\x0a\\x1b[31m\\xff\\x5c");
        out.clear();
        escape_json(&mut out, b"/\"\n\x7f\xff\\ \xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa8");
        assert_eq!(out, b"/\\\"\\u000a\\u007f\\ufffd\\\\ \\u00e9\\ud83d\\ude00\\u2028");
    }
}
