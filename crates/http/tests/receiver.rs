//! The receiving half where a wire file would be unwieldy: limits, policies, long input, misuse.

#![allow(clippy::unwrap_used, reason = "a failing test may say so bluntly")]

mod common;

use common::{Seen, every_cut, feed};
use pelton_http::{Event, Head, HttpError, Known, Length, Limits, Receiver, UnderscorePolicy};

fn small() -> Limits {
    Limits {
        head_bytes: 200,
        fields: 3,
        line_bytes: 53,
        body_bytes: 10,
        chunk_line_bytes: 16,
        trailer_bytes: 20,
        underscores: UnderscorePolicy::Drop,
    }
}

fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

/// The error that ends it, or `None` if all requests were complete.
#[track_caller]
fn outcome(bytes: &[u8], limits: &Limits) -> Option<HttpError> {
    match every_cut(bytes, limits).pop() {
        Some(Seen::Error(error)) => Some(error),
        Some(Seen::End) => None,
        other => panic!("neither complete nor refused: {other:?}"),
    }
}

#[test]
fn each_limit_is_exact() {
    let path = |length: usize| "/".repeat(length);
    let long = |length: usize| {
        let mut bytes = get("/", &format!("X: {}\r\n", "v".repeat(length)));
        let excess = bytes.len() as isize - length as isize;
        bytes = get("/", &format!("X: {}\r\n", "v".repeat((length as isize - excess) as usize)));
        assert_eq!(bytes.len(), length);
        bytes
    };
    let length = |length| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n0123456789").into_bytes()
    };
    use HttpError::*;
    for (bytes, want) in [
        (get(&path(40), ""), None),
        (get(&path(41), ""), Some(LineTooLong)),
        (get(&path(500), ""), Some(LineTooLong)),
        (long(200), None),
        (long(201), Some(HeadTooLarge)),
        (long(2000), Some(HeadTooLarge)),
        (get("/", "A: 1\r\nB: 2\r\n"), None),
        (get("/", "A: 1\r\nB: 2\r\nC: 3\r\n"), Some(TooManyFields)),
        (length(10), None),
        (length(11), Some(BodyTooLarge)),
        (chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), None),
        (chunked("5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n"), Some(BodyTooLarge)),
        (chunked("0;34567890abcd\r\n\r\n"), None),
        (chunked("0;34567890abcde\r\n\r\n"), Some(ChunkLineTooLong)),
        (chunked("0\r\nA: 4567\r\nB: 4567\r\n\r\n"), None),
        (chunked("0\r\nA: 4567\r\nB: 4567\r\nC:\r\n\r\n"), Some(TrailerTooLarge)),
        (chunked("0\r\nA: 4567890123456789\r\n\r\n"), Some(TrailerTooLarge)),
    ] {
        assert_eq!(outcome(&bytes, &small()), want, "{}", bytes.escape_ascii());
    }
}

#[test]
fn endless_lines_are_refused_before_they_end() {
    for (bytes, want) in [
        (b"GET /".iter().copied().chain([b'a'; 100]).collect::<Vec<_>>(), HttpError::LineTooLong),
        (vec![b'A'; 100], HttpError::MethodTooLong),
        (get("/", "").into_iter().take(25).chain([b'a'; 200]).collect(), HttpError::HeadTooLarge),
        (chunked(&"0".repeat(16)), HttpError::ChunkLineTooLong),
        (chunked(&format!("0\r\n{}", "a".repeat(22))), HttpError::TrailerTooLarge),
    ] {
        assert_eq!(outcome(&bytes, &small()), Some(want), "{}", bytes.escape_ascii());
    }
}

#[test]
fn chunk_extensions_are_bounded_in_sum() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(199));
    let limits = Limits::default();
    // 200 bytes of extension each: 81 of them stay below 16 KiB, 82 do not.
    for (count, refused) in [(81, false), (82, true)] {
        let bytes = chunked(&format!("{}0\r\n\r\n", chunk.repeat(count)));
        let seen = feed([&bytes[..]], &limits);
        assert_eq!(seen.last() == Some(&Seen::Error(HttpError::ChunkLineTooLong)), refused, "{count}");
        assert_eq!(feed(bytes.chunks(1), &limits), seen);
    }
}

#[test]
fn many_fields_if_the_limit_allows() {
    let fields: String = (0..300).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let limits = Limits { fields: 301, ..Limits::default() };
    let seen = feed([&get("/", &fields)[..]], &limits);
    let Some(Seen::Head(head)) = seen.first() else { panic!("{seen:?}") };
    assert_eq!(head.fields.len(), 301);
    assert_eq!(
        outcome(&get("/", "A: b\r\n"), &Limits { fields: 0, ..limits }),
        Some(HttpError::TooManyFields)
    );
}

#[test]
fn underscore_policies() {
    let request = get("/", "X_A: 1\r\nX-A: 2\r\n");
    let values = |policy| {
        let limits = Limits { underscores: policy, ..Limits::default() };
        match every_cut(&request, &limits).swap_remove(0) {
            Seen::Head(head) => {
                Ok(head.fields.into_iter().skip(1).map(|(_, value)| value).collect::<Vec<_>>())
            }
            Seen::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(values(UnderscorePolicy::Drop), Ok(vec![b"2".to_vec()]));
    assert_eq!(values(UnderscorePolicy::Allow), Ok(vec![b"1".to_vec(), b"2".to_vec()]));
    assert_eq!(values(UnderscorePolicy::Refuse), Err(HttpError::FieldUnderscore));
}

#[test]
fn a_large_body_needs_no_buffer() {
    let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 100_000, b'x');
    let seen = feed(bytes.chunks(1000), &Limits::default());
    assert_eq!(seen[1..], [Seen::Data(vec![b'x'; 100_000]), Seen::End]);
}

#[test]
fn a_message_ends_once_and_keeps_its_hands_off_the_next() {
    let bytes = [get("/1", ""), get("/2", "")].concat();
    let (limits, mut head, mut receiver) = (Limits::default(), Head::default(), Receiver::new());
    assert!(receiver.is_between_requests());
    let step = receiver.advance(&bytes, &limits, &mut head).unwrap();
    assert_eq!((step.event, step.consumed), (Event::Head, bytes.len() / 2));
    assert_eq!(head.path.of(&bytes), b"/1");
    assert_eq!(head.find(Known::Host).map(|field| field.value.of(&bytes)), Some(&b"a"[..]));
    for _ in 0..3 {
        let step = receiver.advance(&bytes[bytes.len() / 2..], &limits, &mut head).unwrap();
        assert_eq!((step.event, step.consumed), (Event::End, 0));
        assert!(!receiver.is_between_requests());
    }
    receiver.next_request();
    assert!(receiver.is_between_requests());
    receiver.advance(&bytes[bytes.len() / 2..], &limits, &mut head).unwrap();
    assert_eq!(head.target.of(&bytes[bytes.len() / 2..]), b"/2");
}

#[test]
fn empty_lines_do_not_begin_a_request() {
    let (limits, mut head, mut receiver) = (Limits::default(), Head::default(), Receiver::new());
    for (input, consumed, between) in [
        (&b""[..], 0, true),
        (b"\r", 0, true),
        (b"\r\n", 2, true),
        (b"\r\n\r", 2, true),
        (b"\r\nG", 2, false),
    ] {
        let step = receiver.advance(input, &limits, &mut head).unwrap();
        assert_eq!((step.event, step.consumed), (Event::NeedMore, consumed), "{}", input.escape_ascii());
        assert_eq!(receiver.is_between_requests(), between, "{}", input.escape_ascii());
    }
}

#[test]
fn reuse_leaves_nothing_of_the_request_before() {
    let mut bytes =
        b"POST http://b/x?y HTTP/1.0\r\nX-A: 1\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
        Content-Length: 1\r\n\r\nz"
            .to_vec();
    bytes.extend(get("/", ""));
    let seen = every_cut(&bytes, &Limits::default());
    let (Seen::Head(reused), Seen::Head(fresh)) =
        (&seen[3], &feed([&get("/", "")[..]], &Limits::default())[0])
    else {
        panic!("{seen:?}")
    };
    assert_eq!(reused, fresh);
    assert_eq!(fresh.length, Length::None);
}

/// Every single byte of a rich request replaced by every awkward one: no panic, and the same outcome however cut.
#[test]
fn damaged_requests() {
    let sound = b"PUT /a?b HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
        3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n";
    let limits = Limits::default();
    for at in 0..sound.len() {
        for byte in *b"\0\r\n\t :;,_%#*?0f\x7f\x80\xff" {
            let mut bytes = sound.to_vec();
            bytes[at] = byte;
            let whole = feed([&bytes[..]], &limits);
            let single = feed(bytes.chunks(1), &limits);
            assert_eq!(single, whole, "{}", bytes.escape_ascii());
        }
    }
}
