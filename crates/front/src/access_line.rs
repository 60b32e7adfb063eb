//! From a record to a line: text by the format's parts, or a JSON object.
//!
//! Nothing that a client sent can end a line or a field: in text it is written as `\xHH`, in JSON everything beyond ASCII is escaped, too.
//! Must not know where lines go.

use std::io::Write;

use crate::access_format::{Format, Part, Value};
use crate::access_record::AccessRecord;

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
    pub unix_seconds: u64,
}

/// The time of a second as text; most lines share it with the one before.
#[derive(Debug, Default)]
pub struct Clock {
    second: u64,
    text: Vec<u8>,
    is_iso: bool,
}

impl Clock {
    fn show(&mut self, unix_seconds: u64, is_iso: bool) -> &[u8] {
        if self.text.is_empty() || self.second != unix_seconds || self.is_iso != is_iso {
            self.text.clear();
            (self.second, self.is_iso) = (unix_seconds, is_iso);
            // Writing into a Vec cannot fail.
            let _ = write_time(&mut self.text, unix_seconds, is_iso);
        }
        &self.text
    }
}

/// Appends the line.
pub fn write_line(
    out: &mut Vec<u8>,
    format: &Format,
    clock: &mut Clock,
    record: &AccessRecord,
    ending: &Ending,
) {
    if format.is_json {
        json(out, clock, record, ending);
    } else {
        for part in &format.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Value(value) => {
                    // Writing into a Vec cannot fail.
                    let _ = write_value(out, *value, format, clock, record, ending);
                }
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
) -> std::io::Result<()> {
    let total = ending.now_us.saturating_sub(record.began_us);
    match value {
        Value::Address => escape(out, record.peer()),
        Value::User => match format.request_fields.iter().position(|name| **name == *b"authorization") {
            Some(at) => escape(out, &user(record.request_field(at))),
            None => out.push(b'-'),
        },
        Value::Time => {
            out.push(b'[');
            out.extend_from_slice(clock.show(ending.unix_seconds, false));
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
            Some((_, pid)) => write!(out, "<{pid}>")?,
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
    Ok(())
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

fn json(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord, ending: &Ending) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(clock.show(ending.unix_seconds, true));
    out.extend_from_slice(b"\",\"severity_text\":\"INFO\",\"event_name\":\"http.server.request\"");
    let mut text = |name: &str, value: &[u8]| {
        if !value.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape_json(out, value);
            out.push(b'"');
        }
    };
    text("client.address", record.peer());
    if record.method().is_empty() {
        text("penstock.request_line", record.request_line());
    }
    text("http.request.method", record.method());
    text("url.path", record.path());
    text("url.query", record.query());
    text("network.protocol.version", record.protocol().strip_prefix("HTTP/").unwrap_or_default().as_bytes());
    for (name, at) in [("user_agent.original", 0), ("http.request.header.referer", 1), ("traceparent", 2)] {
        text(name, record.request_field(at));
    }
    text("penstock.request_id", record.id());
    text("penstock.outcome", record.cause.unwrap_or(ending.how).as_bytes());
    if record.status > 0 {
        out.extend_from_slice(b",\"http.response.status_code\":");
        decimal(out, u64::from(record.status));
    }
    out.extend_from_slice(b",\"http.response.body.size\":");
    decimal(out, ending.bytes);
    if let Some((number, pid)) = record.worker {
        out.extend_from_slice(b",\"penstock.worker\":");
        decimal(out, number);
        out.extend_from_slice(b",\"process.pid\":");
        decimal(out, u64::from(pid));
    }
    out.extend_from_slice(b",\"http.server.request.duration\":");
    seconds(out, ending.now_us.saturating_sub(record.began_us));
    if record.answered_us > 0 {
        out.extend_from_slice(b",\"penstock.queue_time\":");
        seconds(out, record.queue_us);
        out.extend_from_slice(b",\"penstock.application_time\":");
        seconds(out, application_us(record, ending));
        out.extend_from_slice(b",\"penstock.first_byte_time\":");
        seconds(out, record.answered_us.saturating_sub(record.began_us));
    }
    out.push(b'}');
}

const HEX: [u8; 16] = *b"0123456789abcdef";

fn hex(byte: u8) -> [u8; 2] {
    let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
    [digit(byte >> 4), digit(byte & 15)]
}

/// Whatever could end the field, forge a line or drive a terminal is written as `\xHH`; nothing at all as a dash.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        out.push(b'-');
        return;
    }
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7E) && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if is_plain(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(*byte));
        }
    }
}

/// The inside of a JSON string, in ASCII. What is not UTF-8 becomes U+FFFD.
fn escape_json(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7E) && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut units = [0; 2];
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            ' '..='~' => out.push(c as u8),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    let [high, low] = unit.to_be_bytes();
                    out.extend_from_slice(b"\\u");
                    out.extend_from_slice(&hex(high));
                    out.extend_from_slice(&hex(low));
                }
            }
        }
    }
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Microseconds as `1.000250`.
fn seconds(out: &mut Vec<u8>, us: u64) {
    decimal(out, us / 1_000_000);
    out.push(b'.');
    let start = out.len();
    decimal(out, us % 1_000_000 + 1_000_000);
    // The million was there for the zeros.
    out.remove(start);
}

/// The name in `Basic bmFtZTpwYXNz`; empty for anything else.
fn user(credentials: &[u8]) -> Vec<u8> {
    let Some((scheme, rest)) = credentials.split_at_checked(6) else { return Vec::new() };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Vec::new();
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in rest.trim_ascii() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return Vec::new(),
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    match out.iter().position(|byte| *byte == b':') {
        Some(end) => out.truncate(end),
        // Without a colon it may be a secret.
        None => out.clear(),
    }
    out
}

/// `20/Nov/2026:18:57:57 +0000` or `2026-11-20T18:57:57Z`.
fn write_time(out: &mut Vec<u8>, unix_seconds: u64, is_iso: bool) -> std::io::Result<()> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    if is_iso {
        return write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z");
    }
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or("???");
    write!(out, "{day:02}/{name}/{year:04}:{h:02}:{m:02}:{s:02} +0000")
}

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar. Counts in eras of 400 years (146,097 days) that begin on
/// 1 March, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, seconds, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_right_around_leap_days_and_years() {
        assert_eq!(time(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(time(951_782_399), "28/Feb/2000:23:59:59 +0000");
        assert_eq!(time(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(time(1_709_251_199), "29/Feb/2024:23:59:59 +0000");
        assert_eq!(time(1_735_689_599), "31/Dec/2024:23:59:59 +0000");
        assert_eq!(time(4_107_542_400), "01/Mar/2100:00:00:00 +0000");
    }

    #[test]
    fn numbers_and_durations() {
        for (number, text) in
            [(0, "0"), (7, "7"), (1234567890, "1234567890"), (u64::MAX, "18446744073709551615")]
        {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        seconds(&mut out, 3_000_250);
        assert_eq!(out, b"3.000250");
    }

    #[test]
    fn names_in_credentials() {
        assert_eq!(user(b"Basic YWxpY2U6c2VjcmV0"), b"alice");
        assert_eq!(user(b"basic YWxpY2U6"), b"alice");
        for nobody in [&b""[..], b"Basic", b"Basic !!!", b"Bearer YWxpY2U6c2VjcmV0", b"Basic YWxpY2U="] {
            assert_eq!(user(nobody), b"");
        }
    }

    #[test]
    fn hostile_bytes_stay_inside_their_field() {
        let mut out = Vec::new();
        escape(&mut out, b"/\"\n\x1b[31m\xff\\");
        assert_eq!(out, b"/\\x22\\x0a\\x1b[31m\\xff\\x5c");
        out.clear();
        escape_json(&mut out, b"/\"\n\x7f\xff\\ \xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa8");
        assert_eq!(out, b"/\\\"\\u000a\\u007f\\ufffd\\\\ \\u00e9\\ud83d\\ude00\\u2028");
    }
}
