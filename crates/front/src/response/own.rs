//! Responses that the front makes itself, and which words each of them has; how they become HTTP is `respond`'s business.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use pelton_http::HttpError;
use pelton_http::response::PLAIN_TEXT;

use crate::response::filters::Field;
use crate::sent_file::SentFile;

/// A response for a request that no handler and no application answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnResponse {
    /// The request breaks a rule or a limit; nothing after it can be understood.
    Refused(HttpError),
    /// Its address has as many connections as it may.
    TooManyConnections,
    /// As many requests wait as may.
    Shed,
    /// This one waited too long.
    Expired,
    /// Its body cannot be kept.
    NoRoom,
    /// Its socket cannot be offered.
    NoDescriptor,
    /// The rest of its head did not come in time.
    HeadLate,
    /// The rest of its body did not come in time.
    BodyLate,
    /// What the worker wrote is not a response.
    Damaged,
    /// The worker ended without a response.
    Lost,
    /// The application did not answer in time.
    TimedOut,
}

/// A piece of a response's body that the front has.
#[derive(Debug)]
pub enum Part {
    /// Bytes in memory.
    Bytes(Cow<'static, [u8]>),
    /// Bytes that others have, too, from one offset to another.
    Shared(Arc<[u8]>, Range<usize>),
    /// A part of a file, from an offset.
    File(Arc<SentFile>, u64, u64),
}

/// A response that a handler makes. Fields about the connection and the framing are not its business; `Date` and `Server` come by themselves.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<Field<'static>>,
    /// The body. To HEAD it is not sent; the length is the same.
    pub body: VecDeque<Part>,
    /// Whether all of the request has been received: otherwise the connection ends.
    pub received_whole: bool,
    /// The body only explains the status: a page of the settings may stand in its place.
    pub explains: bool,
}

/// Shared bytes up to this size are copied, so that they leave with the head; larger ones are sent from where they are.
pub(crate) const SHARED_COPY: usize = 16 * 1024;

/// What is sent where a head cannot be written.
pub(crate) const LAST_RESORT: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl OwnResponse {
    pub(crate) fn status(self) -> u16 {
        match self {
            OwnResponse::Refused(error) => error.status(),
            OwnResponse::TooManyConnections => 429,
            OwnResponse::Shed | OwnResponse::Expired | OwnResponse::NoRoom | OwnResponse::NoDescriptor => 503,
            OwnResponse::HeadLate | OwnResponse::BodyLate => 408,
            OwnResponse::Damaged | OwnResponse::Lost => 502,
            OwnResponse::TimedOut => 504,
        }
    }

    /// What an access line says.
    pub(crate) fn for_the_log(self) -> &'static str {
        match self {
            OwnResponse::Refused(_) => "refused",
            OwnResponse::TooManyConnections => "too many connections",
            OwnResponse::Shed => "queue full",
            OwnResponse::Expired => "queue timeout",
            OwnResponse::NoRoom => "no room for the body",
            OwnResponse::NoDescriptor => "no descriptor left",
            OwnResponse::HeadLate => "head too late",
            OwnResponse::BodyLate => "body too late",
            OwnResponse::Damaged => "unusable response",
            OwnResponse::Lost => "worker lost",
            OwnResponse::TimedOut => "request timeout",
        }
    }

    pub(crate) fn detail(self) -> &'static str {
        match self {
            OwnResponse::Refused(error) => error.detail(),
            OwnResponse::TooManyConnections => "Too many connections from your address.",
            OwnResponse::Shed => "Too many requests are waiting. Try again later.",
            OwnResponse::Expired => "The request waited too long for a free thread. Try again later.",
            OwnResponse::NoDescriptor => "The server has too many files open. Try again later.",
            OwnResponse::NoRoom => "The server has no room for the request's body. Try again later.",
            OwnResponse::HeadLate => "The request's head did not arrive in time.",
            OwnResponse::BodyLate => "The request's body did not arrive in time.",
            OwnResponse::Damaged => "The application's response was unusable.",
            OwnResponse::Lost => "The application ended before it had answered.",
            OwnResponse::TimedOut => "The application did not answer in time.",
        }
    }

    /// Whether the connection can go on: the request is complete and understood.
    pub(crate) fn keeps_connection(self) -> bool {
        !matches!(
            self,
            OwnResponse::Refused(_)
                | OwnResponse::TooManyConnections
                | OwnResponse::NoRoom
                | OwnResponse::HeadLate
                | OwnResponse::BodyLate
        )
    }
}

impl Part {
    /// All of what others have, too.
    pub fn shared(bytes: &Arc<[u8]>) -> Self {
        Part::Shared(Arc::clone(bytes), 0..bytes.len())
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Shared(_, range) => range.len() as u64,
            Part::File(_, _, len) => *len,
        }
    }
}

impl Response {
    /// One line of text.
    pub fn line(status: u16, media_type: &'static [u8], text: &str, received_whole: bool) -> Self {
        let fields = vec![(b"Content-Type"[..].into(), media_type.into())];
        let body = VecDeque::from([Part::Bytes(format!("{text}\n").into_bytes().into())]);
        Response { status, fields, body, received_whole, explains: false }
    }

    /// One line of plain text.
    pub fn text(status: u16, text: &str, received_whole: bool) -> Self {
        Response { explains: true, ..Response::line(status, PLAIN_TEXT, text, received_whole) }
    }
}
