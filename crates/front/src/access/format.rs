//! The form of access lines: `combined`, `json`, or a text with gunicorn's atoms. Compiled once; a line is then a walk over parts.
//!
//! Must not know where lines go. Names of fields are compared without regard to case.

use pelton_http::{Field, Known, Span};

/// What is known when the head of a request is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestValue {
    /// The client's address.
    Address,
    /// `%(u)s`: the name in Basic credentials, by their place in [`Format::request_fields`]. Nobody has checked it.
    User(usize),
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
    /// The request's id.
    RequestId,
    /// A field, by its place in [`Format::request_fields`].
    Field(usize),
    /// The same where the head has to be searched for it: an unusual one, or one too many.
    UnusualField(usize),
}

/// What is known at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndValue {
    /// `20/Nov/2026:18:57:57 +0000`.
    Time,
    /// The status.
    Status,
    /// Bytes of body that were sent.
    Bytes,
    /// The same, `-` for none.
    BytesOrDash,
    /// Duration in whole seconds, milliseconds, microseconds, and seconds with six digits.
    Seconds,
    /// See [`EndValue::Seconds`].
    Milliseconds,
    /// See [`EndValue::Seconds`].
    Microseconds,
    /// See [`EndValue::Seconds`].
    DecimalSeconds,
    /// `<1234>`: the worker's process.
    Process,
    /// The worker's number.
    Worker,
    /// How long the request waited for a thread.
    QueueTime,
    /// How long the application took.
    ApplicationTime,
    /// From the head of the request to the head of the response.
    FirstByteTime,
    /// How it ended.
    Outcome,
    /// A field of the response, by its place in [`Format::response_fields`].
    ResponseField(usize),
}

/// A piece of a line that is written when the head of the request is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Early {
    /// As it is.
    Text(Box<[u8]>),
    /// To be filled in.
    Value(RequestValue),
    /// What was written since the last one is a run: it lies together in the line.
    EndOfRun,
}

/// A piece of a line that is written at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// The next run of early pieces.
    Run,
    /// As it is.
    Text(Box<[u8]>),
    /// To be filled in.
    Value(EndValue),
}

/// Which code writes a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// That which walks over the pieces.
    #[default]
    Pieces,
    /// The same lines as from its pieces, in half the time.
    Combined,
    /// One JSON object per line, which has no pieces.
    Json,
}

/// The form of an access line, read from its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// In order. Empty for JSON, whose order is that of `request_part`.
    pub early: Vec<Early>,
    /// In order, which is the line's. Empty for JSON, whose order is that of `line`.
    pub late: Vec<Late>,
    /// The forms that are written by code of their own.
    pub kind: Kind,
    /// Which fields of a request are in it, in small letters.
    pub request_fields: Vec<Box<[u8]>>,
    /// The places of the usual ones, by number; [`NOWHERE`] for those that are not in it.
    pub places: Places,
    /// Which fields of a response are to be kept, in small letters.
    pub response_fields: Vec<Box<[u8]>>,
    /// Whether a line says the request's id.
    pub has_request_id: bool,
}

/// So many fields of a request are found by one walk over its head.
pub const USUAL_FIELDS: usize = 8;
/// No place of a field.
const NOWHERE: u8 = u8::MAX;

/// See [`Format::places`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places([u8; Known::COUNT]);

impl Default for Places {
    fn default() -> Self {
        Places([NOWHERE; Known::COUNT])
    }
}

impl Places {
    /// Where the values of these fields are; see [`USUAL_FIELDS`].
    #[inline]
    pub fn find(&self, fields: &[Field]) -> [Span; USUAL_FIELDS] {
        // Which is no place in any head.
        const NONE: Span = Span { start: u32::MAX, end: u32::MAX };
        let mut found = [NONE; USUAL_FIELDS];
        for field in fields {
            let place = self.0.get(field.known as usize).copied().unwrap_or(NOWHERE);
            // The first one counts.
            if let Some(value) = found.get_mut(usize::from(place))
                && *value == NONE
            {
                *value = field.value;
            }
        }
        found
    }
}

/// What an atom stands for.
enum Atom {
    Request(RequestValue),
    End(EndValue),
    /// The same in every line.
    Text(&'static str),
}

/// What most tools read. Without the user, who is the application's business. `request_part` and `line` know it, too.
pub const COMBINED: &str = "%(h)s - - %(t)s \"%(r)s\" %(s)s %(B)s \"%(f)s\" \"%(a)s\"";
/// The fields that a JSON line has; `request_part` knows their order.
pub const JSON_FIELDS: [&str; 3] = ["user-agent", "referer", "traceparent"];

impl Format {
    /// From `combined`, `json` or a text with atoms. The error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Format, String> {
        let mut format = Format::default();
        match text {
            "json" => {
                format.kind = Kind::Json;
                format.has_request_id = true;
                for name in JSON_FIELDS {
                    format.request_field(name);
                }
            }
            "combined" => {
                format.read(COMBINED)?;
                format.kind = Kind::Combined;
            }
            _ => format.read(text)?,
        }
        Ok(format)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        let mut pieces = Pieces::default();
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            pieces.text(before);
            if let Some(after) = from.strip_prefix("%%") {
                pieces.text("%");
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
            match self.atom(name).ok_or_else(|| format!("there is no atom \"%({name})s\""))? {
                Atom::Request(value) => pieces.request(value),
                Atom::End(EndValue::Time) => {
                    pieces.text("[");
                    pieces.end(EndValue::Time);
                    pieces.text("]");
                }
                Atom::End(value) => pieces.end(value),
                Atom::Text(text) => pieces.text(text),
            }
            rest = after;
        }
        pieces.text(rest);
        pieces.close();
        (self.early, self.late) = (pieces.early, pieces.late);
        Ok(())
    }

    fn atom(&mut self, name: &str) -> Option<Atom> {
        if let Some(inside) = name.strip_prefix('{') {
            let (field, kind) = inside.split_once('}')?;
            let field = field.to_ascii_lowercase();
            return match kind {
                "i" => Some(self.request_field(&field)),
                "o" => Some(Atom::End(EndValue::ResponseField(place(&mut self.response_fields, &field)))),
                "e" => Some(self.environ(&field)),
                _ => None,
            };
        }
        let request = |value| Some(Atom::Request(value));
        let end = |value| Some(Atom::End(value));
        match name {
            "h" => request(RequestValue::Address),
            "l" => Some(Atom::Text("-")),
            "u" => request(RequestValue::User(place(&mut self.request_fields, "authorization"))),
            "t" => end(EndValue::Time),
            "r" => request(RequestValue::RequestLine),
            "m" => request(RequestValue::Method),
            "U" => request(RequestValue::Path),
            "q" => request(RequestValue::Query),
            "H" => request(RequestValue::Protocol),
            "s" | "st" => end(EndValue::Status),
            "B" => end(EndValue::Bytes),
            "b" => end(EndValue::BytesOrDash),
            "f" => Some(self.request_field("referer")),
            "a" => Some(self.request_field("user-agent")),
            "T" => end(EndValue::Seconds),
            "M" => end(EndValue::Milliseconds),
            "D" => end(EndValue::Microseconds),
            "L" => end(EndValue::DecimalSeconds),
            "p" => end(EndValue::Process),
            "worker" => end(EndValue::Worker),
            "queue_time" => end(EndValue::QueueTime),
            "application_time" => end(EndValue::ApplicationTime),
            "first_byte_time" => end(EndValue::FirstByteTime),
            "outcome" => end(EndValue::Outcome),
            "request_id" => Some(self.request_id()),
            _ => None,
        }
    }

    fn request_id(&mut self) -> Atom {
        self.has_request_id = true;
        Atom::Request(RequestValue::RequestId)
    }

    fn request_field(&mut self, name: &str) -> Atom {
        if name == "x-request-id" {
            return self.request_id();
        }
        let at = place(&mut self.request_fields, name);
        let known = Known::lookup(name.as_bytes());
        let place =
            self.places.0.get_mut(known as usize).filter(|_| known != Known::Other && at < USUAL_FIELDS);
        Atom::Request(match place {
            Some(place) => {
                *place = at as u8;
                RequestValue::Field(at)
            }
            None => RequestValue::UnusualField(at),
        })
    }

    /// What of the environ is known here; what only the worker knows is a dash.
    fn environ(&mut self, name: &str) -> Atom {
        Atom::Request(match name {
            "remote_addr" => RequestValue::Address,
            "request_method" => RequestValue::Method,
            "query_string" => RequestValue::Query,
            "raw_uri" | "request_uri" => RequestValue::Target,
            "path_info" => RequestValue::Path,
            "server_protocol" => RequestValue::Protocol,
            "pelton.request_id" => return self.request_id(),
            "content_type" | "content_length" => return self.request_field(&name.replace('_', "-")),
            _ => match name.strip_prefix("http_") {
                Some(field) => return self.request_field(&field.replace('_', "-")),
                None => return Atom::Text("-"),
            },
        })
    }
}

/// A form on its way: text joins the run beside it, so that a line is few pieces.
#[derive(Default)]
struct Pieces {
    early: Vec<Early>,
    late: Vec<Late>,
    /// Text that does not belong to anything yet.
    text: Vec<u8>,
    is_run: bool,
}

impl Pieces {
    fn text(&mut self, text: &str) {
        push_text(&mut self.text, text);
    }

    fn request(&mut self, value: RequestValue) {
        self.is_run = true;
        self.flush_into_run();
        self.early.push(Early::Value(value));
    }

    fn end(&mut self, value: EndValue) {
        self.close();
        self.late.push(Late::Value(value));
    }

    fn flush_into_run(&mut self) {
        if !self.text.is_empty() {
            self.early.push(Early::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_run) {
            self.flush_into_run();
            self.early.push(Early::EndOfRun);
            self.late.push(Late::Run);
        } else if !self.text.is_empty() {
            self.late.push(Late::Text(std::mem::take(&mut self.text).into()));
        }
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
mod tests;
