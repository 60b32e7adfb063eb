//! Eight bytes looked at in one go: nearly all names and values are some words long, and all of them are looked at more than once.
//!
//! Each function tells whether any byte of a word is of a kind, never which one. A borrow or carry may cross into the byte above one that is
//! of the kind, and never into one from a byte that is not, so none of them finds something where there is nothing. Pure.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether `bad` is true of any word of `bytes`; None where there is not even one. The last word overlaps the one before it.
#[inline]
pub fn any(bytes: &[u8], bad: impl Fn(u64) -> bool) -> Option<bool> {
    let last = u64::from_ne_bytes(*bytes.last_chunk::<8>()?);
    let (words, _) = bytes.as_chunks::<8>();
    Some(words.iter().any(|word| bad(u64::from_ne_bytes(*word))) || bad(last))
}

/// Whether any byte is less than `least`, which is at most 0x80.
#[inline]
pub const fn has_less(word: u64, least: u8) -> bool {
    word.wrapping_sub(ONES * least as u64) & !word & HIGH != 0
}

/// Whether any byte is `byte`.
#[inline]
pub const fn has(word: u64, byte: u8) -> bool {
    has_less(word ^ (ONES * byte as u64), 1)
}

/// Whether any byte is beyond ASCII.
#[inline]
pub const fn has_high(word: u64) -> bool {
    word & HIGH != 0
}

/// Whether any byte is neither a letter nor a hyphen.
#[inline]
pub const fn has_other_than_letters_and_hyphens(word: u64) -> bool {
    // Of ASCII bytes only, so no sum carries into the byte above.
    let ascii = word & !HIGH;
    let small = ascii | (ONES * 0x20);
    let at_least_a = small + ONES * (0x80 - b'a') as u64;
    let beyond_z = small + ONES * (0x80 - b'z' - 1) as u64;
    let no_hyphen = (ascii ^ (ONES * b'-' as u64)) + ONES * 0x7F;
    let good = (at_least_a & !beyond_z | !no_hyphen) & !word & HIGH;
    good != HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte at each place, among neighbours that a borrow or carry could come from.
    fn compare(found: impl Fn(u64) -> bool, expected: impl Fn(u8) -> bool) {
        for byte in 0..=255u8 {
            for place in 0..8 {
                for other in
                    [0, 0x1F, b' ', b',', b'-', b'.', b'@', b'A', b'[', b'`', b'z', b'{', 0x7F, 0x80, 0xFF]
                {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    let any = bytes.iter().any(|byte| expected(*byte));
                    assert_eq!(
                        found(u64::from_ne_bytes(bytes)),
                        any,
                        "{byte:#x} at {place} among {other:#x}"
                    );
                }
            }
        }
    }

    #[test]
    fn each_kind_is_found_at_each_place_and_nothing_else() {
        compare(|word| has_less(word, 0x20), |byte| byte < 0x20);
        compare(|word| has_less(word, 0x80), |byte| byte < 0x80);
        compare(|word| has(word, 0x7F), |byte| byte == 0x7F);
        compare(|word| has(word, b'"'), |byte| byte == b'"');
        compare(has_high, |byte| byte >= 0x80);
        compare(has_other_than_letters_and_hyphens, |byte| byte != b'-' && !byte.is_ascii_alphabetic());
    }

    #[test]
    fn all_words_are_looked_at() {
        assert_eq!(any(b"1234567", |_| true), None);
        for length in 8..40 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(any(&bytes, |word| has(word, b'!')), Some(false));
            for at in 0..length {
                bytes[at] = b'!';
                assert_eq!(any(&bytes, |word| has(word, b'!')), Some(true), "{at} of {length}");
                bytes[at] = b'a';
            }
        }
    }
}
