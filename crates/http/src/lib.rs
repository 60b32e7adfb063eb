//! HTTP without I/O: bytes in, events and bytes out.
//!
//! This crate owns what a message on the wire may look like: the request head and its policy ([`header_policy`],
//! [`limits`]), the head of a response ([`response`]), and the framing of both in HTTP/1 ([`h1`]) and HTTP/2 ([`h2`]). It knows no
//! sockets, threads, clocks and no Python; the caller brings bytes and the time. Everything here runs on whichever
//! thread calls it and nothing is shared.
//!
//! Two promises to the caller:
//! - whatever a client sends gives an event or an [`HttpError`], never a panic;
//! - a request with few fields is parsed without any allocation, because [`Head`] is reused and holds [`Span`]s.
//!
//! Whose fault decides the type: [`HttpError`] is the client's and knows its status, [`ResponseError`] is the
//! application's.

#![deny(missing_docs)]
#![forbid(unsafe_code)]
// A client must not find a way to a panic; tests may be blunt.
#![cfg_attr(
    not(test),
    deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice)
)]

pub mod caching;
pub mod codings;
pub mod conditions;
pub mod date;
pub mod error;
pub mod file_path;
pub mod forwarded;
pub mod h1;
pub mod h2;
pub mod head;
pub mod head_sink;
pub mod header_policy;
pub mod known;
pub mod limits;
pub mod media;
pub mod proxy_protocol;
pub mod ranges;
pub(crate) mod request_policy;
pub mod response;
pub mod span;
pub mod target;
pub mod words;

pub use codings::{Accepted, ContentCoding};
pub use date::DateCache;
pub use error::{HttpError, ResponseError};
pub use forwarded::TrustedProxies;
pub use h1::connection::{Event, Receiver, Step};
pub use head::{Field, Head, Length, Version};
pub use header_policy::UnderscorePolicy;
pub use known::Known;
pub use limits::Limits;
pub use response::{Coding, Encoded, ResponseContext, Timing};
pub use span::Span;
