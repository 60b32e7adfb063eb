//! WebSockets over HTTP/2 (RFC 8441), for applications that know them from HTTP/1.1 (RFC 6455).
//!
//! The application sees a request to upgrade, and answers with 101 by itself; here is what lies between the two. Key and Accept, which keep
//! HTTP/1.1's intermediaries from a mistake, mean nothing in HTTP/2: the key is ours, and Accept is left out.

use crate::head::{Field, Head};
use crate::known::Known;
use crate::span::Span;

/// Digits of a nonce; with what is put behind them they are sixteen bytes in base64.
pub const NONCE: usize = 21;
const NONCE_END: &[u8] = b"A==";
/// Fields of the application's response; more are a mistake.
const MOST_FIELDS: usize = 64;

/// Makes of an extended CONNECT the request that HTTP/1.1 has for it. What `head` says points into `text`, and afterwards into what was put behind it.
/// `nonce`: digits that no other request has.
pub fn as_upgrade(text: &mut Vec<u8>, head: &mut Head, nonce: &[u8; NONCE]) {
    let mut put = |pieces: &[&[u8]]| {
        let start = text.len() as u32;
        pieces.iter().for_each(|piece| text.extend_from_slice(piece));
        Span { start, end: text.len() as u32 }
    };
    head.method = put(&[b"GET"]);
    // Section 5: a client of HTTP/2 sends none.
    head.fields.retain(|field| field.known != Known::SecWebSocketKey);
    for (known, name, value) in [
        (Known::Connection, &b"Connection"[..], &[&b"Upgrade"[..]][..]),
        (Known::Upgrade, b"Upgrade", &[b"websocket"]),
        (Known::SecWebSocketKey, b"Sec-WebSocket-Key", &[nonce, NONCE_END]),
    ] {
        let (name, value) = (put(&[name]), put(value));
        head.fields.push(Field { name, value, known });
    }
}

/// What an application has said first on its socket.
#[derive(Debug, PartialEq, Eq)]
pub enum UpgradeResponse<'a> {
    /// More has to come.
    Partial,
    /// A head.
    Whole {
        /// The status of HTTP/2: 200 where the application has agreed.
        status: u16,
        /// Those that mean something there.
        fields: Vec<(&'a [u8], &'a [u8])>,
        /// Bytes of it; what follows is the application's.
        length: usize,
    },
    /// Nothing that could be passed on.
    Unusable,
}

/// Reads the head of an application's response.
pub fn read_response(bytes: &[u8]) -> UpgradeResponse<'_> {
    let mut start = 0;
    loop {
        let mut lines = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut lines);
        let length = match response.parse(bytes.get(start..).unwrap_or_default()) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return UpgradeResponse::Partial,
            Err(_) => return UpgradeResponse::Unusable,
        };
        start += length;
        let status = match response.code {
            Some(101) => 200,
            // Interim ones say nothing about the WebSocket.
            Some(100..=199) => continue,
            // In HTTP/2 this would mean that the application has agreed.
            Some(200) => return UpgradeResponse::Unusable,
            Some(status @ 201..=599) => status,
            _ => return UpgradeResponse::Unusable,
        };
        if response.headers.iter().any(|field| field.name.eq_ignore_ascii_case("transfer-encoding")) {
            return UpgradeResponse::Unusable;
        }
        let is_kept = |name: &str| {
            let about_http_1 = ["connection", "upgrade", "sec-websocket-accept", "content-length"];
            !about_http_1.iter().any(|other| name.eq_ignore_ascii_case(other))
        };
        let fields = response.headers.iter().filter(|field| is_kept(field.name));
        let fields = fields.map(|field| (field.name.as_bytes(), field.value)).collect();
        return UpgradeResponse::Whole { status, fields, length: start };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_becomes_the_upgrade_of_http_1() {
        let mut text = b":path/chatsec-websocket-keyforged".to_vec();
        let span = |start, end| Span { start, end };
        let forged = Field { name: span(10, 27), value: span(27, 33), known: Known::SecWebSocketKey };
        let mut head = Head { path: span(5, 10), fields: vec![forged], ..Head::default() };
        as_upgrade(&mut text, &mut head, b"012345678901234567890");
        assert_eq!((head.method.of(&text), head.path.of(&text)), (&b"GET"[..], &b"/chat"[..]));
        let fields: Vec<_> = head
            .fields
            .iter()
            .map(|field| (field.known, field.name.of(&text), field.value.of(&text)))
            .collect();
        assert_eq!(
            fields,
            [
                (Known::Connection, &b"Connection"[..], &b"Upgrade"[..]),
                (Known::Upgrade, b"Upgrade", b"websocket"),
                (Known::SecWebSocketKey, b"Sec-WebSocket-Key", b"012345678901234567890A=="),
            ]
        );
    }

    #[test]
    fn an_agreement_is_200_at_every_cut_and_the_rest_is_the_applications() {
        let head =
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let whole = [&head[..], b"\x81\x02hi"].concat();
        for cut in 0..head.len() {
            assert_eq!(read_response(&whole[..cut]), UpgradeResponse::Partial, "{cut}");
        }
        let fields = vec![(&b"Sec-WebSocket-Protocol"[..], &b"chat"[..])];
        assert_eq!(read_response(&whole), UpgradeResponse::Whole { status: 200, fields, length: head.len() });
    }

    #[test]
    fn a_refusal_is_passed_on_and_nonsense_is_not() {
        let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\n\r\nno";
        let fields = vec![(&b"X-Why"[..], &b"no"[..])];
        assert_eq!(
            read_response(refusal),
            UpgradeResponse::Whole { status: 403, fields, length: refusal.len() - 2 }
        );
        for nonsense in [
            &b"\x81\x02hi"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 999 What\r\n\r\n",
            b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(
                read_response(nonsense),
                UpgradeResponse::Unusable,
                "{:?}",
                nonsense.escape_ascii().to_string()
            );
        }
        let many = [&b"HTTP/1.1 101 Yes\r\n"[..], &b"a: b\r\n".repeat(65), b"\r\n"].concat();
        assert_eq!(read_response(&many), UpgradeResponse::Unusable);
    }
}
