//! What of a line is known when the head of a request is complete, written at once: so nothing of the head has to be kept for the end.
//!
//! Nothing that a client sent can end a line or a field: in text it is written as `\xHH`, in JSON everything beyond ASCII is escaped, too.
//! Pure.

use pelton_http::{Head, Span, Version};

use crate::access::format::{Early, Format, Kind, RequestValue, USUAL_FIELDS};
use crate::access::text::{escape, escape_json, user};
use crate::access::trace::Trace;

/// More of one value, or of a first line that cannot be understood, is not written.
const MOST_BYTES: usize = 8 * 1024;

/// What is known then.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// None for what is no request.
    pub head: Option<&'a Head>,
    /// What the head refers to; without one, what there is of it.
    pub bytes: &'a [u8],
    /// The client's address as text made here, as the application sees it; empty for none.
    pub client: &'a [u8],
    /// The address of whom the connection came from.
    pub peer: &'a [u8],
    /// The request's id, which is made of what ids are made of; empty for none.
    pub id: &'a [u8],
}

impl<'a> Request<'a> {
    #[inline]
    fn method(&self) -> &'a [u8] {
        self.head.map(|head| head.method.of(self.bytes)).unwrap_or_default()
    }

    #[inline]
    fn target(&self) -> &'a [u8] {
        self.head.map(|head| bounded(head.target.of(self.bytes))).unwrap_or_default()
    }

    /// The target before the question mark, and behind it. The path may also be a part of an absolute target, so it ends where the query begins.
    #[inline]
    fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        let Some(head) = self.head else { return (&[], &[]) };
        let target = head.target.of(self.bytes);
        let (path, query) = if head.query.is_empty() {
            (target.strip_suffix(b"?").unwrap_or(target), &[][..])
        } else {
            let path_len = target.len().saturating_sub(head.query.len() + 1);
            (target.get(..path_len).unwrap_or(target), target.get(path_len + 1..).unwrap_or_default())
        };
        (bounded(path), bounded(query))
    }

    #[inline]
    fn protocol(&self) -> &'static str {
        self.head.map(|head| head.version.as_str()).unwrap_or_default()
    }

    #[cold]
    fn first_line(&self) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = self.bytes.iter().position(is_end).unwrap_or(self.bytes.len());
        bounded(self.bytes.get(..end).unwrap_or_default())
    }

    /// The line as received up to the version, if it lies together, as it always should.
    #[inline]
    fn start_of_line(&self) -> Option<&'a [u8]> {
        let head = self.head?;
        let (method, target) = (head.method, head.target);
        let line = self.bytes.get(method.start as usize..target.end as usize)?;
        (method.end + 1 == target.start && line.len() <= MOST_BYTES).then_some(line)
    }

    /// A field that the walk over the head has not looked for.
    #[cold]
    fn search(&self, format: &Format, at: usize) -> &'a [u8] {
        let (Some(head), Some(wanted)) = (self.head, format.request_fields.get(at)) else { return &[] };
        let found = head.fields.iter().find(|field| field.name.of(self.bytes).eq_ignore_ascii_case(wanted));
        found.map(|field| bounded(field.value.of(self.bytes))).unwrap_or_default()
    }
}

/// A request, and where the fields are that the format wants.
struct Found<'r, 'a> {
    request: &'r Request<'a>,
    values: [Span; USUAL_FIELDS],
}

impl<'a> Found<'_, 'a> {
    #[inline]
    fn field(&self, at: usize) -> &'a [u8] {
        self.values.get(at).map(|value| bounded(value.of(self.request.bytes))).unwrap_or_default()
    }
}

#[inline]
fn bounded(bytes: &[u8]) -> &[u8] {
    bytes.get(..MOST_BYTES).unwrap_or(bytes)
}

/// Appends the runs of text to `out`, and where each of them ends to `ends`.
pub fn write_runs(out: &mut Vec<u8>, ends: &mut Vec<u32>, format: &Format, request: &Request<'_>) {
    // Once, and not for each piece.
    out.reserve(512);
    let fields = request.head.map(|head| &head.fields[..]).unwrap_or_default();
    let found = Found { request, values: format.places.find(fields) };
    match format.kind {
        Kind::Json => {
            json(out, &found);
            ends.push(out.len() as u32);
            return;
        }
        Kind::Combined => return combined(out, ends, &found),
        Kind::Pieces => {}
    }
    for piece in &format.early {
        match piece {
            Early::Text(text) => out.extend_from_slice(text),
            Early::Value(value) => write_value(out, *value, format, &found),
            Early::EndOfRun => ends.push(out.len() as u32),
        }
    }
}

#[inline]
fn write_value(out: &mut Vec<u8>, value: RequestValue, format: &Format, found: &Found<'_, '_>) {
    let request = found.request;
    match value {
        RequestValue::Address => write_client(out, request),
        RequestValue::User(at) => escape(out, &user(request.search(format, at))),
        RequestValue::RequestLine => write_request_line(out, request),
        RequestValue::Method => escape(out, request.method()),
        RequestValue::Path => escape(out, request.path_and_query().0),
        RequestValue::Query => {
            let query = request.path_and_query().1;
            // As gunicorn: empty and not a dash.
            if !query.is_empty() {
                escape(out, query);
            }
        }
        RequestValue::Target => escape(out, request.target()),
        RequestValue::Protocol => escape(out, request.protocol().as_bytes()),
        RequestValue::RequestId => escape(out, request.id),
        RequestValue::Field(at) => escape(out, found.field(at)),
        RequestValue::UnusualField(at) => escape(out, request.search(format, at)),
    }
}

#[inline]
fn write_client(out: &mut Vec<u8>, request: &Request<'_>) {
    // Made of an address by this server: nothing in it is to be escaped.
    out.extend_from_slice(if request.client.is_empty() { b"-" } else { request.client });
}

#[inline]
fn write_request_line(out: &mut Vec<u8>, request: &Request<'_>) {
    let Some(head) = request.head else { return escape(out, request.first_line()) };
    if let Some(start) = request.start_of_line() {
        escape(out, start);
    } else {
        escape(out, request.method());
        out.push(b' ');
        escape(out, request.target());
    }
    out.extend_from_slice(match head.version {
        Version::Http10 => b" HTTP/1.0",
        Version::Http11 => b" HTTP/1.1",
        Version::Http2 => b" HTTP/2.0",
    });
}

/// See [`crate::access::format::COMBINED`].
fn combined(out: &mut Vec<u8>, ends: &mut Vec<u32>, found: &Found<'_, '_>) {
    write_client(out, found.request);
    out.extend_from_slice(b" - - [");
    ends.push(out.len() as u32);
    out.extend_from_slice(b"] \"");
    write_request_line(out, found.request);
    out.extend_from_slice(b"\" ");
    ends.push(out.len() as u32);
    out.extend_from_slice(b" \"");
    escape(out, found.field(0));
    out.extend_from_slice(b"\" \"");
    escape(out, found.field(1));
    out.extend_from_slice(b"\"\n");
    ends.push(out.len() as u32);
}

/// A member with a text, if there is one. Its name follows the text before it, whose end is written with it.
macro_rules! text {
    ($out:expr, $name:literal, $value:expr) => {
        let value = $value;
        if !value.is_empty() {
            $out.extend_from_slice(concat!("\",\"", $name, "\":\"").as_bytes());
            escape_json($out, value);
        }
    };
}

/// The same for a text that was made or looked at here, in which nothing is to be escaped.
macro_rules! plain {
    ($out:expr, $name:literal, $value:expr) => {
        let value = $value;
        if !value.is_empty() {
            $out.extend_from_slice(concat!("\",\"", $name, "\":\"").as_bytes());
            $out.extend_from_slice(value);
        }
    };
}

/// From the end of the text before it to the last byte of its own last text.
fn json(out: &mut Vec<u8>, found: &Found<'_, '_>) {
    let request = found.request;
    out.extend_from_slice(b"\",\"severity_text\":\"INFO\",\"event_name\":\"http.server.request");
    plain!(out, "client.address", request.client);
    if request.client != request.peer {
        plain!(out, "network.peer.address", request.peer);
    }
    if let Some(head) = request.head {
        let (path, query) = request.path_and_query();
        text!(out, "http.request.method", request.method());
        text!(out, "url.path", path);
        text!(out, "url.query", query);
        out.extend_from_slice(match head.version {
            Version::Http11 => b"\",\"network.protocol.version\":\"1.1",
            Version::Http10 => b"\",\"network.protocol.version\":\"1.0",
            Version::Http2 => b"\",\"network.protocol.version\":\"2",
        });
        json_fields(out, found);
    } else {
        text!(out, "pelton.request_line", request.first_line());
    }
    plain!(out, "pelton.request_id", request.id);
}

/// See [`crate::access::format::JSON_FIELDS`].
#[inline]
fn json_fields(out: &mut Vec<u8>, found: &Found<'_, '_>) {
    text!(out, "user_agent.original", found.field(0));
    text!(out, "http.request.header.referer", found.field(1));
    let parent = found.field(2);
    if !parent.is_empty() {
        text!(out, "traceparent", parent);
        if let Some(trace) = Trace::of(parent) {
            plain!(out, "trace_id", trace.id);
            plain!(out, "span_id", trace.span);
            plain!(out, "trace_flags", trace.flags);
        }
    }
}
