//! Texts and numbers inside access lines: what a client sent can end neither a field nor a line.
//!
//! Each function appends, and allocates nothing for what is usual. Must not know what is written. Pure.

use pelton_http::words;

/// A byte as two digits.
#[inline]
pub fn hex(byte: u8) -> [u8; 2] {
    let digit = |n: u8| n + if n < 10 { b'0' } else { b'a' - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// A number as sixteen digits.
#[inline]
pub fn hex16(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (place, half) in digits.as_chunks_mut::<8>().0.iter_mut().zip([number >> 32, number]) {
        *place = hex8(half as u32).to_be_bytes();
    }
    digits
}

/// The digits as bytes of a number: all eight at once.
#[inline]
fn hex8(number: u32) -> u64 {
    // Each step moves the upper half of a part away from the lower one, until each digit has a byte.
    let mut spread = u64::from(number);
    spread = (spread << 16 | spread) & 0x0000_FFFF_0000_FFFF;
    spread = (spread << 8 | spread) & 0x00FF_00FF_00FF_00FF;
    spread = (spread << 4 | spread) & 0x0F0F_0F0F_0F0F_0F0F;
    // 1 in the bytes that are letters, which come 39 places behind the digits.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    spread + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'9' - 1)
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    !(0x20..=0x7E).contains(&byte) | (byte == b'"') | (byte == b'\\')
}

/// Eight bytes at a time: most values are some words long, and all of them pass here.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(found) = words::any(bytes, any_needs_escape) {
        return !found;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
        return !any_needs_escape(u64::from(first) << 32 | u64::from(last));
    }
    // Up to three: the first, the one in the middle and the last are all of them.
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(b' '));
    let all = byte(0) | byte(bytes.len() / 2) << 8 | byte(bytes.len().wrapping_sub(1)) << 16;
    !any_needs_escape(all | 0x2020_2020_2000_0000)
}

/// Whether one of eight bytes does.
#[inline]
fn any_needs_escape(word: u64) -> bool {
    words::has_less(word, 0x20)
        | words::has(word, b'"')
        | words::has(word, b'\\')
        | words::has(word, 0x7F)
        | words::has_high(word)
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

/// The eight digits of a number below 10^8, the first one in the lowest byte: all at once, by halves of halves of halves.
#[inline]
fn digits8(number: u32) -> u64 {
    // Each lane holds a number; the quotient stays where it is, and the remainder goes into the upper half of the lane.
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    // 10486 / 2^20 is a hundredth, exact enough below 10,000; 103 / 2^10 a tenth, exact enough below 100.
    let hundreds = (fours * 10_486) >> 20 & 0x0000_007F_0000_007F;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = (twos * 103) >> 10 & 0x000F_000F_000F_000F;
    (tens | (twos - tens * 10) << 8) + ZEROS
}

/// `00000000`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// A number.
#[inline]
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    if number < 1000 {
        // A status, a small body, a worker, whole seconds: nearly all.
        let small = number as u32;
        let digit = |n: u32| b'0' + (n % 10) as u8;
        let [a, b, c] = [b'0' + (small / 100) as u8, digit(small / 10), digit(small)];
        if small >= 100 {
            out.extend_from_slice(&[a, b, c]);
        } else if small >= 10 {
            out.extend_from_slice(&[b, c]);
        } else {
            out.push(c);
        }
    } else if number < 100_000_000 {
        let digits = digits8(number as u32);
        // Zeros at the front are shifted out, and others come in at the end, which are cut off.
        let skipped = (digits ^ ZEROS).trailing_zeros() / 8;
        out.extend_from_slice(&(digits >> (8 * skipped)).to_le_bytes());
        out.truncate(out.len() - skipped as usize);
    } else {
        decimal(out, number / 100_000_000);
        out.extend_from_slice(&digits8((number % 100_000_000) as u32).to_le_bytes());
    }
}

/// Microseconds as `1.000250`.
#[inline]
pub fn seconds(out: &mut Vec<u8>, us: u64) {
    if us < 10_000_000 {
        // The first digit is 0, and makes room for the point behind the second.
        let digits = digits8(us as u32);
        let with_point = digits & !0xFFFF | digits >> 8 & 0xFF | u64::from(b'.') << 8;
        out.extend_from_slice(&with_point.to_le_bytes());
    } else {
        decimal(out, us / 1_000_000);
        let [_, _, digits @ ..] = digits8((us % 1_000_000) as u32).to_le_bytes();
        out.push(b'.');
        out.extend_from_slice(&digits);
    }
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
    fn numbers_of_all_lengths() {
        let mut number = 1u64;
        for _ in 0..19 {
            for near in [number - 1, number, number + 1] {
                let mut out = Vec::new();
                decimal(&mut out, near);
                assert_eq!(out, near.to_string().as_bytes());
                out.clear();
                seconds(&mut out, near);
                let expected = format!("{}.{:06}", near / 1_000_000, near % 1_000_000);
                assert_eq!(out, expected.as_bytes());
            }
            number *= 10;
        }
    }

    #[test]
    fn digits_by_eight() {
        // All that two lanes of four digits can hold.
        for number in 0..10_000 {
            for all in [number * 10_000 + 9999 - number, number, number * 10_000] {
                assert_eq!(digits8(all).to_le_bytes(), format!("{all:08}").as_bytes());
            }
        }
    }

    #[test]
    fn digits_by_sixteen() {
        for number in [0, 1, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, 0x9A9A_A9A9_0F0F_F0F0, u64::MAX] {
            assert_eq!(hex16(number), format!("{number:016x}").as_bytes());
        }
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
            let expected = !(0x20..=0x7E).contains(&byte) || byte == b'"' || byte == b'\\';
            for length in 1..20 {
                for place in 0..length {
                    // Neighbours of all kinds, for those that a borrow could come from.
                    for other in [b' ', b'!', b'#', b'[', b']', b'~', b'a', b'0'] {
                        let mut text = vec![other; length];
                        text[place] = byte;
                        assert_eq!(
                            !is_plain(&text),
                            expected,
                            "{byte:#x} at {place} of {length} among {other:#x}"
                        );
                    }
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
