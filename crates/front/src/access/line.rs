//! From a record to a line: text by the format's parts, or a JSON object.
//!
//! Nothing that a client sent can end a line or a field: in text it is written as `\xHH`, in JSON everything beyond ASCII is escaped, too.
//! Must not know where lines go.

use crate::access::clock::Clock;
use crate::access::format::{Format, Part, Value};
use crate::access::record::AccessRecord;
use crate::access::text::{decimal, escape, escape_json, seconds, user};
use crate::access::trace::Trace;

/// What is known only at the end.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Bytes of body that were sent.
    pub bytes: u64,
    /// How it ended, unless the record says more.
    pub how: &'static str,
    /// Now, by the front's clock.
    pub now_us: u64,
    /// Now, by the wall's.
    pub unix_ms: u64,
}

/// Appends the line.
pub fn write_line(
    out: &mut Vec<u8>,
    format: &Format,
    clock: &mut Clock,
    record: &AccessRecord,
    ending: &Ending,
) {
    // Once, and not for each piece.
    out.reserve(512);
    if format.is_json {
        json(out, clock, record, ending);
    } else {
        for part in &format.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Value(value) => write_value(out, *value, format, clock, record, ending),
            }
        }
    }
    out.push(b'\n');
}

fn write_value(
    out: &mut Vec<u8>,
    value: Value,
    format: &Format,
    clock: &mut Clock,
    record: &AccessRecord,
    ending: &Ending,
) {
    let total = ending.now_us.saturating_sub(record.began_us);
    match value {
        Value::Address => escape(out, record.client()),
        Value::User => match format.request_fields.iter().position(|name| **name == *b"authorization") {
            Some(at) => escape(out, &user(record.request_field(at))),
            None => out.push(b'-'),
        },
        Value::Time => {
            out.push(b'[');
            clock.common(out, ending.unix_ms);
            out.push(b']');
        }
        Value::RequestLine => escape(out, record.request_line()),
        Value::Method => escape(out, record.method()),
        Value::Path => escape(out, record.path()),
        // As gunicorn: empty and not a dash.
        Value::Query if record.query().is_empty() => {}
        Value::Query => escape(out, record.query()),
        Value::Target => escape(out, record.target()),
        Value::Protocol => escape(out, record.protocol().as_bytes()),
        Value::Status => decimal(out, u64::from(record.status)),
        Value::Bytes => decimal(out, ending.bytes),
        Value::BytesOrDash if ending.bytes == 0 => out.push(b'-'),
        Value::BytesOrDash => decimal(out, ending.bytes),
        Value::Seconds => decimal(out, total / 1_000_000),
        Value::Milliseconds => decimal(out, total / 1000),
        Value::Microseconds => decimal(out, total),
        Value::DecimalSeconds => seconds(out, total),
        Value::Process => match record.worker {
            Some((_, pid)) => {
                out.push(b'<');
                decimal(out, u64::from(pid));
                out.push(b'>');
            }
            None => out.push(b'-'),
        },
        Value::Worker => match record.worker {
            Some((number, _)) => decimal(out, number),
            None => out.push(b'-'),
        },
        Value::QueueTime => seconds(out, record.queue_us),
        Value::ApplicationTime => seconds(out, application_us(record, ending)),
        Value::FirstByteTime => seconds(out, record.answered_us.saturating_sub(record.began_us)),
        Value::Outcome => out.extend_from_slice(record.cause.unwrap_or(ending.how).as_bytes()),
        Value::RequestId => escape(out, record.id()),
        Value::RequestField(at) => escape(out, record.request_field(at)),
        Value::AnswerField(at) => escape(out, record.answer_field(at)),
    }
}

/// From the start on a thread to the end of the answer; 0 for what never came there.
fn application_us(record: &AccessRecord, ending: &Ending) -> u64 {
    let done_us = match (record.answered_us, record.done_us) {
        (0, _) => 0,
        (_, 0) => ending.now_us,
        (_, done_us) => done_us,
    };
    done_us.saturating_sub(record.complete_us).saturating_sub(record.queue_us)
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

/// The same for a text that was made here, in which nothing is to be escaped.
macro_rules! plain {
    ($out:expr, $name:literal, $value:expr) => {
        let value = $value;
        if !value.is_empty() {
            $out.extend_from_slice(concat!(",\"", $name, "\":\"").as_bytes());
            $out.extend_from_slice(value.as_bytes());
            $out.push(b'"');
        }
    };
}

/// A member with a number, or with a duration by `seconds`.
macro_rules! number {
    ($out:expr, $name:literal, $write:ident, $value:expr) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
        $write($out, $value);
    };
}

fn json(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord, ending: &Ending) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    clock.iso(out, ending.unix_ms);
    out.extend_from_slice(b"\",\"severity_text\":\"INFO\",\"event_name\":\"http.server.request\"");
    text!(out, "client.address", record.client());
    text!(out, "network.peer.address", record.proxy());
    if record.method().is_empty() {
        text!(out, "penstock.request_line", record.request_line());
    }
    text!(out, "http.request.method", record.method());
    text!(out, "url.path", record.path());
    text!(out, "url.query", record.query());
    plain!(out, "network.protocol.version", record.protocol().strip_prefix("HTTP/").unwrap_or_default());
    text!(out, "user_agent.original", record.request_field(0));
    text!(out, "http.request.header.referer", record.request_field(1));
    let parent = record.request_field(2);
    text!(out, "traceparent", parent);
    if let Some(trace) = Trace::of(parent) {
        text!(out, "trace_id", trace.id);
        text!(out, "span_id", trace.span);
        text!(out, "trace_flags", trace.flags);
    }
    text!(out, "penstock.request_id", record.id());
    plain!(out, "penstock.outcome", record.cause.unwrap_or(ending.how));
    if record.status > 0 {
        number!(out, "http.response.status_code", decimal, u64::from(record.status));
    }
    number!(out, "http.response.body.size", decimal, ending.bytes);
    if let Some((worker, pid)) = record.worker {
        number!(out, "penstock.worker", decimal, worker);
        number!(out, "process.pid", decimal, u64::from(pid));
    }
    number!(out, "http.server.request.duration", seconds, ending.now_us.saturating_sub(record.began_us));
    if record.answered_us > 0 {
        number!(out, "penstock.queue_time", seconds, record.queue_us);
        number!(out, "penstock.application_time", seconds, application_us(record, ending));
        number!(out, "penstock.first_byte_time", seconds, record.answered_us.saturating_sub(record.began_us));
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_http::{Head, Limits, Receiver};

    /// The line of a request with these fields, for a client behind a proxy.
    fn line(format: &str, fields: &str) -> String {
        let format = Format::compile(format).unwrap();
        let bytes = format!("GET /a?b HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        let (mut head, mut record) = (Head::default(), AccessRecord::default());
        Receiver::new().advance(&bytes, &Limits::default(), &mut head).unwrap();
        record.begin(&format, &head, &bytes, b"203.0.113.9", b"10.0.0.1", 1_000_000);
        record.status = 200;
        let ending = Ending { bytes: 5, how: "complete", now_us: 1_000_250, unix_ms: 1_123 };
        let mut out = Vec::new();
        write_line(&mut out, &format, &mut Clock::default(), &record, &ending);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_line_to_the_letter() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let fields = format!("User-Agent: a\"b\r\nReferer: r\r\nTraceparent: {TRACE}\r\n");
        let expected = format!(
            "{{\"timestamp\":\"1970-01-01T00:00:01.123Z\",\"severity_text\":\"INFO\",\"event_name\":\"http.server.request\",\
             \"client.address\":\"203.0.113.9\",\"network.peer.address\":\"10.0.0.1\",\"http.request.method\":\"GET\",\
             \"url.path\":\"/a\",\"url.query\":\"b\",\"network.protocol.version\":\"1.1\",\"user_agent.original\":\"a\\\"b\",\
             \"http.request.header.referer\":\"r\",\"traceparent\":\"{TRACE}\",\
             \"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\",\"trace_flags\":\"01\",\
             \"penstock.outcome\":\"complete\",\"http.response.status_code\":200,\"http.response.body.size\":5,\
             \"http.server.request.duration\":0.000250}}\n"
        );
        assert_eq!(line("json", &fields), expected);
    }

    #[test]
    fn a_combined_line_names_the_client_behind_the_proxy() {
        assert_eq!(
            line("combined", "User-Agent: u\r\n"),
            "203.0.113.9 - - [01/Jan/1970:00:00:01 +0000] \"GET /a?b HTTP/1.1\" 200 5 \"-\" \"u\"\n"
        );
    }
}
