//! The sending half: every head is parsed back by another parser.

#![allow(clippy::unwrap_used, reason = "a failing test may say so bluntly")]

use pelton_http::h1::encode::{CHUNK_END, CONTINUE, LAST_CHUNK, chunk_prefix, encode_head, reason_phrase};
use pelton_http::head_sink::HeadSink;
use pelton_http::response::write_response_head;
use pelton_http::{Coding, Encoded, ResponseContext, ResponseError, Timing, Version};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const CONTEXT: ResponseContext<'static> = ResponseContext {
    version: Version::Http11,
    is_head: false,
    keep_alive: true,
    date: DATE,
    known_length: None,
    timing: None,
    transport_security: None,
};
const HTTP10: ResponseContext<'static> = ResponseContext { version: Version::Http10, ..CONTEXT };
const HEAD: ResponseContext<'static> = ResponseContext { is_head: true, ..CONTEXT };

type Fields<'f> = &'f [(&'f str, &'f str)];

fn encode(
    status: u16,
    reason: &str,
    fields: Fields<'_>,
    context: &ResponseContext<'_>,
) -> (Vec<u8>, Encoded) {
    let mut out = b"earlier bytes".to_vec();
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let encoded = encode_head(&mut out, status, reason.as_bytes(), fields, context).unwrap();
    (out.strip_prefix(b"earlier bytes").unwrap().to_vec(), encoded)
}

/// Status, reason and fields (`name: value`, sorted) of a complete head, and what follows it.
fn parse(bytes: &[u8]) -> (u16, String, Vec<String>, Vec<u8>) {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut lines);
    let length = response.parse(bytes).unwrap().unwrap();
    assert_eq!(response.version, Some(1));
    let mut fields: Vec<String> = response
        .headers
        .iter()
        .map(|line| format!("{}: {}", line.name.to_ascii_lowercase(), String::from_utf8_lossy(line.value)))
        .collect();
    fields.sort();
    (response.code.unwrap(), response.reason.unwrap().to_owned(), fields, bytes[length..].to_vec())
}

/// The fields besides `Server` and `Date`, of which there must be one each.
#[track_caller]
fn fields_of(bytes: &[u8]) -> Vec<String> {
    let (.., mut fields, rest) = parse(bytes);
    assert!(rest.is_empty());
    for own in ["server: pelton", "date: Sun, 06 Nov 1994 08:49:37 GMT"] {
        let at =
            fields.iter().position(|field| field == own).unwrap_or_else(|| panic!("no {own} in {fields:?}"));
        fields.remove(at);
    }
    fields
}

#[test]
fn usual_response_byte_for_byte() {
    let fields: Fields = &[("Content-Type", "text/html"), ("Content-Length", "13")];
    let (bytes, encoded) = encode(200, "OK", fields, &CONTEXT);
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nServer: pelton\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Length: 13\r\n\r\n"
    );
    assert_eq!(encoded, Encoded { coding: Coding::Length(13), keep_alive: true });
}

#[test]
fn framing_and_persistence() {
    let known = |known_length, context| ResponseContext { known_length: Some(known_length), ..context };
    let closing = |context| ResponseContext { keep_alive: false, ..context };
    let five: Fields = &[("Content-Length", "5")];
    for (status, given, context, want, coding, keep_alive) in [
        (200, five, CONTEXT, &["content-length: 5"][..], Coding::Length(5), true),
        (200, &[], CONTEXT, &["transfer-encoding: chunked"], Coding::Chunked, true),
        (200, &[], known(7, CONTEXT), &["content-length: 7"], Coding::Length(7), true),
        (200, &[], known(0, CONTEXT), &["content-length: 0"], Coding::Length(0), true),
        (200, five, known(7, CONTEXT), &["content-length: 5"], Coding::Length(5), true),
        (200, five, closing(CONTEXT), &["connection: close", "content-length: 5"], Coding::Length(5), false),
        (200, five, HTTP10, &["connection: keep-alive", "content-length: 5"], Coding::Length(5), true),
        (200, five, closing(HTTP10), &["connection: close", "content-length: 5"], Coding::Length(5), false),
        (200, &[], HTTP10, &["connection: close"], Coding::UntilClose, false),
        (200, five, HEAD, &["content-length: 5"], Coding::None, true),
        (200, &[], HEAD, &[], Coding::None, true),
        (200, &[], known(7, HEAD), &["content-length: 7"], Coding::None, true),
        (200, &[], known(0, HEAD), &[], Coding::None, true),
        (304, five, CONTEXT, &["content-length: 5"], Coding::None, true),
        (304, &[], known(0, CONTEXT), &[], Coding::None, true),
        (204, five, CONTEXT, &[], Coding::None, true),
        (204, &[], known(0, HTTP10), &["connection: keep-alive"], Coding::None, true),
        (
            200,
            &[("Connection", "Close"), five[0]],
            CONTEXT,
            &["connection: close", "content-length: 5"],
            Coding::Length(5),
            false,
        ),
        (
            200,
            &[("connection", "x, close"), five[0]],
            HTTP10,
            &["connection: close", "content-length: 5"],
            Coding::Length(5),
            false,
        ),
        (
            200,
            &[("Connection", "keep-alive"), five[0]],
            closing(CONTEXT),
            &["connection: close", "content-length: 5"],
            Coding::Length(5),
            false,
        ),
        (200, &[five[0], five[0]], CONTEXT, &["content-length: 5"], Coding::Length(5), true),
    ] {
        let (bytes, encoded) = encode(status, reason_phrase(status), given, &context);
        let place = format!("{status} {given:?} {context:?}");
        assert_eq!(fields_of(&bytes), want, "{place}");
        assert_eq!(encoded, Encoded { coding, keep_alive }, "{place}");
    }
}

#[test]
fn hop_by_hop_fields_are_left_out() {
    let (bytes, encoded) = encode(
        200,
        "OK",
        &[
            ("Keep-Alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("UPGRADE", "h2c"),
            ("TE", "trailers"),
            ("Trailer", "X"),
            ("Proxy-Connection", "close"),
            ("Connection", "x-a"),
            ("X-A", "kept"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ],
        &CONTEXT,
    );
    let want = ["set-cookie: a=1", "set-cookie: b=2", "transfer-encoding: chunked", "x-a: kept"];
    assert_eq!(fields_of(&bytes), want);
    assert_eq!(encoded, Encoded { coding: Coding::Chunked, keep_alive: true });
}

#[test]
fn the_application_may_name_server_and_date() {
    let (bytes, _) = encode(204, "No Content", &[("server", "mine"), ("DATE", "today")], &CONTEXT);
    assert_eq!(parse(&bytes).2, ["date: today", "server: mine"]);
}

#[test]
fn interim_responses_and_101() {
    let (bytes, encoded) = encode(103, "Early Hints", &[("Link", "</a>"), ("Connection", "close")], &CONTEXT);
    assert_eq!(parse(&bytes).2, ["link: </a>"]);
    assert_eq!(encoded.coding, Coding::None);
    let (bytes, encoded) =
        encode(101, "Switching Protocols", &[("Upgrade", "websocket"), ("Connection", "Upgrade")], &CONTEXT);
    assert_eq!(parse(&bytes).2, ["connection: Upgrade", "upgrade: websocket"]);
    assert_eq!(encoded, Encoded { coding: Coding::None, keep_alive: false });
    assert_eq!(parse(CONTINUE), (100, "Continue".into(), vec![], vec![]));
}

#[test]
fn status_lines() {
    for (status, reason) in [(200, "OK"), (200, "Fine"), (404, "NOT FOUND"), (599, ""), (999, "x \u{fc}")] {
        let (bytes, _) = encode(status, reason, &[], &CONTEXT);
        let line = format!("HTTP/1.1 {status} {reason}\r\n");
        assert!(bytes.starts_with(line.as_bytes()), "{}", bytes.escape_ascii());
    }
    for status in 100..=999 {
        let (bytes, _) = encode(status, reason_phrase(status), &[], &CONTEXT);
        assert_eq!(parse(&bytes).0, status);
    }
}

#[test]
fn what_would_split_a_response_is_refused_and_leaves_no_trace() {
    use ResponseError::*;
    for (status, reason, fields, want) in [
        (99, "OK", &[][..], Status),
        (1000, "OK", &[], Status),
        (0, "", &[], Status),
        (200, "OK\r\nX: y", &[], Reason),
        (200, "OK\n", &[], Reason),
        (200, "OK", &[("X", "a\r\nSet-Cookie: b")], FieldValue),
        (200, "OK", &[("X", "a\nb")], FieldValue),
        (200, "OK", &[("X", "a\0")], FieldValue),
        (200, "OK", &[("Date", "a\r\nb")], FieldValue),
        (200, "OK", &[("Server", "a\rb")], FieldValue),
        (200, "OK", &[("", "a")], FieldName),
        (200, "OK", &[("X Y", "a")], FieldName),
        (200, "OK", &[("X:", "a")], FieldName),
        (200, "OK", &[("X\r\nY", "a")], FieldName),
        (200, "OK", &[("Content-Length", "-1")], ContentLength),
        (200, "OK", &[("Content-Length", "")], ContentLength),
        (200, "OK", &[("Content-Length", "1\r\n")], ContentLength),
        (200, "OK", &[("Content-Length", "1"), ("content-length", "2")], ContentLength),
    ] {
        let mut out = b"earlier".to_vec();
        let pairs = fields.iter().map(|(name, value): &(&str, &str)| (name.as_bytes(), value.as_bytes()));
        let result = encode_head(&mut out, status, reason.as_bytes(), pairs, &CONTEXT);
        assert_eq!(result, Err(want), "{status} {reason:?} {fields:?}");
        assert_eq!(out, b"earlier");
    }
}

#[test]
fn chunks_read_back() {
    for length in [1, 9, 10, 15, 16, 255, 4096, 65_536, 0xabc_def, usize::MAX] {
        let mut out = Vec::new();
        chunk_prefix(&mut out, length);
        assert_eq!(out, format!("{length:x}\r\n").as_bytes());
        assert_eq!(
            httparse::parse_chunk_size(&out),
            Ok(httparse::Status::Complete((out.len(), length as u64)))
        );
    }
    assert_eq!([LAST_CHUNK, CHUNK_END].concat(), b"0\r\n\r\n\r\n");
}

/// A head as HTTP/2 would send it.
#[derive(Default)]
struct Written(Vec<(String, String)>);

impl HeadSink for Written {
    fn status(&mut self, status: u16, _: &[u8]) -> Result<(), ResponseError> {
        self.0.push((":status".to_owned(), status.to_string()));
        Ok(())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(name).to_lowercase(), text(value)));
    }

    fn fixed(&mut self, name: &'static [u8], value: &'static [u8], _: &'static [u8]) {
        self.field(name, value);
    }

    fn content_length(&mut self, length: u64) {
        self.field(b"content-length", length.to_string().as_bytes());
    }

    fn end(&mut self) {}
}

#[test]
fn http2_has_the_same_policy_and_no_field_about_the_connection() {
    let context = ResponseContext { version: Version::Http2, keep_alive: false, ..CONTEXT };
    let fields: [(&[u8], &[u8]); 4] =
        [(b"X-A", b"1"), (b"Connection", b"x-a"), (b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"5")];
    let mut sink = Written::default();
    let encoded = write_response_head(&mut sink, 200, b"Fine", fields, &context).unwrap();
    assert_eq!(encoded, Encoded { coding: Coding::Frames, keep_alive: false });
    let date = String::from_utf8_lossy(DATE);
    let expected = [(":status", "200"), ("x-a", "1"), ("server", "pelton"), ("date", &date)];
    assert_eq!(sink.0, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let known = ResponseContext { known_length: Some(7), ..context };
    let encoded = write_response_head(&mut Written::default(), 200, b"", [], &known).unwrap();
    assert_eq!(encoded.coding, Coding::Length(7));
    let bad: [(&[u8], &[u8]); 1] = [(b"X", b"a\r\nb: c")];
    assert!(write_response_head(&mut Written::default(), 200, b"", bad, &context).is_err());
    assert!(write_response_head(&mut Written::default(), 101, b"", [], &context).is_err());
}

#[test]
fn how_long_it_took_is_said_unless_the_application_says_it() {
    let context =
        ResponseContext { timing: Some(Timing { queue_us: 4_000, application_us: 1_234_567 }), ..CONTEXT };
    let fields_with = |status, reason, fields| fields_of(&encode(status, reason, fields, &context).0);
    let expected = "server-timing: queue;dur=4.00, app;dur=1234.56";
    assert_eq!(fields_with(200, "OK", &[("Content-Length", "0")]), ["content-length: 0", expected]);
    assert_eq!(fields_with(304, "Not Modified", &[]), [expected]);
    let own = fields_with(200, "OK", &[("Content-Length", "0"), ("server-Timing", "db;dur=1")]);
    assert_eq!(own, ["content-length: 0", "server-timing: db;dur=1"]);
    let mut out = Vec::new();
    let fields = [(&b"server\rtiming"[..], &b"x"[..])];
    assert_eq!(encode_head(&mut out, 200, b"OK", fields, &context), Err(ResponseError::FieldName));
    // Interim responses have no such fields.
    let (interim, _) = encode(103, "Early Hints", &[], &context);
    assert_eq!(String::from_utf8(interim).unwrap(), "HTTP/1.1 103 Early Hints\r\n\r\n");
}
