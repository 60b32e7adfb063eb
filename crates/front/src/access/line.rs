//! From a record to a line: what was written of the request when its head was complete, and between and behind that what is known at the end.
//!
//! Of what is written here only fields of a response come from outside; they are escaped. Must not know where lines go.

use crate::access::clock::Clock;
use crate::access::format::{EndValue, Format, Kind, Late};
use crate::access::record::AccessRecord;
use crate::access::text::{decimal, escape, seconds};

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
    out.reserve(record.runs_len() + 512);
    match format.kind {
        Kind::Json => return json(out, clock, record, ending),
        Kind::Combined => return combined(out, clock, record, ending),
        Kind::Pieces => {}
    }
    let mut runs = record.runs();
    for piece in &format.late {
        match piece {
            Late::Run => out.extend_from_slice(runs.next().unwrap_or_default()),
            Late::Text(text) => out.extend_from_slice(text),
            Late::Value(value) => write_value(out, *value, clock, record, ending),
        }
    }
    out.push(b'\n');
}

#[inline]
fn write_value(
    out: &mut Vec<u8>,
    value: EndValue,
    clock: &mut Clock,
    record: &AccessRecord,
    ending: &Ending,
) {
    let total = ending.now_us.saturating_sub(record.began_us);
    match value {
        EndValue::Time => clock.common(out, ending.unix_ms),
        EndValue::Status => decimal(out, u64::from(record.status)),
        EndValue::Bytes => decimal(out, ending.bytes),
        EndValue::BytesOrDash if ending.bytes == 0 => out.push(b'-'),
        EndValue::BytesOrDash => decimal(out, ending.bytes),
        EndValue::Seconds => decimal(out, total / 1_000_000),
        EndValue::Milliseconds => decimal(out, total / 1000),
        EndValue::Microseconds => decimal(out, total),
        EndValue::DecimalSeconds => seconds(out, total),
        EndValue::Process => match record.worker {
            Some((_, pid)) => {
                out.push(b'<');
                decimal(out, u64::from(pid));
                out.push(b'>');
            }
            None => out.push(b'-'),
        },
        EndValue::Worker => match record.worker {
            Some((number, _)) => decimal(out, number),
            None => out.push(b'-'),
        },
        EndValue::QueueTime => seconds(out, record.queue_us),
        EndValue::ApplicationTime => seconds(out, application_us(record, ending)),
        EndValue::FirstByteTime => seconds(out, record.responded_us.saturating_sub(record.began_us)),
        EndValue::Outcome => out.extend_from_slice(record.cause.unwrap_or(ending.how).as_bytes()),
        EndValue::ResponseField(at) => escape(out, record.response_field(at)),
    }
}

/// See [`crate::access::format::COMBINED`].
fn combined(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord, ending: &Ending) {
    let mut runs = record.runs();
    out.extend_from_slice(runs.next().unwrap_or_default());
    clock.common(out, ending.unix_ms);
    out.extend_from_slice(runs.next().unwrap_or_default());
    decimal(out, u64::from(record.status));
    out.push(b' ');
    decimal(out, ending.bytes);
    // With the end of the line.
    out.extend_from_slice(runs.next().unwrap_or(b"\n"));
}

/// From the start on a thread to the end of the response; 0 for what never came there.
fn application_us(record: &AccessRecord, ending: &Ending) -> u64 {
    let done_us = match (record.responded_us, record.done_us) {
        (0, _) => 0,
        (_, 0) => ending.now_us,
        (_, done_us) => done_us,
    };
    done_us.saturating_sub(record.complete_us).saturating_sub(record.queue_us)
}

/// A member with a number, or with a duration by `seconds`. The name is written with what stands around it in one piece.
macro_rules! number {
    ($out:expr, $name:literal, $write:ident, $value:expr) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
        $write($out, $value);
    };
}

fn json(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord, ending: &Ending) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    clock.iso(out, ending.unix_ms);
    // It begins with the end of this text, and ends within one of its own.
    out.extend_from_slice(record.runs().next().unwrap_or_default());
    out.extend_from_slice(b"\",\"pelton.outcome\":\"");
    out.extend_from_slice(record.cause.unwrap_or(ending.how).as_bytes());
    out.push(b'"');
    if record.status > 0 {
        number!(out, "http.response.status_code", decimal, u64::from(record.status));
    }
    number!(out, "http.response.body.size", decimal, ending.bytes);
    if let Some((worker, pid)) = record.worker {
        number!(out, "pelton.worker", decimal, worker);
        number!(out, "process.pid", decimal, u64::from(pid));
    }
    number!(out, "http.server.request.duration", seconds, ending.now_us.saturating_sub(record.began_us));
    if record.responded_us > 0 {
        number!(out, "pelton.queue_time", seconds, record.queue_us);
        number!(out, "pelton.application_time", seconds, application_us(record, ending));
        number!(out, "pelton.first_byte_time", seconds, record.responded_us.saturating_sub(record.began_us));
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::request_part::Request;
    use pelton_http::{Head, Limits, Receiver};

    /// The line of a request with these fields, for a client behind a proxy.
    fn line(format: &str, fields: &str) -> String {
        let format = Format::compile(format).unwrap();
        let bytes = format!("GET /a?b HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        let (mut head, mut record) = (Head::default(), AccessRecord::default());
        Receiver::new().advance(&bytes, &Limits::default(), &mut head).unwrap();
        let request = Request {
            head: Some(&head),
            bytes: &bytes,
            client: b"203.0.113.9",
            peer: b"10.0.0.1",
            id: b"an-id",
        };
        record.begin(&format, &request);
        record.began_us = 1_000_000;
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
             \"pelton.request_id\":\"an-id\",\"pelton.outcome\":\"complete\",\"http.response.status_code\":200,\"http.response.body.size\":5,\
             \"http.server.request.duration\":0.000250}}\n"
        );
        assert_eq!(line("json", &fields), expected);
    }

    #[test]
    fn the_combined_form_is_that_of_its_pieces() {
        use crate::access::format::COMBINED;
        for fields in [
            "",
            "User-Agent: u\r\n",
            "Referer: a\"\r\nUser-Agent: a\\b\r\nReferer: b\r\n",
            "Referer: long enough\r\n",
        ] {
            assert_eq!(line("combined", fields), line(COMBINED, fields));
        }
        for bytes in [&b""[..], b"\x16\x03\x01", b"GET /\"\r\nHost: h"] {
            let lines = ["combined", COMBINED].map(|format| {
                let format = Format::compile(format).unwrap();
                let mut record = AccessRecord::default();
                record.begin(&format, &Request { head: None, bytes, client: b"", peer: b"", id: b"" });
                let ending = Ending { bytes: 0, how: "refused", now_us: 5, unix_ms: 0 };
                let mut out = Vec::new();
                write_line(&mut out, &format, &mut Clock::default(), &record, &ending);
                String::from_utf8(out).unwrap()
            });
            assert_eq!(lines[0], lines[1]);
            assert!(lines[0].ends_with(" 0 0 \"-\" \"-\"\n"), "{}", lines[0]);
        }
    }

    #[test]
    fn a_combined_line_names_the_client_behind_the_proxy() {
        assert_eq!(
            line("combined", "User-Agent: u\r\n"),
            "203.0.113.9 - - [01/Jan/1970:00:00:01 +0000] \"GET /a?b HTTP/1.1\" 200 5 \"-\" \"u\"\n"
        );
    }
}
