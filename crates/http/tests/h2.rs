//! HTTP/2: what a client does, frame by frame, and what it receives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may say so bluntly")]

#[path = "common/h2.rs"]
mod peer;

use peer::*;
use pelton_http::h2::{Bounds, ErrorCode, Fault};
use pelton_http::response::Coding;
use pelton_http::{HttpError, Length, Limits, ResponseError, UnderscorePolicy, Version};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/up?x=1"), (":authority", "a.example")];

fn with<'a>(fields: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields, more].concat()
}

/// The error with which a request of these fields is refused.
#[track_caller]
fn refusal(fields: &[(&str, &str)]) -> HttpError {
    match &every_cut(&wire([headers(1, fields, END_STREAM | END_HEADERS)])).seen[..] {
        [Seen::Refused(1, error)] => *error,
        other => panic!("{other:?}"),
    }
}

/// The fault that these frames end a connection with.
#[track_caller]
fn fault(frames: impl IntoIterator<Item = Vec<u8>>) -> Fault {
    match every_cut(&wire(frames)).seen.last() {
        Some(Seen::Failed(fault)) => *fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_without_a_body() {
    let run = every_cut(&wire([headers(
        1,
        &with(&GET, &[("accept", "*/*"), ("x-other", "1")]),
        END_STREAM | END_HEADERS,
    )]));
    let [Seen::Head(1, true, head)] = &run.seen[..] else { panic!("{:?}", run.seen) };
    assert_eq!(
        (&head.method[..], &head.target[..], &head.authority[..]),
        (&b"GET"[..], &b"/"[..], &b"a.example"[..])
    );
    assert_eq!((head.version, head.length, head.keep_alive), (Version::Http2, Length::None, true));
    let fields: Vec<_> = head.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(fields, [(&b"host"[..], &b"a.example"[..]), (b"accept", b"*/*"), (b"x-other", b"1")]);
    // Our SETTINGS, the larger window, and the acknowledgement of the client's.
    assert_eq!(run.kinds(), [SETTINGS, WINDOW_UPDATE, SETTINGS]);
}

#[test]
fn a_body_with_and_without_its_length() {
    for length in [Some("5"), None] {
        let more: Vec<_> = length.iter().map(|length| ("content-length", *length)).collect();
        let run = every_cut(&wire([
            headers(1, &with(&POST, &more), END_HEADERS),
            data(1, b"he", 0),
            frame(DATA, PADDED, 1, b"\x03llo\0\0"),
            data(1, b"", END_STREAM),
        ]));
        // The padding of the third frame is three bytes long: "l" is data.
        let wanted = if length.is_some() { "refused" } else { "whole" };
        match (&run.seen[..], wanted) {
            ([Seen::Head(1, false, head), Seen::Data(1, body), Seen::End(1)], "whole") => {
                assert_eq!(
                    (head.length, &body[..], &head.query[..]),
                    (Length::Chunked, &b"hell"[..2 + 2], &b"x=1"[..])
                );
            }
            (
                [Seen::Head(1, false, head), Seen::Data(1, _), Seen::Refused(1, HttpError::LengthMismatch)],
                "refused",
            ) => {
                assert_eq!(head.length, Length::Exact(5));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_body_must_be_as_long_as_it_says() {
    let post = |length, frames: &[Vec<u8>]| {
        let head = headers(1, &with(&POST, &[("content-length", length)]), END_HEADERS);
        every_cut(&wire([vec![head], frames.to_vec()].concat())).seen
    };
    assert!(matches!(post("5", &[data(1, b"hello", END_STREAM)])[..], [_, Seen::Data(..), Seen::End(1)]));
    for (length, frames) in [
        ("4", [data(1, b"hello", END_STREAM)]),
        ("6", [data(1, b"hello", END_STREAM)]),
        ("5", [headers(1, &[("x", "y")], END_STREAM | END_HEADERS)]),
    ] {
        assert!(
            matches!(
                post(length, &frames)[..],
                [Seen::Head(..), .., Seen::Refused(1, HttpError::LengthMismatch)]
            ),
            "{length}"
        );
    }
    assert_eq!(refusal(&with(&POST, &[("content-length", "5")])), HttpError::LengthMismatch);
    assert_eq!(refusal(&with(&POST, &[("content-length", "+5")])), HttpError::ContentLengthInvalid);
    let small = Limits { body_bytes: 4, ..Limits::default() };
    let run = cut_with(
        &wire([headers(1, &POST, END_HEADERS), data(1, b"hel", 0), data(1, b"lo", END_STREAM)]),
        &small,
        &Bounds::default(),
    );
    assert_eq!(run.seen.last(), Some(&Seen::Refused(1, HttpError::BodyTooLarge)));
}

#[test]
fn trailers_end_a_request_and_are_dropped() {
    let run = every_cut(&wire([
        headers(1, &POST, END_HEADERS),
        data(1, b"x", 0),
        headers(1, &[("checksum", "1")], END_STREAM | END_HEADERS),
    ]));
    assert!(matches!(run.seen[..], [Seen::Head(..), Seen::Data(..), Seen::End(1)]), "{:?}", run.seen);
    for (trailer, flags, error) in [
        ((":path", "/"), END_STREAM, HttpError::Trailer),
        (("content-length", "1"), END_STREAM, HttpError::Trailer),
        (("X", "1"), END_STREAM, HttpError::Trailer),
        (("x", "1"), 0, HttpError::Trailer),
        (("x", &"v".repeat(9000)[..]), END_STREAM, HttpError::TrailerTooLarge),
    ] {
        let run =
            every_cut(&wire([headers(1, &POST, END_HEADERS), headers(1, &[trailer], flags | END_HEADERS)]));
        assert_eq!(run.seen.last(), Some(&Seen::Refused(1, error)), "{}", trailer.0);
    }
}

#[test]
fn heads_that_break_a_rule() {
    use HttpError::*;
    let without = |name: &str| GET.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let replaced = |name: &str, value: &'static str| {
        GET.map(|(other, old)| (other, if other == name { value } else { old })).to_vec()
    };
    let long = "/".repeat(20_000);
    for (fields, error) in [
        (without(":method"), PseudoField),
        (without(":scheme"), PseudoField),
        (without(":path"), PseudoField),
        (without(":authority"), HostMissing),
        (with(&GET, &[(":path", "/")]), PseudoField),
        (with(&GET, &[(":other", "/")]), PseudoField),
        (with(&GET, &[(":status", "200")]), PseudoField),
        (with(&GET, &[(":protocol", "websocket")]), PseudoField),
        (with(&[("x", "y")], &GET), PseudoField),
        (replaced(":path", ""), Target),
        (replaced(":path", "x"), Target),
        (replaced(":path", "*"), Target),
        (replaced(":path", "/a b"), Target),
        (replaced(":path", "/a\u{1}"), Target),
        (replaced(":path", "/a#b"), Target),
        (replaced(":path", "/%00"), TargetNul),
        (replaced(":scheme", "ftp"), Target),
        (replaced(":authority", ""), HostMissing),
        (replaced(":authority", "a b"), HostInvalid),
        (replaced(":authority", "user@a"), HostInvalid),
        (replaced(":method", "G T"), RequestLine),
        (replaced(":method", "CONNECT"), ConnectRefused),
        (replaced(":method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH"), MethodTooLong),
        (with(&without(":path"), &[(":path", &long[..])]), LineTooLong),
        (with(&GET, &[("Accept", "1")]), FieldName),
        (with(&GET, &[("X-y", "1")]), FieldName),
        (with(&GET, &[("", "1")]), FieldName),
        (with(&GET, &[("x y", "1")]), FieldName),
        (with(&GET, &[("x", "a\nb")]), FieldValue),
        (with(&GET, &[("x", "a\0b")]), FieldValue),
        (with(&GET, &[("x", " a")]), FieldValue),
        (with(&GET, &[("x", "a\t")]), FieldValue),
        (with(&GET, &[("connection", "close")]), ConnectionField),
        (with(&GET, &[("keep-alive", "1")]), ConnectionField),
        (with(&GET, &[("proxy-connection", "close")]), ConnectionField),
        (with(&GET, &[("transfer-encoding", "chunked")]), ConnectionField),
        (with(&GET, &[("upgrade", "websocket")]), ConnectionField),
        (with(&GET, &[("te", "gzip")]), ConnectionField),
        (with(&GET, &[("host", "b.example")]), HostRepeated),
        (with(&without(":authority"), &[("host", "a"), ("host", "a")]), HostRepeated),
        (with(&GET, &[("expect", "something")]), ExpectationUnknown),
        (with(&GET, &[("x", "y"); 100]), TooManyFields),
    ] {
        assert_eq!(refusal(&fields), error, "{fields:?}");
    }
    for fields in [
        with(&GET, &[("te", "trailers")]),
        with(&GET, &[("host", "A.example")]),
        with(&without(":authority"), &[("host", "a")]),
        with(&GET, &[("x", "")]),
    ] {
        let run = every_cut(&wire([headers(1, &fields, END_STREAM | END_HEADERS)]));
        let [Seen::Head(1, true, head)] = &run.seen[..] else { panic!("{fields:?}: {:?}", run.seen) };
        assert_eq!(head.fields.iter().filter(|(name, _)| name == b"host").count(), 1);
    }
}

#[test]
fn names_with_underscores_are_treated_as_in_http_1() {
    let wire = wire([headers(
        1,
        &with(&GET, &[("x_y", "1"), ("proxy", "2"), ("x_forwarded_for", "3")]),
        END_STREAM | END_HEADERS,
    )]);
    for (underscores, kept) in [(UnderscorePolicy::Drop, 0), (UnderscorePolicy::Allow, 1)] {
        let run = cut_with(&wire, &Limits { underscores, ..Limits::default() }, &Bounds::default());
        let [Seen::Head(1, true, head)] = &run.seen[..] else { panic!("{:?}", run.seen) };
        assert_eq!(head.fields.len(), 1 + kept);
    }
    let run = cut_with(
        &wire,
        &Limits { underscores: UnderscorePolicy::Refuse, ..Limits::default() },
        &Bounds::default(),
    );
    assert_eq!(run.seen, [Seen::Refused(1, HttpError::FieldUnderscore)]);
}

#[test]
fn cookie_crumbs_become_one_field_and_count_one_by_one() {
    let fields = with(&GET, &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]);
    let run = every_cut(&wire([headers(1, &fields, END_STREAM | END_HEADERS)]));
    let [Seen::Head(1, true, head)] = &run.seen[..] else { panic!("{:?}", run.seen) };
    assert_eq!(head.fields[1], (b"cookie".to_vec(), b"a=1; b=2; c=3".to_vec()));
    assert_eq!((head.fields[2].0.as_slice(), head.fields.len()), (&b"x"[..], 3));
    // 2,000 crumbs of one letter are 2 KB on the wire and 78 KB as they count.
    let crumbs = with(&GET, &[("cookie", "a"); 2000]);
    assert_eq!(refusal(&crumbs), HttpError::HeadTooLarge);
}

#[test]
fn a_block_in_many_frames() {
    let block = block(&with(&GET, &[("x", &"v".repeat(300)[..])]));
    let frames = |size: usize| {
        let mut pieces = block.chunks(size).peekable();
        let mut frames = Vec::new();
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let (kind, flags) = if frames.is_empty() { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
            frames.push(frame(kind, flags | end, 1, piece));
        }
        frames
    };
    for size in [20, 100, 400] {
        assert!(matches!(every_cut(&wire(frames(size))).seen[..], [Seen::Head(1, true, _)]), "{size}");
    }
    assert_eq!(fault(frames(8)), Fault::HeaderBlock);
    // Also without a byte in them.
    let flood = [frame(HEADERS, 0, 1, &[])].into_iter().chain(vec![frame(CONTINUATION, 0, 1, &[]); 33]);
    assert_eq!(fault(flood), Fault::HeaderBlock);
    let big =
        [frame(HEADERS, 0, 1, &[0; 16_384])]
            .into_iter()
            .chain(vec![frame(CONTINUATION, 0, 1, &[0; 16_384]); 9]);
    assert_eq!(
        feed([&wire(big)[..]], &Limits::default(), &Bounds::default()).seen,
        [Seen::Failed(Fault::HeaderBlock)]
    );
    for between in
        [data(1, b"", 0), frame(PING, 0, 0, &[0; 8]), frame(CONTINUATION, 0, 3, &[]), frame(99, 0, 1, &[])]
    {
        assert_eq!(fault([frame(HEADERS, 0, 1, &[]), between]), Fault::Frame);
    }
    assert_eq!(fault([frame(CONTINUATION, END_HEADERS, 1, &[])]), Fault::Frame);
}

#[test]
fn frames_that_end_a_connection() {
    let get = headers(1, &GET, END_STREAM | END_HEADERS);
    let post = headers(1, &POST, END_HEADERS);
    for (frames, wanted) in [
        (vec![frame(DATA, 0, 0, b"")], Fault::Frame),
        (vec![data(1, b"", 0)], Fault::Frame),
        (vec![data(2, b"", 0)], Fault::Frame),
        (vec![post.clone(), frame(DATA, PADDED, 1, b"")], Fault::FrameSize),
        (vec![post.clone(), frame(DATA, PADDED, 1, b"\x01")], Fault::Padding),
        (vec![headers(2, &GET, END_STREAM | END_HEADERS)], Fault::Frame),
        (vec![headers(0, &GET, END_STREAM | END_HEADERS)], Fault::Frame),
        (
            vec![headers(5, &GET, END_STREAM | END_HEADERS), headers(3, &GET, END_STREAM | END_HEADERS)],
            Fault::Frame,
        ),
        (vec![get.clone(), get.clone()], Fault::Closed),
        (vec![frame(HEADERS, PADDED | END_HEADERS, 1, b"\x05abc")], Fault::Padding),
        (vec![frame(HEADERS, PADDED | END_HEADERS, 1, b"")], Fault::FrameSize),
        (vec![frame(HEADERS, PRIORITY_FLAG | END_HEADERS, 1, b"\0\0\0\x01\0")], Fault::Dependency),
        (vec![frame(HEADERS, PRIORITY_FLAG | END_HEADERS, 1, b"\0\0\0")], Fault::FrameSize),
        (vec![frame(HEADERS, END_HEADERS, 1, b"\x80")], Fault::Compression),
        (vec![frame(PRIORITY, 0, 1, b"\0\0\0\x01\0")], Fault::Dependency),
        (vec![frame(PRIORITY, 0, 1, b"\0\0\0\x01")], Fault::FrameSize),
        (vec![frame(PRIORITY, 0, 0, b"\0\0\0\x01\0")], Fault::Frame),
        (vec![frame(RST_STREAM, 0, 1, &[0; 4])], Fault::Frame),
        (vec![frame(RST_STREAM, 0, 0, &[0; 4])], Fault::Frame),
        (vec![get.clone(), frame(RST_STREAM, 0, 1, &[0; 3])], Fault::FrameSize),
        (vec![frame(SETTINGS, 0, 1, &[])], Fault::Frame),
        (vec![frame(SETTINGS, 0, 0, &[0; 5])], Fault::FrameSize),
        (vec![frame(SETTINGS, ACK, 0, &[0; 6])], Fault::FrameSize),
        (vec![frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])], Fault::Setting),
        (vec![frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])], Fault::Window),
        (vec![frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff])], Fault::Setting),
        (vec![frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0])], Fault::Setting),
        (vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 8])], Fault::Frame),
        (vec![frame(PING, 0, 0, &[0; 7])], Fault::FrameSize),
        (vec![frame(PING, 0, 1, &[0; 8])], Fault::Frame),
        (vec![frame(GOAWAY, 0, 0, &[0; 7])], Fault::FrameSize),
        (vec![frame(GOAWAY, 0, 1, &[0; 8])], Fault::Frame),
        (vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], Fault::Increment),
        (vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], Fault::FrameSize),
        (vec![frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])], Fault::Frame),
        (vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], Fault::Window),
        (vec![frame(PRIORITY_UPDATE, 0, 1, &[0; 4])], Fault::Frame),
        (vec![frame(PRIORITY_UPDATE, 0, 0, &[0; 3])], Fault::FrameSize),
        (vec![frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1")], Fault::Frame),
        (vec![get.clone(), frame(RST_STREAM, 0, 1, &[0; 4]), data(1, b"x", 0)], Fault::Closed),
    ] {
        assert_eq!(fault(frames.clone()), wanted, "{frames:?}");
    }
    let too_long = [&wire([])[..], &[0, 0x40, 1, 99, 0, 0, 0, 0, 0]].concat();
    assert_eq!(
        cut_with(&too_long, &Limits::default(), &Bounds::default()).seen,
        [Seen::Failed(Fault::FrameSize)]
    );
    for wrong in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        &[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
    ] {
        let run = cut_with(wrong, &Limits::default(), &Bounds::default());
        assert_eq!(run.seen, [Seen::Failed(Fault::Preface)]);
        assert_eq!(run.kinds(), [SETTINGS, WINDOW_UPDATE, GOAWAY]);
    }
}

/// Sections 5.4.2, 6.3 and 6.9: they end their stream, and the connection's other streams go on.
#[test]
fn faults_of_one_stream() {
    for (wrong, code) in [
        (frame(WINDOW_UPDATE, 0, 1, &[0; 4]), 1),
        (frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]), 3),
        (frame(PRIORITY, 0, 1, b"\0\0\0\x01\0"), 1),
        (frame(PRIORITY, 0, 1, &[0; 4]), 6),
        (data(1, b"x", 0), 5),
    ] {
        let get = |id| headers(id, &GET, END_STREAM | END_HEADERS);
        let run = every_cut(&wire([get(1), wrong.clone(), get(3)]));
        assert!(
            matches!(run.seen[..], [Seen::Head(1, true, _), Seen::Reset(1), Seen::Head(3, true, _)]),
            "{:?}",
            run.seen
        );
        let resets: Vec<_> = run.frames().into_iter().filter(|one| one.kind == RST_STREAM).collect();
        assert_eq!(resets.iter().map(|one| one.payload.clone()).collect::<Vec<_>>(), [vec![0, 0, 0, code]]);
    }
}

/// Whether the response was quicker than the fault must not decide whether it has a consequence.
#[test]
fn faults_of_a_stream_that_is_over_end_the_connection() {
    for (wrong, fault) in [
        (frame(WINDOW_UPDATE, 0, 1, &[0; 4]), Fault::Increment),
        (frame(PRIORITY, 0, 1, b"\0\0\0\x01\0"), Fault::Dependency),
        (frame(PRIORITY, 0, 1, &[0; 4]), Fault::FrameSize),
    ] {
        let mut peer = Peer::new(&Limits::default(), &Bounds::default());
        peer.feed(&wire([headers(1, &GET, END_STREAM | END_HEADERS)]));
        peer.respond(1, 204, &[]).unwrap();
        peer.connection.release(1);
        peer.feed(&wrong);
        assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(fault)));
    }
}

#[test]
fn what_is_unknown_is_ignored() {
    let run = every_cut(&wire([
        frame(99, 0xff, 7, &[1; 100]),
        frame(SETTINGS, 0, 0, &[0xab, 0xcd, 0, 0, 0, 1]),
        frame(PRIORITY, 0, 9, b"\0\0\0\x03\0"),
        frame(PING, 0, 0, b"12345678"),
        frame(RST_STREAM, 0, 1, &[0; 4])[..0].to_vec(),
        headers(1, &GET, END_STREAM | END_HEADERS),
        frame(GOAWAY, 0, 0, &[0; 8]),
    ]));
    assert!(matches!(run.seen[..], [Seen::Head(1, true, _), Seen::GoingAway]), "{:?}", run.seen);
    assert_eq!(run.kinds(), [SETTINGS, WINDOW_UPDATE, SETTINGS, SETTINGS, PING]);
    assert_eq!(run.frames().last().unwrap().payload, b"12345678");
}

#[test]
fn floods_have_an_end() {
    let get = headers(1, &POST, END_HEADERS);
    let bounds = Bounds::default();
    let most = (bounds.control_frames * 3 + 20) as usize;
    for (flood, wanted) in [
        (frame(PING, 0, 0, &[0; 8]), Fault::Pings),
        (frame(SETTINGS, 0, 0, &[]), Fault::Settings),
        (frame(SETTINGS, ACK, 0, &[]), Fault::Settings),
        (data(1, b"", 0), Fault::EmptyFrames),
        (frame(DATA, PADDED, 1, b"\0"), Fault::EmptyFrames),
        (frame(PRIORITY, 0, 1, b"\0\0\0\x03\0"), Fault::OtherFrames),
        (frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"), Fault::OtherFrames),
        (frame(200, 0, 1, b""), Fault::OtherFrames),
        (frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), Fault::WindowUpdates),
        (frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), Fault::WindowUpdates),
    ] {
        let frames = [get.clone()].into_iter().chain(vec![flood.clone(); most]);
        let run = feed([&wire(frames)[..]], &Limits::default(), &bounds);
        assert_eq!(run.seen.last(), Some(&Seen::Failed(wanted)), "{flood:?}");
        assert_eq!(run.frames().last().unwrap().code(4), ErrorCode::EnhanceYourCalm as u32);
        // With time in between the same is nothing.
        let mut peer = Peer::new(&Limits::default(), &bounds);
        peer.feed(&wire([get.clone()]));
        for _ in 0..most {
            peer.now_ms += 10;
            peer.feed(&flood);
        }
        assert!(!matches!(peer.run.seen.last(), Some(Seen::Failed(_))), "{flood:?}");
    }
}

/// Go's client, with much on its way in buffers of sockets, opens its windows for each 4 KiB that it reads, long after that was sent. Clients of
/// server-sent events do it for each event.
#[test]
fn windows_opened_for_what_was_read_are_no_flood() {
    let open = [1u32, 0].map(|id| frame(WINDOW_UPDATE, 0, id, &[0x10, 0, 0, 0]));
    for (size, count) in [(16_384, 400), (20, 2000)] {
        let mut peer = Peer::new(&Limits::default(), &Bounds::default());
        peer.feed(&wire([headers(1, &GET, END_STREAM | END_HEADERS), open.concat()]));
        peer.respond(1, 200, &[]).unwrap();
        for _ in 0..count {
            peer.connection.set_waiting(1, true);
            peer.send(1, &vec![b'x'; size], false);
        }
        let one = [1u32, 0].map(|id| frame(WINDOW_UPDATE, 0, id, &[0, 0, 0, 8])).concat();
        let per_frame = if size > 4096 { 4 } else { 1 };
        peer.feed(&one.repeat(count * per_frame));
        assert!(!matches!(peer.run.seen.last(), Some(Seen::Failed(_))), "{size}");
        // What nothing explains has its end as before.
        for _ in 0..70 {
            peer.feed(&one.repeat(1000));
        }
        assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(Fault::WindowUpdates)));
    }
}

/// A window that is opened byte by byte explains no update of it.
#[test]
fn dribbled_windows_are_a_flood() {
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    peer.feed(&wire([
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]),
        headers(1, &GET, END_STREAM | END_HEADERS),
    ]));
    peer.respond(1, 200, &[]).unwrap();
    for _ in 0..Bounds::default().control_frames * 3 + 20 {
        peer.connection.set_waiting(1, true);
        if peer.connection.may_send(1) > 0 {
            peer.send(1, b"x", false);
        }
        peer.feed(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    }
    assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(Fault::WindowUpdates)));
}

/// CVE-2023-44487: open, reset, open, reset. A stream counts until its exchange is over.
#[test]
fn rapid_resets() {
    let cycle = |id: u32| {
        [headers(id, &GET, END_STREAM | END_HEADERS), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    };
    let bounds = Bounds::default();
    let wire: Vec<u8> = wire((0..1000).map(|count| cycle(1 + 2 * count)));
    let run = feed([&wire[..]], &Limits::default(), &bounds);
    let heads = run.seen.iter().filter(|seen| matches!(seen, Seen::Head(..))).count();
    assert_eq!(heads, bounds.streams as usize);
    assert_eq!(run.seen.last(), Some(&Seen::Failed(Fault::CausedResets)));
    // With exchanges that are over at once it is the number of resets that counts.
    let mut peer = Peer::new(&Limits::default(), &bounds);
    peer.releases = true;
    peer.feed(&wire);
    assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(Fault::Resets)));
    let heads = peer.run.seen.iter().filter(|seen| matches!(seen, Seen::Head(..))).count();
    assert_eq!(heads, bounds.resets as usize * 3 + 1);
}

/// What a look ahead finds, and what it must not find: a stream that is named there never becomes a request.
#[test]
fn a_look_ahead_finds_what_ends_streams() {
    let head = |id| headers(id, &GET, END_STREAM | END_HEADERS);
    let number = |kind, id, number: u32| frame(kind, 0, id, &number.to_be_bytes());
    let largest = 0x7fff_ffff;
    let start = |body: bool| {
        let mut peer = Peer::new(&Limits::default(), &Bounds::default());
        peer.feed(&wire(body.then(|| headers(1, &POST, END_HEADERS))));
        peer
    };
    let found = |frames: &[Vec<u8>]| start(false).connection.ended_within(&frames.concat());
    assert_eq!(found(&[head(1), head(3), number(RST_STREAM, 3, 8), head(5)]), [3]);
    assert_eq!(
        found(&[head(3), number(WINDOW_UPDATE, 3, largest), head(1), number(RST_STREAM, 1, 8)]),
        [1, 3]
    );
    assert_eq!(found(&[head(1), number(WINDOW_UPDATE, 1, 0)]), [1]);
    // As much as just fits; a window that a change of settings may have made smaller; a wrong length; a part of a frame.
    assert_eq!(found(&[head(1), number(WINDOW_UPDATE, 1, largest - 65_535)]), []);
    assert_eq!(found(&[head(1), number(WINDOW_UPDATE, 1, largest - 65_534)]), [1]);
    let smaller = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    assert_eq!(found(&[smaller, head(1), number(WINDOW_UPDATE, 1, largest)]), []);
    assert_eq!(found(&[head(1), frame(RST_STREAM, 0, 1, &[0; 5])]), []);
    assert_eq!(found(&[head(1), number(RST_STREAM, 1, 8)[..12].to_vec()]), []);
    // In the middle of a body whose bytes look like a reset.
    let mut peer = start(true);
    let sent = [data(1, &number(RST_STREAM, 3, 8), 0), head(3), head(5), number(RST_STREAM, 5, 8)].concat();
    peer.feed(&sent[..9]);
    assert_eq!(peer.connection.ended_within(&sent[9..]), [5]);
    // Before the preface has ended, too.
    let all = wire([head(1), number(RST_STREAM, 1, 8)]);
    let fresh = Peer::new(&Limits::default(), &Bounds::default());
    assert_eq!(fresh.connection.ended_within(&all), [1]);
}

/// CVE-2025-8671: the client makes the server reset its streams.
#[test]
fn resets_that_the_client_causes() {
    let bounds = Bounds::default();
    let overflow = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let on = |id: u32, frame: &[u8]| {
        let mut frame = frame.to_vec();
        frame[5..9].copy_from_slice(&id.to_be_bytes());
        frame
    };
    for fault in [
        overflow,
        data(0, b"x", 0),
        headers(0, &[(":method", "GET")], END_STREAM | END_HEADERS),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(PRIORITY, 0, 0, &[0; 4]),
    ] {
        let is_head = fault[3] == HEADERS;
        let cycle = |id: u32| {
            let head = if is_head { Vec::new() } else { headers(id, &GET, END_STREAM | END_HEADERS) };
            [head, on(id, &fault)].concat()
        };
        let mut peer = Peer::new(&Limits::default(), &bounds);
        peer.releases = true;
        peer.feed(&wire((0..1000).map(|count| cycle(1 + 2 * count))));
        assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(Fault::CausedResets)));
    }
}

/// The "HTTP/2 bomb": one entry of kilobytes, and references to it of one byte each.
#[test]
fn lists_that_are_too_large_by_far() {
    let bounds = Bounds::default();
    let entry = [b"\x40\x01x\x7f\xb1\x1e".to_vec(), vec![b'v'; 4016]].concat();
    let list = |id: u32, references: usize| {
        let block = [block(&GET), vec![0xbe; references]].concat();
        frame(HEADERS, END_STREAM | END_HEADERS, id, &block)
    };
    let first = frame(HEADERS, END_STREAM | END_HEADERS, 1, &[block(&GET), entry].concat());
    let bomb = |references: usize| {
        let lists = (1..200).map(|count| list(1 + 2 * count, references));
        let run = feed([&wire([first.clone()].into_iter().chain(lists))[..]], &Limits::default(), &bounds);
        let refused = run.seen.iter().filter(|seen| matches!(seen, Seen::Refused(..))).count();
        (refused, run.seen.last().cloned())
    };
    // 64 MB: not one is looked at to its end.
    assert_eq!(bomb(16_000), (0, Some(Seen::Failed(Fault::HeaderLists))));
    // 2 MB, 31 times the limit: each costs as many resets.
    assert_eq!(bomb(500), (5, Some(Seen::Failed(Fault::HeaderLists))));
    // A cookie jar that has grown too full is no attack: one list at a time is refused, for as long as resets are allowed.
    assert_eq!(bomb(20), (bounds.streams as usize - 1, Some(Seen::Failed(Fault::HeaderLists))));
}

#[test]
fn one_stream_too_many_is_refused_until_an_exchange_is_over() {
    let bounds = Bounds { streams: 2, ..Bounds::default() };
    let get = |id| headers(id, &GET, END_STREAM | END_HEADERS);
    let mut peer = Peer::new(&Limits::default(), &bounds);
    peer.feed(&wire([get(1), get(3), get(5)]));
    assert_eq!(peer.run.seen.len(), 2);
    let last = peer.run.frames().pop().unwrap();
    assert_eq!((last.kind, last.stream, last.code(0)), (RST_STREAM, 5, ErrorCode::RefusedStream as u32));
    peer.connection.release(1);
    // What follows a refused stream is understood: its fields are in the table.
    peer.feed(&get(7));
    assert!(matches!(peer.run.seen[..], [.., Seen::Head(7, true, _)]));
}

#[test]
fn a_response_and_its_windows() {
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    // SETTINGS with an initial window of five bytes, and with a table.
    peer.feed(&wire([
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5, 0, 1, 0, 0, 0, 0]),
        headers(1, &GET, END_STREAM | END_HEADERS),
    ]));
    let encoded = peer.respond(
        1,
        200,
        &[("Content-Type", "text/plain"), ("Content-Length", "12"), ("Connection", "close"), ("X-A", " b ")],
    );
    assert_eq!(encoded.unwrap().coding, Coding::Length(12));
    assert_eq!(peer.connection.next_sender(), None);
    peer.connection.set_waiting(1, true);
    assert_eq!((peer.connection.next_sender(), peer.connection.may_send(1)), (Some(1), 5));
    peer.send(1, b"hello", false);
    assert_eq!((peer.connection.next_sender(), peer.connection.is_stalled(1)), (None, true));
    peer.feed(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]));
    assert_eq!((peer.connection.next_sender(), peer.connection.may_send(1)), (Some(1), 2));
    // A smaller initial window takes away what was given.
    peer.feed(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    assert_eq!((peer.connection.may_send(1), peer.connection.next_sender()), (0, None));
    peer.feed(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 10]));
    assert_eq!(peer.connection.may_send(1), 7);
    peer.send(1, b" world!", true);
    peer.connection.release(1);
    assert!(peer.connection.is_idle());
    let frames = peer.run.frames();
    let head = frames.iter().find(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(head.flags, END_HEADERS);
    let fields = decoded(&head.payload);
    let names: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(names[..3], [":status: 200", "content-type: text/plain", "x-a: b"]);
    assert!(names.contains(&"server: pelton".to_owned()) && names.contains(&"content-length: 12".to_owned()));
    let last = frames.last().unwrap();
    assert_eq!((last.kind, last.flags, &last.payload[..]), (DATA, END_STREAM, &b" world!"[..]));
}

#[test]
fn heads_of_responses() {
    let get = wire([headers(1, &GET, END_STREAM | END_HEADERS)]);
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    peer.feed(&get);
    assert_eq!(peer.respond(1, 101, &[]), Err(ResponseError::Status));
    assert_eq!(peer.respond(1, 200, &[("X-A", "a\nb")]), Err(ResponseError::FieldValue));
    peer.respond(1, 103, &[("Link", "</a.css>; rel=preload")]).unwrap();
    peer.respond(1, 204, &[]).unwrap();
    let frames = peer.run.frames();
    let heads: Vec<_> = frames.iter().filter(|frame| frame.kind == HEADERS).collect();
    assert_eq!((heads.len(), heads[0].flags, heads[1].flags), (2, END_HEADERS, END_HEADERS | END_STREAM));
    assert_eq!(
        decoded(&heads[0].payload),
        [(":status".to_owned(), "103".to_owned()), ("link".to_owned(), "</a.css>; rel=preload".to_owned())]
    );
    // Larger than a frame.
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    peer.feed(&get);
    let large = "v".repeat(40_000);
    peer.respond(1, 200, &[("X-Large", &large), ("Content-Length", "0")]).unwrap();
    let frames = peer.run.frames();
    let parts = &frames[3..];
    let kinds: Vec<_> = parts.iter().map(|frame| (frame.kind, frame.flags)).collect();
    assert_eq!(kinds, [(HEADERS, END_STREAM), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]);
    let block: Vec<u8> = parts.iter().flat_map(|frame| frame.payload.clone()).collect();
    assert!(decoded(&block).contains(&("x-large".to_owned(), large)));
}

#[test]
fn uploads_are_bounded_by_what_is_consumed() {
    let bounds = Bounds { stream_window: 100_000, connection_window: 150_000, ..Bounds::default() };
    let piece = |id| data(id, &[7; 10_000], 0);
    let start = wire([headers(1, &POST, END_HEADERS), headers(3, &POST, END_HEADERS)]);
    let mut peer = Peer::new(&Limits::default(), &bounds);
    peer.consumes = false;
    peer.feed(&start);
    for _ in 0..10 {
        peer.feed(&piece(1));
    }
    peer.feed(&data(1, b"x", 0));
    let last = peer.run.frames().pop().unwrap();
    assert_eq!((last.kind, last.stream, last.code(0)), (RST_STREAM, 1, ErrorCode::FlowControlError as u32));
    assert_eq!(peer.run.seen.last(), Some(&Seen::Reset(1)));
    for _ in 0..4 {
        peer.feed(&piece(3));
    }
    // The byte too many of the other stream counts here.
    peer.feed(&data(3, &[7; 9_999], 0));
    assert!(matches!(peer.run.seen.last(), Some(Seen::Data(3, _))));
    peer.feed(&data(3, b"x", 0));
    assert_eq!(peer.run.seen.last(), Some(&Seen::Failed(Fault::Window)));
    // And without an end if all is consumed.
    let mut peer = Peer::new(&Limits::default(), &bounds);
    peer.feed(&start);
    for _ in 0..100 {
        peer.feed(&piece(1));
        peer.feed(&piece(3));
    }
    assert!(matches!(peer.run.seen.last(), Some(Seen::Data(3, _))));
    let updates = peer.run.frames().iter().filter(|frame| frame.kind == WINDOW_UPDATE).count();
    assert!((40..70).contains(&updates), "{updates}");
}

#[test]
fn data_for_a_refused_request_is_swallowed_and_its_room_given_back() {
    let bounds = Bounds { stream_window: 65_535, connection_window: 65_535, ..Bounds::default() };
    let mut peer = Peer::new(&Limits { body_bytes: 10, ..Limits::default() }, &bounds);
    peer.feed(&wire([headers(1, &with(&POST, &[("content-length", "90000")]), END_HEADERS)]));
    assert_eq!(peer.run.seen, [Seen::Refused(1, HttpError::BodyTooLarge)]);
    peer.respond(1, 413, &[("Content-Length", "0")]).unwrap();
    peer.connection.release(1);
    let last = peer.take_output().pop().unwrap();
    assert_eq!((last.kind, last.code(0)), (RST_STREAM, ErrorCode::NoError as u32));
    for _ in 0..6 {
        peer.feed(&data(1, &[0; 15_000], 0));
    }
    peer.feed(&headers(3, &GET, END_STREAM | END_HEADERS));
    assert!(matches!(peer.run.seen[..], [_, Seen::Head(3, true, _)]), "{:?}", peer.run.seen);
    // What is malformed is answered and reset with an error.
    peer.feed(&headers(5, &with(&GET, &[("Bad", "1")]), END_STREAM | END_HEADERS));
    peer.respond(5, 400, &[("Content-Length", "0")]).unwrap();
    peer.connection.release(5);
    assert_eq!(peer.take_output().pop().unwrap().code(0), ErrorCode::ProtocolError as u32);
}

#[test]
fn the_most_urgent_stream_sends_first_and_equals_take_turns() {
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    let get = |id, urgency| headers(id, &with(&GET, &[("priority", urgency)]), END_STREAM | END_HEADERS);
    peer.feed(&wire([get(1, "u=5"), get(3, "u=3"), get(5, "u=3, i"), get(7, "")]));
    let mut turns = Vec::new();
    for id in [1, 3, 5, 7] {
        peer.respond(id, 200, &[]).unwrap();
        peer.connection.set_waiting(id, true);
    }
    for _ in 0..6 {
        let next = peer.connection.next_sender().unwrap();
        peer.send(next, b"x", false);
        turns.push(next);
    }
    assert_eq!(turns, [3, 5, 7, 3, 5, 7]);
    peer.feed(&frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=0"));
    assert_eq!(peer.connection.next_sender(), Some(1));
    peer.connection.set_waiting(1, false);
    assert_eq!(peer.connection.next_sender(), Some(3));
}

#[test]
fn leaving_in_peace() {
    let get = |id| headers(id, &GET, END_STREAM | END_HEADERS);
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    peer.feed(&wire([get(1)]));
    peer.connection.announce_leaving();
    let frames = peer.take_output();
    let [.., goaway, ping] = &frames[..] else { panic!() };
    assert_eq!((goaway.kind, goaway.code(0), goaway.code(4)), (GOAWAY, 0x7fff_ffff, 0));
    // What was on its way is taken.
    peer.feed(&get(3));
    assert!(matches!(peer.run.seen[..], [_, Seen::Head(3, ..)]));
    peer.feed(&frame(PING, ACK, 0, &ping.payload));
    let goaway = peer.take_output().pop().unwrap();
    assert_eq!((goaway.kind, goaway.code(0)), (GOAWAY, 3));
    // And nothing after it, in silence.
    peer.feed(&get(5));
    assert_eq!((peer.run.seen.len(), peer.take_output().len()), (2, 0));
    for id in [1, 3] {
        assert!(!peer.connection.has_left());
        peer.respond(id, 204, &[]).unwrap();
        peer.connection.release(id);
    }
    assert!(peer.connection.has_left());
}

#[test]
fn a_stream_that_ends_without_a_response_says_so() {
    let mut peer = Peer::new(&Limits::default(), &Bounds::default());
    peer.feed(&wire([
        headers(1, &GET, END_STREAM | END_HEADERS),
        headers(3, &GET, END_STREAM | END_HEADERS),
    ]));
    peer.respond(1, 200, &[]).unwrap();
    peer.connection.release(1);
    assert_eq!(peer.take_output().pop().unwrap().code(0), ErrorCode::InternalError as u32);
    // After the client's own reset there is nothing to say.
    peer.feed(&frame(RST_STREAM, 0, 3, &[0; 4]));
    peer.respond(3, 200, &[]).unwrap();
    assert_eq!(peer.connection.may_send(3), 0);
    peer.connection.release(3);
    assert_eq!(peer.take_output().len(), 0);
}

#[test]
fn extended_connect_only_where_it_is_offered() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    let wire = wire([headers(1, &fields, END_HEADERS)]);
    assert_eq!(every_cut(&wire).seen, [Seen::Refused(1, HttpError::PseudoField)]);
    let bounds = Bounds { websockets: true, ..Bounds::default() };
    let run = cut_with(&wire, &Limits::default(), &bounds);
    let [Seen::Head(1, false, head)] = &run.seen[..] else { panic!("{:?}", run.seen) };
    assert_eq!((head.length, &head.path[..]), (Length::None, &b"/chat"[..]));
    assert!(run.frames()[0].payload.ends_with(&[0, 8, 0, 0, 0, 1]));
}

const WEBSOCKET: [(&str, &str); 5] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "a"),
];

fn with_websockets(fields: &[(&str, &str)], flags: u8) -> Run {
    let bounds = Bounds { websockets: true, ..Bounds::default() };
    cut_with(&wire([headers(1, fields, flags)]), &Limits::default(), &bounds)
}

#[test]
fn what_is_wrong_with_an_extended_connect_is_said() {
    use HttpError::{ConnectRefused, HostMissing, LengthMismatch, ProtocolUnknown, PseudoField};
    let leaving_out =
        |name: &str| -> Vec<_> { WEBSOCKET.into_iter().filter(|(other, _)| *other != name).collect() };
    let saying = |name: &str, value| -> Vec<_> {
        WEBSOCKET.into_iter().map(|(other, old)| (other, if other == name { value } else { old })).collect()
    };
    for (fields, error) in [
        (leaving_out(":scheme"), PseudoField),
        (leaving_out(":path"), PseudoField),
        (leaving_out(":method"), PseudoField),
        (leaving_out(":authority"), HostMissing),
        (leaving_out(":protocol"), ConnectRefused),
        (saying(":method", "GET"), PseudoField),
        (saying(":protocol", "connect-udp"), ProtocolUnknown),
        (saying(":protocol", ""), ProtocolUnknown),
        (with(&WEBSOCKET, &[("content-length", "1")]), LengthMismatch),
        (with(&WEBSOCKET, &[("upgrade", "websocket")]), HttpError::ConnectionField),
    ] {
        assert_eq!(with_websockets(&fields, END_HEADERS).seen, [Seen::Refused(1, error)], "{fields:?}");
    }
    assert_eq!((ProtocolUnknown.status(), PseudoField.status()), (501, 400));
    for (fields, flags) in [
        (saying(":protocol", "WebSocket"), END_HEADERS),
        (with(&WEBSOCKET, &[("content-length", "0")]), END_HEADERS),
        (with(&WEBSOCKET, &[("expect", "100-continue")]), END_HEADERS),
        (WEBSOCKET.to_vec(), END_HEADERS | END_STREAM),
    ] {
        let run = with_websockets(&fields, flags);
        let [Seen::Head(1, _, head)] = &run.seen[..] else { panic!("{fields:?}: {:?}", run.seen) };
        assert_eq!(head.length, Length::None);
    }
}

#[test]
fn what_a_websocket_says_has_no_length_and_no_trailers() {
    let bounds = Bounds { websockets: true, ..Bounds::default() };
    let mut peer = Peer::new(&Limits { body_bytes: 10, ..Limits::default() }, &bounds);
    peer.feed(&wire([headers(1, &WEBSOCKET, END_HEADERS)]));
    peer.respond(1, 200, &[]).unwrap();
    peer.feed(&data(1, &[7; 1000], 0));
    let [Seen::Head(..), Seen::Data(1, bytes)] = &peer.run.seen[..] else { panic!("{:?}", peer.run.seen) };
    assert_eq!(bytes.len(), 1000);
    peer.take_output();
    peer.feed(&headers(1, &[("x", "y")], END_STREAM | END_HEADERS));
    assert_eq!(peer.run.seen.last(), Some(&Seen::Reset(1)));
    let last = peer.take_output().pop().unwrap();
    assert_eq!((last.kind, last.code(0)), (RST_STREAM, ErrorCode::ProtocolError as u32));
}
