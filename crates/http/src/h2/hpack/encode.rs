//! From fields to a header block: without a table of its own and without Huffman coding.
//!
//! A response's head is then as long as in HTTP/1 less the usual names, costs no memory per connection and no search per field; and the
//! client can make nothing of what is remembered, because nothing is.

/// Tells the client's decoder that no table is used (RFC 7541 section 6.3), which is right for whatever size it allows.
pub(crate) const NO_TABLE: u8 = 0x20;

/// Section 5.1.
#[inline]
fn integer(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Appends `:status`.
#[inline]
pub(crate) fn status(out: &mut Vec<u8>, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |of: u16| b'0' + (status / of % 10) as u8;
            out.extend_from_slice(&[0x08, 3, digit(100), digit(10), digit(1)]);
            return;
        }
    };
    out.push(0x80 | index);
}

/// Appends a field. The name is written in lower case, as RFC 9113 section 8.2.1 asks.
#[inline]
pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // RFC 7541 section 7.1.3: a secret is marked, so that nobody on the way puts it into a table.
    let first = if name.eq_ignore_ascii_case(b"set-cookie") { 0x10 } else { 0 };
    match index_of(name) {
        0 => {
            out.push(first);
            integer(out, 0, 7, name.len());
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
        index => integer(out, first, 4, index),
    }
    string(out, value);
}

/// The place of a usual name in the static table; zero if it has none there.
#[inline]
fn index_of(name: &[u8]) -> usize {
    let candidates: &[(&str, usize)] = match name.len() {
        3 => &[("age", 21)],
        4 => &[("date", 33), ("vary", 59), ("etag", 34), ("link", 45)],
        5 => &[("allow", 22)],
        6 => &[("server", 54)],
        7 => &[("expires", 36)],
        8 => &[("location", 46)],
        10 => &[("set-cookie", 55)],
        11 => &[("retry-after", 53)],
        12 => &[("content-type", 31)],
        13 => &[("cache-control", 24), ("last-modified", 44), ("accept-ranges", 18), ("content-range", 30)],
        14 => &[("content-length", 28)],
        16 => &[
            ("content-encoding", 26),
            ("content-language", 27),
            ("www-authenticate", 61),
            ("content-location", 29),
        ],
        19 => &[("content-disposition", 25)],
        25 => &[("strict-transport-security", 56)],
        27 => &[("access-control-allow-origin", 20)],
        _ => &[],
    };
    candidates
        .iter()
        .find(|(usual, _)| name.eq_ignore_ascii_case(usual.as_bytes()))
        .map_or(0, |(_, index)| *index)
}

#[cfg(test)]
mod tests {
    use super::super::decode::{Decoded, Decoder};
    use super::super::table::STATIC;
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let long = [b'v'; 70_000];
        let mut written: Vec<(String, Vec<u8>)> =
            STATIC.iter().skip(14).map(|(name, _)| (name.to_ascii_uppercase(), b"value".to_vec())).collect();
        written.push(("X-Other".to_owned(), Vec::new()));
        written.push(("x".repeat(300), long.to_vec()));
        let mut block = vec![NO_TABLE];
        for code in [200, 204, 206, 304, 400, 404, 500, 103, 418, 999] {
            status(&mut block, code);
        }
        for (name, value) in &written {
            field(&mut block, name.as_bytes(), value);
        }
        let (mut text, mut fields) = (Vec::new(), Vec::new());
        let decoded = Decoder::new().decode(&block, 1 << 20, 1 << 20, &mut text, &mut fields);
        assert_eq!(decoded, Ok(Decoded::Whole));
        let mut fields = fields.iter().map(|field| (field.name.of(&text), field.value.of(&text)));
        for code in ["200", "204", "206", "304", "400", "404", "500", "103", "418", "999"] {
            assert_eq!(fields.next().unwrap(), (&b":status"[..], code.as_bytes()));
        }
        for (name, value) in &written {
            let read = fields.next().unwrap();
            assert_eq!((read.0, read.1), (name.to_ascii_lowercase().as_bytes(), &value[..]));
        }
        assert!(fields.next().is_none());
    }
}
