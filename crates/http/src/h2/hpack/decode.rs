//! From a header block to fields, within a bound.
//!
//! The whole block is always read, also when the list is too large: the client's next block may refer to what stands in it. What is
//! too much is not kept, so a reference of one byte to an entry of kilobytes costs nothing but the look at it.

use super::Malformed;
use super::huffman;
use super::table::{OVERHEAD, Table};
use crate::head::Field;
use crate::known::Known;
use crate::span::Span;

/// Section 4.2: a block may begin with two changes of the table's size, to the least in between and to the last.
const SIZE_UPDATES: u8 = 2;

/// The receiving side's state.
pub(crate) struct Decoder {
    table: Table,
}

/// What a block came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All fields are there.
    Whole,
    /// The list is larger than allowed, so large; what was kept is of no use.
    TooLarge(usize),
    /// It is so large that the rest was not looked at: no later block can be read.
    Endless,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Decoder { table: Table::new() }
    }

    /// Reads `block`. Names and values go to `text`, which the fields' spans point into.
    ///
    /// `most` bounds the list as RFC 9113 section 6.5.2 counts it: name, value and 32 octets for each field, so cookie crumbs count
    /// one by one. Beyond `far`, which is not less, it is not worth the look any more.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        far: usize,
        text: &mut Vec<u8>,
        fields: &mut Vec<Field>,
    ) -> Result<Decoded, Malformed> {
        text.clear();
        fields.clear();
        let (mut rest, mut size, mut updates) = (block, 0usize, 0);
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                self.table.resize(integer(&mut rest, 5)?)?;
                updates += 1;
                if updates > SIZE_UPDATES {
                    return Err(Malformed);
                }
                continue;
            }
            // From here on a change of the table's size is out of place.
            updates = SIZE_UPDATES;
            let start = text.len();
            let name_end = if first & 0x80 != 0 {
                let (name, value) = self.table.get(integer(&mut rest, 7)?)?;
                size = size.saturating_add(name.len() + value.len() + OVERHEAD);
                // Looked at before the copy: this is where few bytes become many.
                if size <= most {
                    text.extend_from_slice(name);
                    text.extend_from_slice(value);
                }
                start + name.len()
            } else {
                let name_end = self.literal(first, &mut rest, text)?;
                size = size.saturating_add(text.len() - start + OVERHEAD);
                name_end
            };
            if size > most {
                text.truncate(start);
                if size > far {
                    return Ok(Decoded::Endless);
                }
                continue;
            }
            let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
            let name = Span { start: at(start), end: at(name_end) };
            let value = Span { start: at(name_end), end: at(text.len()) };
            fields.push(Field { name, value, known: Known::lookup(name.of(text)) });
        }
        Ok(if size > most { Decoded::TooLarge(size) } else { Decoded::Whole })
    }

    /// Appends a field that is written out, with or without a place in the table, and gives where its name ends. Those that must never have a place
    /// are distinguished from others by senders only.
    #[inline]
    fn literal(&mut self, first: u8, rest: &mut &[u8], text: &mut Vec<u8>) -> Result<usize, Malformed> {
        let start = text.len();
        let kept = first & 0xc0 == 0x40;
        match integer(rest, if kept { 6 } else { 4 })? {
            0 => string(rest, text)?,
            index => text.extend_from_slice(self.table.get(index)?.0),
        }
        let name_end = text.len();
        string(rest, text)?;
        if kept {
            let (name, value) = text
                .get(start..)
                .and_then(|both| both.split_at_checked(name_end - start))
                .ok_or(Malformed)?;
            self.table.insert(name, value);
        }
        Ok(name_end)
    }
}

/// Section 5.1. Whatever is counted here is far below 2^28.
#[inline]
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let (&first, mut after) = rest.split_first().ok_or(Malformed)?;
    let mask = (1u32 << prefix) - 1;
    let mut value = u32::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, behind) = after.split_first().ok_or(Malformed)?;
            after = behind;
            if shift > 21 {
                return Err(Malformed);
            }
            value += u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = after;
    Ok(value as usize)
}

/// Section 5.2.
#[inline]
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let is_coded = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = after;
    if is_coded {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    fn read(decoder: &mut Decoder, block: &[u8], most: usize) -> Result<(Decoded, Vec<String>), Malformed> {
        let (mut text, mut fields) = (Vec::new(), Vec::new());
        let decoded = decoder.decode(block, most, usize::MAX, &mut text, &mut fields)?;
        let of = |span: Span| String::from_utf8_lossy(span.of(&text)).into_owned();
        Ok((decoded, fields.iter().map(|field| format!("{}: {}", of(field.name), of(field.value))).collect()))
    }

    /// RFC 7541 Appendix C.3 and C.4: three requests on one connection, plain and Huffman-coded.
    #[test]
    fn the_examples_of_the_rfc() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let coded = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::new();
            let lists = blocks.map(|block| read(&mut decoder, &hex(block), 1 << 16).unwrap().1);
            assert_eq!(
                lists[0],
                [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]
            );
            assert_eq!(lists[1][3..], [":authority: www.example.com", "cache-control: no-cache"]);
            assert_eq!(lists[2][1..3], [":scheme: https", ":path: /index.html"]);
            assert_eq!(lists[2][4], "custom-key: custom-value");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "80",
            "be",
            "ff",
            "ff80",
            "ffffffffffff00",
            "7f80808080808000",
            "40",
            "4001",
            "400161",
            "40016102",
            "00",
            "0f",
            "4081ff01",
            "3fe21f",
            "202020",
            "8220",
            "4001610162 20",
            "1f80",
        ] {
            assert_eq!(read(&mut Decoder::new(), &hex(wrong), 1 << 16), Err(Malformed), "{wrong}");
        }
        for right in ["", "20", "2020", "3fe11f", "203fe11f82", "0001610162", "1001610162"] {
            assert!(read(&mut Decoder::new(), &hex(right), 1 << 16).is_ok(), "{right}");
        }
    }

    /// One entry of 4,000 bytes and 16,000 references to it are 16 KiB on the wire and 64 MB as a list.
    #[test]
    fn references_cannot_become_a_list_without_end() {
        let mut block = hex("400161");
        block.extend([0x7f, 0xa1, 0x1e]);
        block.extend([b'v'; 4000]);
        block.extend([0xbe; 16_000]);
        let (mut decoder, mut text, mut fields) = (Decoder::new(), Vec::new(), Vec::new());
        let decoded = decoder.decode(&block, 65_536, usize::MAX, &mut text, &mut fields).unwrap();
        let size = 16_001 * (1 + 4000 + OVERHEAD);
        assert_eq!((decoded, fields.len()), (Decoded::TooLarge(size), 16));
        assert!(text.capacity() < 140_000, "{}", text.capacity());
        // The table is as the client thinks: the next block can refer to it.
        assert_eq!(read(&mut decoder, &[0xbe], 65_536).unwrap().1.len(), 1);
        // Empty fields count 32 octets each.
        let crumbs = [&hex("0f1100")[..], &[0x60, 0x00], &vec![0xbe; 3000][..]].concat();
        let decoded = read(&mut Decoder::new(), &crumbs, 65_536).unwrap().0;
        assert_eq!(decoded, Decoded::TooLarge(3002 * (6 + OVERHEAD)));
        // Where it is too large by far, the rest is not even looked at.
        block.push(0xff);
        let decoded = Decoder::new().decode(&block, 65_536, 655_360, &mut text, &mut fields).unwrap();
        assert_eq!(decoded, Decoded::Endless);
    }
}
