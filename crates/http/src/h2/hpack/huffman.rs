//! The Huffman code of RFC 7541 Appendix B, decoding only.
//!
//! The code is canonical: among codes of one length the symbols are in order and the codes count up, and a longer code is larger.
//! So the lengths say everything, and the compiler makes the tables of them. What this server sends is never Huffman-coded
//! (see `encode`).

use super::Malformed;

/// Bits of the code of each symbol; the last one is the end of a string, which must never stand in one.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

/// Codes up to this length are found by one look; all that is usual in fields is.
const QUICK: u32 = 9;
const SHORTEST: u32 = 5;
const LONGEST: usize = 30;
const END_OF_STRING: u16 = 256;

struct Code {
    /// By the next nine bits: the symbol, and above it the length of its code; zero for a longer one.
    quick: [u16; 1 << QUICK],
    /// The symbols by length, then by value.
    symbols: [u16; 257],
    /// For each length: the first code, how many there are, and where their symbols begin.
    lengths: [(u32, u32, u16); LONGEST + 1],
}

static CODE: Code = make_code();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn make_code() -> Code {
    let mut code = Code { quick: [0; 1 << QUICK], symbols: [0; 257], lengths: [(0, 0, 0); LONGEST + 1] };
    let (mut next, mut place, mut length) = (0u32, 0usize, SHORTEST as usize);
    while length <= LONGEST {
        code.lengths[length] = (next, 0, place as u16);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[place] = symbol as u16;
                if length <= QUICK as usize {
                    let spread = 1 << (QUICK as usize - length);
                    let mut at = 0;
                    while at < spread {
                        code.quick[((next as usize) << (QUICK as usize - length)) + at] =
                            (length as u16) << 8 | symbol as u16;
                        at += 1;
                    }
                }
                code.lengths[length].1 += 1;
                next += 1;
                place += 1;
            }
            symbol += 1;
        }
        next <<= 1;
        length += 1;
    }
    code
}

/// Appends the string that `input` encodes. It is at most 8/5 times as long.
pub(crate) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(input.len() + input.len() * 5 / 8);
    // The next bits, at the high end, and how many they are.
    let (mut bits, mut count) = (0u64, 0u32);
    for &byte in input {
        bits |= u64::from(byte) << (56 - count);
        count += 8;
        // Every code fits into what is there.
        while count >= LONGEST as u32 {
            let length = symbol(bits, out)?;
            bits <<= length;
            count -= length;
        }
    }
    while count >= SHORTEST {
        let before = out.len();
        // What looks like a longer code is the padding.
        let Ok(length) = symbol(bits, out) else { break };
        if length > count {
            out.truncate(before);
            break;
        }
        bits <<= length;
        count -= length;
    }
    // Section 5.2: less than a byte of padding, all ones.
    let ones = if count == 0 { 0 } else { !0u64 << (64 - count) };
    if count > 7 || bits != ones { Err(Malformed) } else { Ok(()) }
}

/// Appends the symbol that `bits` begin with, and gives the length of its code.
#[inline]
fn symbol(bits: u64, out: &mut Vec<u8>) -> Result<u32, Malformed> {
    let quick = CODE.quick.get((bits >> (64 - QUICK)) as usize).copied().unwrap_or_default();
    if quick != 0 {
        out.push(quick as u8);
        return Ok(u32::from(quick >> 8));
    }
    let prefix = (bits >> 32) as u32;
    for (length, &(first, count, place)) in CODE.lengths.iter().enumerate().skip(QUICK as usize + 1) {
        let offset = (prefix >> (32 - length)).wrapping_sub(first);
        if offset < count {
            let symbol =
                CODE.symbols.get(usize::from(place) + offset as usize).copied().unwrap_or(END_OF_STRING);
            if symbol == END_OF_STRING {
                return Err(Malformed);
            }
            out.push(symbol as u8);
            return Ok(length as u32);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for &byte in text {
        let length = LENGTHS[byte as usize] as usize;
        let (first, _, place) = CODE.lengths[length];
        let rank =
            CODE.symbols[place as usize..].iter().position(|&symbol| symbol == u16::from(byte)).unwrap();
        let code = first + rank as u32;
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push(true);
    }
    bits.chunks(8).map(|eight| eight.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = b">".to_vec();
        decode(input, &mut out)?;
        assert_eq!(out.remove(0), b'>', "appends");
        Ok(out)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541 Appendix C.4 and C.6.
        for (hex, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("6402", "302"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ] {
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(decoded(&bytes).unwrap(), text.as_bytes());
            assert_eq!(encode(text.as_bytes()), bytes);
        }
    }

    #[test]
    fn every_byte_alone_and_among_others() {
        for byte in 0..=255u8 {
            for text in [vec![byte], vec![byte; 9], vec![b'a', byte, b'0', byte, byte, b'~']] {
                assert_eq!(decoded(&encode(&text)).unwrap(), text);
            }
        }
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        // "0" is 00000, then three bits of padding.
        assert!(decoded(&[0b0000_0111]).is_ok());
        for wrong in [
            &[0b0000_0110][..],
            &[0b0000_0011],
            &[0b0000_0000],
            &[0b0000_0111, 0xff],
            &[0xff],
            &[0xff; 4],
            &[0xff; 40],
        ] {
            assert_eq!(decoded(wrong), Err(Malformed), "{wrong:?}");
        }
    }
}
