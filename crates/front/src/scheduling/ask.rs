//! A complete request as it is handed on: what the parser found, and how it becomes the link's record.
//!
//! Must not know slots or workers.

use std::os::fd::OwnedFd;

use pelton_http::{Head, Version};
use pelton_link::BodyWindow;
use pelton_link::request::{self, BodyParts, FieldRecord, RequestParts, Span};
use pelton_tls::client::Variable;

use crate::exchange::request_body::Body;
use crate::forwarding::{Proxies, rewrite};
use crate::transport::peer::Peer;

/// A body of at most this size travels in the record.
pub const INLINE_BODY: usize = 16 * 1024;

/// The body to be handed on.
pub enum Load<'b> {
    /// None or a small one.
    Inline(&'b [u8]),
    /// What has been collected; taken out.
    Collected(&'b mut Body),
    /// None; the client's socket is offered.
    Socket(OwnedFd),
    /// One that is still coming.
    Stream {
        /// Through which it will come.
        window: Box<BodyWindow>,
        /// If it is known.
        length: Option<u64>,
        /// The client sends nothing before it gets leave to.
        waits_for_leave: bool,
    },
}

/// Everything of a request that is not its body.
pub struct Ask<'a> {
    /// Parsed.
    pub head: &'a Head,
    /// What the head's spans point into.
    pub bytes: &'a [u8],
    /// Who asks.
    pub peer: &'a Peer,
    /// By which listener.
    pub listener: u16,
    /// Who is believed.
    pub proxies: &'a Proxies,
    /// How many listeners there are: the worker has each a second time, for clients that came by https.
    pub listeners: u16,
    /// What is told of its encryption.
    pub variables: &'a [Variable],
}

/// Writes the record of a request to `area`; gives its length.
#[inline]
pub fn encode(
    area: &mut [u8],
    ask: &Ask<'_>,
    path: &[u8],
    body: BodyParts<'_>,
) -> Result<usize, request::RecordTooLarge> {
    if (!ask.proxies.are_idle() || ask.peer.is_tls)
        && let Some(rewritten) = rewrite(ask)
    {
        let listener = ask.listener + if rewritten.is_https { ask.listeners } else { 0 };
        let parts = parts(ask, &rewritten.bytes, &rewritten.peer, listener, path, body);
        return request::encode(area, &parts, rewritten.fields.iter().copied());
    }
    let fields = ask.head.fields.iter().map(|field| FieldRecord {
        name: span(field.name),
        value: span(field.value),
        known: field.known as u32,
    });
    request::encode(area, &parts(ask, ask.bytes, ask.peer, ask.listener, path, body), fields)
}

#[inline]
fn parts<'a>(
    ask: &Ask<'_>,
    bytes: &'a [u8],
    peer: &'a Peer,
    listener: u16,
    path: &'a [u8],
    body: BodyParts<'a>,
) -> RequestParts<'a> {
    RequestParts {
        head: bytes,
        method: span(ask.head.method),
        target: span(ask.head.target),
        query: span(ask.head.query),
        path,
        peer: peer.text(),
        peer_port: peer.port,
        listener,
        version: match ask.head.version {
            Version::Http10 => 10,
            Version::Http11 => 11,
            Version::Http2 => 20,
        },
        body,
    }
}

fn span(span: pelton_http::Span) -> Span {
    Span { start: span.start, end: span.end }
}

/// The path without percent-encoding, in `buffer` where it had any.
pub fn decoded_path<'p>(ask: &'p Ask<'_>, buffer: &'p mut Vec<u8>) -> &'p [u8] {
    decode_path(ask.head, ask.bytes, buffer)
}

/// The same of a head.
pub fn decode_path<'p>(head: &Head, bytes: &'p [u8], buffer: &'p mut Vec<u8>) -> &'p [u8] {
    let path = head.path.of(bytes);
    if path.is_empty() {
        return b"/";
    }
    if !head.path_encoded {
        return path;
    }
    buffer.clear();
    pelton_http::target::percent_decode(path, buffer);
    buffer
}
