//! The parsed head of a request: a value that is reused from request to request.

use crate::known::Known;
use crate::span::Span;

/// Protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// The value of `SERVER_PROTOCOL`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            // With the zero, as gunicorn, nginx and Apache have it: programs split it at the point.
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// How the end of the request's body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// No framing field: there is no body.
    #[default]
    None,
    /// Content-Length; may be zero.
    Exact(u64),
    /// Transfer-Encoding: chunked; or, in HTTP/2, a body without Content-Length: its end is known when it has come.
    Chunked,
}

impl Length {
    /// Whether nothing of the request follows its head.
    #[inline]
    pub fn is_empty(self) -> bool {
        matches!(self, Length::None | Length::Exact(0))
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as the client wrote it. Empty only for a Host that was made from an absolute target.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
    /// The name as a number if it is a usual one.
    pub known: Known,
}

/// A request head. All spans point into the input of the call that gave `Event::Head`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The method, case kept.
    pub method: Span,
    /// The whole request target.
    pub target: Span,
    /// The path, still percent-encoded, without query. **Empty means `/`** (an absolute target without path). For
    /// the asterisk form it is `*`.
    pub path: Span,
    /// Whether the path has a percent sign, so that decoding may change it.
    pub path_encoded: bool,
    /// The query without `?`; empty if there is none.
    pub query: Span,
    /// `host[:port]` that the request is for: from an absolute target, otherwise from Host; may be empty.
    pub authority: Span,
    /// Whether an absolute target has the scheme `https`. Unless the client has come by https to us or to a trusted
    /// proxy, the request must be refused as [`Misdirected`](crate::HttpError::Misdirected) (RFC 9110 section 7.4).
    pub https_target: bool,
    /// Protocol version.
    pub version: Version,
    /// What the application may see, in order of arrival, after header policy.
    pub fields: Vec<Field>,
    /// Framing of the body.
    pub length: Length,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends a body that is not empty.
    pub expect_continue: bool,
    /// Whether the client asks to go on as a WebSocket (RFC 6455 section 4.1): GET, version 1.1, `Connection: Upgrade` without `close`, `Upgrade:
    /// websocket`, and no body. Other protocols are not offered here, so their Upgrade is ignored, as RFC 9110 section 7.8 allows.
    pub asks_for_websocket: bool,
    /// Bytes of the head on the wire, including skipped empty lines before it.
    pub bytes: usize,
}

impl Head {
    /// The first field with this known name.
    pub fn find(&self, known: Known) -> Option<&Field> {
        self.fields.iter().find(|field| field.known == known)
    }
}
