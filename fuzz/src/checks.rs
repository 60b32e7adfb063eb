//! What must hold for any input: a function per fuzz target, which panics where something does not.
//!
//! `crates/http/tests/mutations.rs` includes this file too, so that every test run tries a little of what fuzzing tries.

use std::net::IpAddr;

use pelton_http::forwarded::{Client, Resolved, TrustedProxies, is_forwarding_field, resolve};
use pelton_http::h2::Bounds;
use pelton_http::header_policy::valid_value;
use pelton_http::proxy_protocol::{Header, LONGEST_HEADER, Malformed, Parsed, parse};
use pelton_http::{HttpError, Known, Limits, UnderscorePolicy, Version};

use crate::common::{OwnedHead, Seen, feed};
use crate::peer;
use crate::simple::{self, SimpleBody, SimpleHead};

/// Limits that a small input can reach.
fn small_limits() -> Limits {
    Limits {
        head_bytes: 120,
        fields: 4,
        line_bytes: 48,
        body_bytes: 64,
        chunk_line_bytes: 24,
        trailer_bytes: 32,
        ..Limits::default()
    }
}

/// Feeds `wire` whole, byte by byte, and in pieces that depend on its bytes; all must give the same events.
fn however_cut(wire: &[u8], limits: &Limits) -> Vec<Seen> {
    let whole = feed([wire], limits);
    assert_eq!(feed(wire.chunks(1), limits), whole, "byte by byte");
    // A linear congruential generator, so that a finding can be run again.
    let mut state = wire.iter().fold(wire.len() as u32, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
    let mut rest = wire;
    let pieces = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly short pieces, now and then a long one.
        let most = if state >> 30 == 0 { rest.len() } else { 24 };
        let (piece, after) = rest.split_at(rest.len().min(1 + (state >> 8) as usize % most.max(1)));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(feed(pieces, limits), whole, "in pieces");
    whole
}

/// A whole connection: however its bytes are cut, the same requests are seen, the same bodies and the same error.
pub fn connection(wire: &[u8]) {
    however_cut(wire, &Limits::default());
    however_cut(wire, &small_limits());
    however_cut(wire, &Limits { underscores: UnderscorePolicy::Allow, ..Limits::default() });
}

/// A request head: what the parser takes, a plain reader takes too, and understands in the same way; and the other way
/// round, as far as lines are concerned.
pub fn head(wire: &[u8]) {
    for limits in [Limits::default(), small_limits()] {
        let seen = however_cut(wire, &limits);
        let mut start = wire;
        while let Some(rest) = start.strip_prefix(b"\r\n") {
            start = rest;
        }
        let simple = simple::head(start);
        match seen.first() {
            Some(Seen::Head(head)) => same_head(head, simple.expect("a plain reader takes it too")),
            Some(Seen::Error(
                HttpError::RequestLine
                | HttpError::LineEnding
                | HttpError::FieldName
                | HttpError::FieldValue
                | HttpError::Version,
            )) => assert!(simple.is_none(), "refused although every line is well-formed"),
            Some(Seen::Incomplete) => assert!(simple.is_none(), "a complete head is not noticed"),
            Some(Seen::Error(_)) | None => {}
            other => panic!("{other:?} before any head"),
        }
    }
}

fn same_head(head: &OwnedHead, simple: SimpleHead) {
    assert_eq!((&head.method, &head.target), (&simple.method, &simple.target));
    assert_eq!(head.version == Version::Http11, simple.version == b"HTTP/1.1");
    assert_eq!(Some(head.length), simple.length());
    assert_eq!(head.keep_alive, simple.keep_alive());
    assert!(simple.has_its_host());
    assert!(!head.path.windows(3).any(|three| three == b"%00"));
    let kept =
        simple.fields.into_iter().filter(|(name, _)| !name.contains(&b'_') && name != b"proxy").collect();
    if matches!(head.target[..], [b'/' | b'*', ..]) {
        assert_eq!(head.fields, kept);
        return;
    }
    // Host is the target's, whether it was there or not.
    let without_host = |fields: &Vec<(Vec<u8>, Vec<u8>)>| -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.iter().filter(|(name, _)| name != b"host").cloned().collect()
    };
    assert_eq!(without_host(&head.fields), without_host(&kept));
    assert!(head.fields.contains(&(b"host".to_vec(), head.authority.clone())));
}

/// A chunked body: the receiver and a plain reader see the same data and the same end.
pub fn chunked(body: &[u8]) {
    let head = &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
    let wire = [head, body].concat();
    for limits in [Limits::default(), Limits { line_bytes: 120, ..small_limits() }] {
        let seen = however_cut(&wire, &limits);
        let (data, rest) = match &seen[1..] {
            [Seen::Data(data), rest @ ..] => (&data[..], rest),
            rest => (&[][..], rest),
        };
        use HttpError::{BodyTooLarge, ChunkLineTooLong, TrailerTooLarge};
        match (rest, simple::chunked(body)) {
            // What follows a complete body may be wrong, but that is another request.
            ([Seen::End, ..], SimpleBody::Complete(wanted, _)) => assert_eq!(data, wanted),
            ([Seen::Incomplete], SimpleBody::Cut) => {}
            ([Seen::Error(_)], SimpleBody::Wrong) => {}
            ([Seen::Error(BodyTooLarge | ChunkLineTooLong | TrailerTooLarge)], _) => {}
            (rest, simple) => panic!("{rest:?} but {simple:?}"),
        }
    }
}

/// The PROXY header: a verdict once given stays, whatever follows; and what is understood can be said again.
pub fn proxy_header(bytes: &[u8]) {
    let whole = parse(bytes);
    let mut verdict = None;
    for length in 0..=bytes.len().min(LONGEST_HEADER + 8) {
        let now = parse(&bytes[..length]);
        match (verdict, now) {
            (None, Ok(Parsed::NeedMore)) => assert!(length < LONGEST_HEADER, "no end is in sight"),
            (None, Ok(Parsed::Header(header))) => {
                assert_eq!(header.consumed, length, "could have been known before");
                verdict = Some(now);
            }
            (None, Err(Malformed)) => verdict = Some(now),
            (Some(verdict), now) => assert_eq!(verdict, now),
        }
    }
    assert_eq!(verdict.unwrap_or(Ok(Parsed::NeedMore)), whole);
    if let Ok(Parsed::Header(header)) = whole {
        say_again(&header);
    }
}

fn say_again(header: &Header) {
    let (Some((source, source_port)), Some((destination, destination_port))) =
        (header.source, header.destination)
    else {
        assert_eq!((header.source, header.destination), (None, None));
        return;
    };
    let six = source.is_ipv6() || destination.is_ipv6();
    let text = |address: IpAddr| match address {
        IpAddr::V4(address) if six => address.to_ipv6_mapped().to_string(),
        address => address.to_string(),
    };
    let (family, source, destination) = (if six { "TCP6" } else { "TCP4" }, text(source), text(destination));
    let line = format!("PROXY {family} {source} {destination} {source_port} {destination_port}\r\n");
    let want = Header { consumed: line.len(), tls: false, ..*header };
    assert_eq!(parse(line.as_bytes()), Ok(Parsed::Header(want)));
}

const FIELDS: [Known; 6] = [
    Known::Forwarded,
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
];

fn said<'a>(fields: &[(Known, &'a [u8])]) -> Result<Option<Resolved<'a>>, HttpError> {
    let trusted = TrustedProxies::parse("10.0.0.0/8,fd00::/8").expect("valid");
    resolve(&trusted, Some(([10, 0, 0, 1].into(), 1)), fields.iter().copied())
}

/// What proxies say: nothing that a client writes before it reaches a trusted proxy changes what the proxy says.
pub fn forwarded(bytes: &[u8]) {
    // Any fields: each line is one, its first byte says which.
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(|line| line.split_first());
    let fields: Vec<_> = lines
        .map(|(&name, value)| (FIELDS[usize::from(name) % FIELDS.len()], value.trim_ascii()))
        .filter(|(_, value)| valid_value(value))
        .collect();
    if let Ok(Some(resolved)) = said(&fields) {
        let host = resolved.host.unwrap_or(b"a");
        assert!(!host.is_empty() && !host.iter().any(|byte| b" \t\"/\\@?#".contains(byte)));
        let prefix = resolved.prefix.unwrap_or_default();
        assert!(prefix.is_empty() || prefix.starts_with(b"/") && !prefix.ends_with(b"/"));
        assert!(!prefix.windows(2).any(|two| two == b"//"));
        assert_ne!(resolved.port, Some(0));
    }

    // The same bytes as what a client wrote, and behind it what the proxy appends.
    let value = bytes.trim_ascii();
    if !valid_value(value) {
        return;
    }
    is_forwarding_field(Known::Other, value);
    let address = Some((Client::Address("2001:db8::1".parse().expect("valid")), Some(4711)));
    let appended = [value, b", [2001:db8::1]:4711"].concat();
    let resolved = said(&[(Known::XForwardedFor, &appended)]).expect("only the last counts");
    assert_eq!(resolved.and_then(|resolved| resolved.client), address);
    let own = (Known::XForwardedFor, &b"[2001:db8::1]:4711, 10.9.9.9"[..]);
    let resolved = said(&[(Known::XForwardedFor, value), own]).expect("only the last counts");
    assert_eq!(resolved.and_then(|resolved| resolved.client), address);

    let element = &b"for=\"[2001:db8::1]:4711\";proto=https;host=\"a:1\""[..];
    let appended = [value, b", ", element].concat();
    for fields in
        [&[(Known::Forwarded, &appended[..])][..], &[(Known::Forwarded, value), (Known::Forwarded, element)]]
    {
        // Refused, or what the proxy said.
        if let Ok(resolved) = said(fields) {
            let resolved = resolved.expect("there is a field");
            assert_eq!(resolved.client, address);
            assert_eq!((resolved.https, resolved.host), (Some(true), Some(&b"a:1"[..])));
        }
    }
}

/// Frames behind a preface: however they are cut, the same is seen and the same is said, and no more streams are open than may be.
pub fn h2(frames: &[u8]) {
    let bounds = Bounds {
        streams: 3,
        stream_window: 64,
        connection_window: 100,
        continuations: 2,
        resets: 2,
        stalled: 1,
        control_frames: 4,
        websockets: true,
    };
    let wire = peer::wire([frames.to_vec()]);
    peer::cut_with(&wire, &Limits::default(), &Bounds::default());
    let run = peer::cut_with(&wire, &small_limits(), &bounds);
    let opened = run
        .seen
        .iter()
        .filter(|seen| matches!(seen, peer::Seen::Head(..)) || matches!(seen, peer::Seen::Refused(..)));
    // Nothing is released here, and each of them can be refused once more: its body.
    assert!(opened.count() <= 6);
}
