//! What of a line is known when the head of a request is complete, written at once: so nothing of the head has to be kept for the end.
//!
//! Nothing that a client sent can end a line or a field: in text it is written as `\xHH`, in JSON everything beyond ASCII is escaped, too.
//! Pure.

use penstock_http::{Head, Known};

use crate::access::format::{Early, Format, RequestValue};
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
    /// The client's address, as the application sees it.
    pub client: &'a [u8],
    /// The address of whom the connection came from.
    pub peer: &'a [u8],
    /// The request's id; empty for none.
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

    #[inline]
    fn field(&self, format: &Format, at: usize) -> &'a [u8] {
        let (Some(head), Some(known)) = (self.head, format.request_known.get(at)) else { return &[] };
        let found = match known {
            Known::Other => {
                let wanted = format.request_fields.get(at).map(|name| &**name).unwrap_or_default();
                head.fields.iter().find(|field| field.name.of(self.bytes).eq_ignore_ascii_case(wanted))
            }
            known => head.fields.iter().find(|field| field.known == *known),
        };
        found.map(|field| bounded(field.value.of(self.bytes))).unwrap_or_default()
    }
}

#[inline]
fn bounded(bytes: &[u8]) -> &[u8] {
    bytes.get(..MOST_BYTES).unwrap_or(bytes)
}

/// Appends the runs of text to `out`, and where each of them ends to `ends`.
pub fn write_runs(out: &mut Vec<u8>, ends: &mut Vec<u32>, format: &Format, request: &Request<'_>) {
    // Once, and not for each piece.
    out.reserve(256);
    if format.is_json {
        json(out, format, request);
        ends.push(out.len() as u32);
        return;
    }
    for piece in &format.early {
        match piece {
            Early::Text(text) => out.extend_from_slice(text),
            Early::Value(value) => write_value(out, *value, format, request),
            Early::EndOfRun => ends.push(out.len() as u32),
        }
    }
}

#[inline]
fn write_value(out: &mut Vec<u8>, value: RequestValue, format: &Format, request: &Request<'_>) {
    match value {
        RequestValue::Address => escape(out, request.client),
        RequestValue::User(at) => escape(out, &user(request.field(format, at))),
        RequestValue::RequestLine if request.head.is_none() => escape(out, request.first_line()),
        RequestValue::RequestLine => {
            escape(out, request.method());
            out.push(b' ');
            escape(out, request.target());
            out.push(b' ');
            out.extend_from_slice(request.protocol().as_bytes());
        }
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
        RequestValue::Field(at) => escape(out, request.field(format, at)),
    }
}

/// A member with a text, if there is one. The name is written with what stands around it in one piece.
macro_rules! text {
    ($out:expr, $name:literal, $value:expr) => {
        let value = $value;
        if !value.is_empty() {
            $out.extend_from_slice(concat!(",\"", $name, "\":\"").as_bytes());
            escape_json($out, value);
            $out.push(b'"');
        }
    };
}

fn json(out: &mut Vec<u8>, format: &Format, request: &Request<'_>) {
    out.extend_from_slice(b"\",\"severity_text\":\"INFO\",\"event_name\":\"http.server.request\"");
    text!(out, "client.address", request.client);
    if request.client != request.peer {
        text!(out, "network.peer.address", request.peer);
    }
    match request.head {
        None => {
            text!(out, "penstock.request_line", request.first_line());
        }
        Some(head) => {
            let (path, query) = request.path_and_query();
            text!(out, "http.request.method", request.method());
            text!(out, "url.path", path);
            text!(out, "url.query", query);
            out.extend_from_slice(match head.version {
                penstock_http::Version::Http11 => b",\"network.protocol.version\":\"1.1\"",
                penstock_http::Version::Http10 => b",\"network.protocol.version\":\"1.0\"",
            });
            json_fields(out, format, request);
        }
    }
    text!(out, "penstock.request_id", request.id);
}

fn json_fields(out: &mut Vec<u8>, format: &Format, request: &Request<'_>) {
    text!(out, "user_agent.original", request.field(format, 0));
    text!(out, "http.request.header.referer", request.field(format, 1));
    let parent = request.field(format, 2);
    if !parent.is_empty() {
        text!(out, "traceparent", parent);
        if let Some(trace) = Trace::of(parent) {
            text!(out, "trace_id", trace.id);
            text!(out, "span_id", trace.span);
            text!(out, "trace_flags", trace.flags);
        }
    }
}
