//! A complete request as it is handed on: what the parser found, and how it becomes the link's record.
//!
//! Must not know slots or workers.

use std::os::fd::OwnedFd;

use pelton_http::{Head, Version};
use pelton_link::request::{self, BodyParts, FieldRecord, RequestParts, Span};
use pelton_link::{BodyPool, BodyWindow};
use pelton_tls::client::Variable;

use crate::exchange::request_body::Body;
use crate::forwarding::{Proxies, rewrite};
use crate::scheduling::attachments::Attachments;
use crate::scheduling::attachments::LimitNumber;
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

impl<'b> Load<'b> {
    /// What the record says of the body, and what the body is made of.
    #[inline]
    pub(super) fn split(self, limit: LimitNumber) -> (Content<'b>, Attachments) {
        let mut attachments = Attachments { limit, ..Attachments::default() };
        let content = match self {
            Load::Inline(bytes) => Content::Inline(bytes),
            Load::Collected(body) => {
                let (chunks, file, len) = std::mem::take(body).into_parts();
                attachments.chunks = chunks;
                attachments.file = file;
                Content::Collected(len)
            }
            Load::Socket(socket) => {
                attachments.socket = Some(socket);
                Content::Socket
            }
            Load::Stream { window, length, waits_for_leave } => {
                attachments.window = Some(window);
                Content::Stream { length, waits_for_leave }
            }
        };
        (content, attachments)
    }

    /// Gives back what belongs to the pool.
    pub(super) fn discard(self, bodies: &mut BodyPool) {
        if let Load::Stream { mut window, .. } = self {
            window.give_back(bodies);
        }
    }
}

/// The body as the record says it; what it is made of is in the [`Attachments`].
#[derive(Clone, Copy)]
pub(super) enum Content<'b> {
    /// Also where there is none.
    Inline(&'b [u8]),
    /// So many bytes, in chunks or a file.
    Collected(u64),
    Socket,
    Stream {
        length: Option<u64>,
        waits_for_leave: bool,
    },
}

impl<'b> Content<'b> {
    /// `token`: by which the worker asks for the descriptor that travels along, where one does.
    #[inline]
    fn parts<'a>(self, token: Option<u64>, attachments: &'a Attachments) -> BodyParts<'a>
    where
        'b: 'a,
    {
        match (self, token, &attachments.window) {
            (Content::Stream { length, waits_for_leave }, _, Some(window)) => {
                BodyParts::Stream { chunks: window.chunks(), length, waits_for_leave }
            }
            (Content::Inline(bytes), ..) if !bytes.is_empty() => BodyParts::Inline(bytes),
            (Content::Socket, Some(token), _) => BodyParts::Socket(token),
            (Content::Collected(length), Some(token), _) => BodyParts::File(token, length),
            (Content::Collected(length), None, _) if length > 0 => {
                BodyParts::Chunks(&attachments.chunks, length)
            }
            _ => BodyParts::None,
        }
    }
}

/// A request as it is about to be written into its record.
pub(super) struct Draft<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) path: &'a [u8],
    pub(super) content: Content<'a>,
}

impl Draft<'_> {
    /// Writes the record to `area`; gives its length.
    #[inline]
    pub(super) fn write(
        &self,
        area: &mut [u8],
        token: Option<u64>,
        attachments: &Attachments,
    ) -> Result<usize, request::RecordTooLarge> {
        let (ask, path) = (self.ask, self.path);
        let body = self.content.parts(token, attachments);
        if (!ask.proxies.are_idle() || ask.peer.is_tls)
            && let Some(rewritten) = rewrite(ask.proxies, ask.peer, ask.head, ask.bytes, ask.variables)
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
    /// What the application learns of its encryption.
    pub variables: &'a [Variable],
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
