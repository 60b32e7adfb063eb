//! What must hold for any input in the fields that choose between representations and their parts, beside plain readers of the same.
//!
//! `crates/http/tests/mutations.rs` includes this file too, as it does `checks`.

use pelton_http::conditions::{Outcome, Validators, allows_range, evaluate, is_tag};
use pelton_http::ranges::{MOST_RANGES, Multipart, Wanted, wanted};
use pelton_http::{Accepted, ContentCoding, Known, file_path};

/// The first byte is the length of the representation, the rest a `Range` field. Compared byte by byte with what each range says.
pub fn ranges(bytes: &[u8]) {
    let Some((&length, value)) = bytes.split_first() else { return };
    let length = u64::from(length);
    let found = wanted(value, length);
    let asked = simple_ranges(value);
    match (&found, &asked) {
        (Wanted::All, None) => {}
        (Wanted::All, Some(asked)) => assert!(asked.len() > MOST_RANGES, "{}", value.escape_ascii()),
        (_, None) => panic!("a malformed field was understood: {}", value.escape_ascii()),
        (Wanted::None, Some(asked)) => {
            assert!((0..length).all(|byte| !asked.iter().any(|one| one.has(byte, length))));
        }
        (Wanted::Some(ranges), Some(asked)) => {
            assert!(!ranges.is_empty() && ranges.len() <= MOST_RANGES);
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
            let mut sorted = ranges.clone();
            sorted.sort_by_key(|range| range.start);
            assert!(sorted.windows(2).all(|two| two[0].end < two[1].start));
            for byte in 0..length {
                let is_sent = ranges.iter().any(|range| range.contains(&byte));
                let is_asked = asked.iter().any(|one| one.has(byte, length));
                // More may be sent only in a small gap between two ranges.
                assert!(is_sent || !is_asked, "{byte} of {length}: {}", value.escape_ascii());
                assert!(is_asked || !is_sent || asked.len() > 1);
            }
            let parts = Multipart::new(ranges, length, Some(b"text/plain"), 1);
            let text: usize = parts.heads.iter().map(Vec::len).sum::<usize>() + parts.tail.len();
            let data: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            assert_eq!(parts.length, text as u64 + data);
        }
    }
}

enum Asked {
    Between(u128, u128),
    Last(u128),
}

impl Asked {
    fn has(&self, byte: u64, length: u64) -> bool {
        match *self {
            Asked::Between(first, last) => (first..=last).contains(&byte.into()),
            Asked::Last(count) => u128::from(byte) + count >= length.into(),
        }
    }
}

/// None where it is malformed.
fn simple_ranges(value: &[u8]) -> Option<Vec<Asked>> {
    let text: String = value.iter().map(|&byte| char::from(byte)).collect();
    let unit = text.get(..6).filter(|unit| unit.eq_ignore_ascii_case("bytes="))?;
    let members = text[unit.len()..].split(',').map(|one| one.trim_matches([' ', '\t', '\n', '\r', '\x0c']));
    let mut asked = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let (first, last) = member.split_once('-')?;
        if !(first.to_owned() + last).bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // More digits than can be counted are more than any length.
        let number = |digits: &str| digits.parse::<u128>().unwrap_or(u128::MAX / 2);
        asked.push(match (first, last) {
            ("", "") => return None,
            ("", count) => Asked::Last(number(count)),
            (first, "") => Asked::Between(number(first), u128::MAX),
            (first, last) => Asked::Between(number(first), number(last).max(number(first))),
        });
        if !first.is_empty() && !last.is_empty() && digits_less(last, first) {
            return None;
        }
    }
    (!asked.is_empty()).then_some(asked)
}

/// Compares numbers of any length; those beyond 64 bits count as equal.
fn digits_less(one: &str, other: &str) -> bool {
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX - 1);
    number(one) < number(other)
}

const CONDITIONS: [Known; 6] = [
    Known::IfMatch,
    Known::IfNoneMatch,
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfRange,
    Known::Range,
];

/// Each line is a field, its first byte says which.
pub fn conditions(bytes: &[u8]) {
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(|line| line.split_first());
    let fields: Vec<_> = lines
        .map(|(&name, value)| (CONDITIONS[usize::from(name) % CONDITIONS.len()], value.trim_ascii()))
        .collect();
    let ask = |now: &Validators<'_>, is_read| evaluate(fields.iter().copied(), is_read, now);
    let has = |name| fields.iter().any(|(known, _)| *known == name);
    let says = |name, text: &[u8]| {
        fields
            .iter()
            .any(|(known, value)| *known == name && value.windows(text.len()).any(|part| part == text))
    };
    let etag = &b"\"a-1\""[..];
    let now = Validators { etag: Some(etag), modified: Some(784_111_777) };
    match ask(&now, true) {
        Outcome::Failed => assert!(has(Known::IfMatch) || has(Known::IfUnmodifiedSince)),
        Outcome::NotModified => {
            assert!(has(Known::IfNoneMatch) || has(Known::IfModifiedSince));
            // What is not modified for a reader may not be written by who has it already.
            if has(Known::IfNoneMatch) {
                assert_eq!(ask(&now, false), Outcome::Failed);
            }
        }
        Outcome::Proceed => {
            assert!(!has(Known::IfMatch) || says(Known::IfMatch, b"*") || says(Known::IfMatch, etag));
        }
    }
    if has(Known::IfNoneMatch) && ask(&now, true) == Outcome::NotModified {
        assert!(says(Known::IfNoneMatch, etag) || says(Known::IfNoneMatch, b"*"));
    }
    if has(Known::IfRange) && allows_range(fields.iter().copied(), &now) {
        assert!(
            fields
                .iter()
                .any(|(known, value)| *known == Known::IfRange && (*value == etag || !is_tag(value)))
        );
    }
    // A client that has the present state, and says nothing else, gets no body.
    let own = [(Known::IfNoneMatch, etag)];
    assert_eq!(evaluate(own.into_iter(), true, &now), Outcome::NotModified);
}

/// A coding is chosen only if the client has named it, or says that it takes any.
pub fn accept_encoding(bytes: &[u8]) {
    let offered = [ContentCoding::Zstd, ContentCoding::Brotli, ContentCoding::Gzip];
    let accepted = Accepted::read(bytes.split(|&byte| byte == b'\n'));
    let lower = bytes.to_ascii_lowercase();
    let says = |text: &[u8]| lower.windows(text.len()).any(|part| part == text);
    if let Some(coding) = accepted.best(offered) {
        assert!(accepted.accepts(coding));
        assert!(says(coding.name().as_bytes()) || says(b"*"));
        // What is forbidden at the front stays forbidden, whatever follows.
        let forbidden = format!("{};q=0", coding.name());
        let lines = [forbidden.as_bytes()].into_iter().chain(bytes.split(|&byte| byte == b'\n'));
        assert_ne!(Accepted::read(lines).best(offered), Some(coding));
    }
    assert!(
        Accepted::read([&b"identity, gzip;q=0.9"[..], bytes].into_iter())
            .best(offered)
            .is_none_or(|coding| { coding != ContentCoding::Gzip })
    );
}

/// A path that is a name never leads out of its folder, and no encoding makes it one.
pub fn file_name(bytes: &[u8]) {
    let mut decoded = Vec::new();
    if file_path::decode(bytes, &mut decoded).is_err() {
        return;
    }
    assert!(!decoded.contains(&0) && decoded.len() <= bytes.len());
    let slashes = |path: &[u8]| path.iter().filter(|&&byte| byte == b'/').count();
    assert_eq!(slashes(&decoded), slashes(bytes));
    if let Some(relative) = file_path::below(&decoded, b"/s")
        && file_path::check(relative).is_ok()
    {
        let names: Vec<_> = relative.split(|&byte| byte == b'/').collect();
        assert!(names.iter().all(|name| !matches!(name, [b'.'] | [b'.', b'.'])));
        assert!(names[..names.len() - 1].iter().all(|name| !name.is_empty()));
        let hidden = names.iter().filter(|name| name.starts_with(b".")).count();
        assert!(hidden == 0 || hidden == 1 && names[0] == b".well-known");
    }
    file_path::fits(bytes, &decoded);
}
