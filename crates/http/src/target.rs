//! Percent-decoding of the path.

use memchr::memchr;

/// Appends `path` to `out` with each `%XX` replaced by its byte.
///
/// An invalid sequence stays as it is, like in `urllib.parse.unquote_to_bytes`, which gunicorn and Werkzeug use:
/// refusing it would break links that work elsewhere, and it cannot change which bytes are separators. `+` stays
/// too; it means a space only in queries.
#[inline]
pub fn percent_decode(path: &[u8], out: &mut Vec<u8>) {
    match memchr(b'%', path) {
        None => out.extend_from_slice(path),
        Some(first) => decode_from(path, first, out),
    }
}

fn decode_from(path: &[u8], first: usize, out: &mut Vec<u8>) {
    out.reserve(path.len());
    let (plain, mut rest) = path.split_at(first);
    out.extend_from_slice(plain);
    // Invariant: `rest` is empty or starts with '%'.
    while let Some((_, after)) = rest.split_first() {
        let mut tail = after;
        match after {
            [high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail = behind;
            }
            _ => out.push(b'%'),
        }
        let (plain, next) = tail.split_at(memchr(b'%', tail).unwrap_or(tail.len()));
        out.extend_from_slice(plain);
        rest = next;
    }
}

/// Value of a byte that is known to be a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    fn decoded(path: &str) -> Vec<u8> {
        let mut out = b">".to_vec();
        percent_decode(path.as_bytes(), &mut out);
        assert_eq!(out.remove(0), b'>', "appends");
        out
    }

    #[test]
    fn decodes() {
        for (path, want) in [
            ("", &b""[..]),
            ("/plain/path", b"/plain/path"),
            ("/a%20b", b"/a b"),
            ("%2F%2f", b"//"),
            ("/%C3%BC", b"/\xc3\xbc"),
            ("/%00", b"/\0"),
            ("/a+b", b"/a+b"),
            ("/%25%32%35", b"/%25"),
        ] {
            assert_eq!(decoded(path), want, "{path}");
        }
    }

    #[test]
    fn keeps_invalid_sequences() {
        for path in ["%", "/%", "/%2", "/%zz", "/%2g", "/100%/x", "%%%", "/%G0%"] {
            assert_eq!(decoded(path), path.as_bytes(), "{path}");
        }
        assert_eq!(decoded("/%%41"), b"/%A");
        assert_eq!(decoded("%4%41"), b"%4A");
    }
}
