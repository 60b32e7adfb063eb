//! The form of access lines: `combined`, `json`, or a text with gunicorn's atoms. Compiled once; a line is then a walk over parts.
//!
//! Must not know where lines go. Names of fields are compared without regard to case.

use penstock_http::Known;

/// One value of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The client's address.
    Address,
    /// `%(u)s`: the name in Basic credentials. Nobody has checked it.
    User,
    /// `[20/Nov/2026:18:57:57 +0000]`.
    Time,
    /// `GET /path?query HTTP/1.1`, as received.
    RequestLine,
    /// The method.
    Method,
    /// The target without query, as received.
    Path,
    /// The query.
    Query,
    /// The target, as received.
    Target,
    /// `HTTP/1.1`.
    Protocol,
    /// The status.
    Status,
    /// Bytes of body that were sent.
    Bytes,
    /// The same, `-` for none.
    BytesOrDash,
    /// Duration in whole seconds, milliseconds, microseconds, and seconds with six digits.
    Seconds,
    /// See [`Value::Seconds`].
    Milliseconds,
    /// See [`Value::Seconds`].
    Microseconds,
    /// See [`Value::Seconds`].
    DecimalSeconds,
    /// `<1234>`: the worker's process.
    Process,
    /// The worker's number.
    Worker,
    /// How long the request waited for a thread.
    QueueTime,
    /// How long the application took.
    ApplicationTime,
    /// From the head of the request to the head of the answer.
    FirstByteTime,
    /// How it ended.
    Outcome,
    /// The request's id.
    RequestId,
    /// A field of the request, by its place in [`Format::request_fields`].
    RequestField(usize),
    /// A field of the answer, by its place in [`Format::answer_fields`].
    AnswerField(usize),
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(Box<[u8]>),
    /// To be filled in.
    Value(Value),
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// In order. Empty for JSON, whose order is `line`'s.
    pub parts: Vec<Part>,
    /// One JSON object per line.
    pub is_json: bool,
    /// Which fields of a request are to be kept, in small letters.
    pub request_fields: Vec<Box<[u8]>>,
    /// The same as numbers, at the same places; `Other` for unusual ones.
    pub request_known: Vec<Known>,
    /// Which fields of an answer are to be kept, in small letters.
    pub answer_fields: Vec<Box<[u8]>>,
    /// Whether a line says the request's id.
    pub has_request_id: bool,
}

/// What most tools read. Without the user, who is the application's business.
const COMBINED: &str = "%(h)s - - %(t)s \"%(r)s\" %(s)s %(B)s \"%(f)s\" \"%(a)s\"";
/// The fields that a JSON line has; `line` knows their order.
pub const JSON_FIELDS: [&str; 3] = ["user-agent", "referer", "traceparent"];

impl Format {
    /// From `combined`, `json` or a text with atoms. The error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Format, String> {
        let mut format = Format::default();
        match text {
            "json" => {
                format.is_json = true;
                format.has_request_id = true;
                format.request_fields = JSON_FIELDS.iter().map(|name| name.as_bytes().into()).collect();
            }
            "combined" => format.read(COMBINED)?,
            _ => format.read(text)?,
        }
        format.request_known = format.request_fields.iter().map(|name| Known::lookup(name)).collect();
        Ok(format)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        let mut literal = Vec::new();
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            push_text(&mut literal, before);
            if let Some(after) = from.strip_prefix("%%") {
                literal.push(b'%');
                rest = after;
                continue;
            }
            let Some(inside) = from.strip_prefix("%(") else {
                return Err(format!("after \"{before}\" there is a % without an atom; a % itself is %%"));
            };
            let Some((name, after)) = inside.split_once(')') else {
                return Err(format!("\"%({inside}\" has no end"));
            };
            let Some(after) = after.strip_prefix(['s', 'd']) else {
                return Err(format!("after \"%({name})\" there is no s"));
            };
            if !literal.is_empty() {
                self.parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            let part = self.atom(name).ok_or_else(|| format!("there is no atom \"%({name})s\""))?;
            self.parts.push(part);
            rest = after;
        }
        push_text(&mut literal, rest);
        if !literal.is_empty() {
            self.parts.push(Part::Text(literal.into()));
        }
        Ok(())
    }

    fn atom(&mut self, name: &str) -> Option<Part> {
        if let Some(inside) = name.strip_prefix('{') {
            let (field, kind) = inside.split_once('}')?;
            let field = field.to_ascii_lowercase();
            return match kind {
                "i" => Some(self.request_field(&field)),
                "o" => Some(Part::Value(Value::AnswerField(place(&mut self.answer_fields, &field)))),
                "e" => Some(self.environ(&field)),
                _ => None,
            };
        }
        Some(Part::Value(match name {
            "h" => Value::Address,
            "l" => return Some(Part::Text((*b"-").into())),
            "u" => {
                // Kept first of all, so that a line finds it there.
                place(&mut self.request_fields, "authorization");
                Value::User
            }
            "t" => Value::Time,
            "r" => Value::RequestLine,
            "m" => Value::Method,
            "U" => Value::Path,
            "q" => Value::Query,
            "H" => Value::Protocol,
            "s" | "st" => Value::Status,
            "B" => Value::Bytes,
            "b" => Value::BytesOrDash,
            "f" => return Some(self.request_field("referer")),
            "a" => return Some(self.request_field("user-agent")),
            "T" => Value::Seconds,
            "M" => Value::Milliseconds,
            "D" => Value::Microseconds,
            "L" => Value::DecimalSeconds,
            "p" => Value::Process,
            "worker" => Value::Worker,
            "queue_time" => Value::QueueTime,
            "application_time" => Value::ApplicationTime,
            "first_byte_time" => Value::FirstByteTime,
            "outcome" => Value::Outcome,
            "request_id" => {
                self.has_request_id = true;
                Value::RequestId
            }
            _ => return None,
        }))
    }

    fn request_field(&mut self, name: &str) -> Part {
        if name == "x-request-id" {
            self.has_request_id = true;
            return Part::Value(Value::RequestId);
        }
        Part::Value(Value::RequestField(place(&mut self.request_fields, name)))
    }

    /// What of the environ is known here; what only the worker knows is a dash.
    fn environ(&mut self, name: &str) -> Part {
        Part::Value(match name {
            "remote_addr" => Value::Address,
            "request_method" => Value::Method,
            "query_string" => Value::Query,
            "raw_uri" | "request_uri" => Value::Target,
            "path_info" => Value::Path,
            "server_protocol" => Value::Protocol,
            "penstock.request_id" => return self.request_field("x-request-id"),
            "content_type" | "content_length" => return self.request_field(&name.replace('_', "-")),
            _ => match name.strip_prefix("http_") {
                Some(field) => return self.request_field(&field.replace('_', "-")),
                None => return Part::Text((*b"-").into()),
            },
        })
    }
}

/// A line of the log is one line, whatever the format says.
fn push_text(literal: &mut Vec<u8>, text: &str) {
    literal.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
}

fn place(names: &mut Vec<Box<[u8]>>, name: &str) -> usize {
    if let Some(at) = names.iter().position(|known| **known == *name.as_bytes()) {
        return at;
    }
    names.push(name.as_bytes().into());
    names.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_atom_of_gunicorn_is_known() {
        for name in
            ["h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "B", "b", "f", "a", "T", "M", "D", "L", "p"]
        {
            assert!(Format::compile(&format!("x %({name})s")).is_ok(), "{name}");
        }
        let format =
            Format::compile("%({X-Thing}i)s %({x-thing}i)s %({Server}o)s %({HTTP_X_THING}e)s %({a}e)s")
                .unwrap();
        assert_eq!(format.request_fields, [Box::from(*b"x-thing")] as [Box<[u8]>; 1]);
        assert_eq!(format.answer_fields, [Box::from(*b"server")] as [Box<[u8]>; 1]);
    }

    #[test]
    fn faults_are_told() {
        for (text, part) in [
            ("%(zz)s", "no atom \"%(zz)s\""),
            ("%(h", "no end"),
            ("%(h)x", "no s"),
            ("100 % sure", "%%"),
            ("%({a}x)s", "no atom"),
        ] {
            let error = Format::compile(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_line_end_in_the_format_is_none_in_the_log() {
        let format = Format::compile("a\nb%%%(h)s").unwrap();
        assert_eq!(format.parts[0], Part::Text((*b"a b%").into()));
    }
}
