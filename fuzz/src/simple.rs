//! A head and a chunked body, read in the plainest way: split at the line ends, look at each line.
//!
//! Slow, and written from the RFCs and not from the code that it is compared with.

use pelton_http::Length;

/// A head as far as it can be told without knowing what its fields mean.
#[derive(Debug, PartialEq, Eq)]
pub struct SimpleHead {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub version: Vec<u8>,
    /// Names in lower case.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes with the blank line.
    pub bytes: usize,
}

fn is_tchar(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(is_tchar)
}

fn is_text(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 127))
}

/// The parts of `text` between one `separator` and the next.
fn split<'t>(text: &'t [u8], separator: &[u8]) -> Vec<&'t [u8]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        if text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            at += separator.len();
            start = at;
        } else {
            at += 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn trim(text: &[u8]) -> &[u8] {
    let white = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = text.iter().position(|byte| !white(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !white(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// A complete head without empty lines before it; None if no blank line is there, or a line is malformed.
pub fn head(wire: &[u8]) -> Option<SimpleHead> {
    let end = wire.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = split(&wire[..end], b"\r\n").into_iter();
    let parts = split(lines.next()?, b" ");
    let [method, target, version] = parts[..] else { return None };
    let good_target = !target.is_empty()
        && std::str::from_utf8(target).is_ok()
        && target.iter().all(|&byte| byte > b' ' && byte != 127);
    if !is_token(method) || !good_target || !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || !is_text(value) {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), trim(value).to_vec()));
    }
    Some(SimpleHead {
        method: method.to_vec(),
        target: target.to_vec(),
        version: version.to_vec(),
        fields,
        bytes: end + 4,
    })
}

impl SimpleHead {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| &value[..]).collect()
    }

    /// How the body ends; None if the request must be refused.
    pub fn length(&self) -> Option<Length> {
        match (&self.values("transfer-encoding")[..], &self.values("content-length")[..]) {
            ([], []) => Some(Length::None),
            ([], [digits]) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                Some(Length::Exact(std::str::from_utf8(digits).ok()?.parse().ok()?))
            }
            ([coding], []) if self.version == b"HTTP/1.1" && coding.eq_ignore_ascii_case(b"chunked") => {
                Some(Length::Chunked)
            }
            _ => None,
        }
    }

    /// Whether the client wants the connection kept.
    pub fn keep_alive(&self) -> bool {
        let options: Vec<_> = self.values("connection").join(&b","[..]).to_ascii_lowercase();
        let options: Vec<_> = split(&options, b",").into_iter().map(trim).collect();
        !options.contains(&&b"close"[..])
            && (self.version == b"HTTP/1.1" || options.contains(&&b"keep-alive"[..]))
    }

    /// Whether there is one Host at most, and one if there must be.
    pub fn has_its_host(&self) -> bool {
        match self.values("host").len() {
            0 => self.version == b"HTTP/1.0",
            count => count == 1,
        }
    }
}

/// What a chunked body is.
#[derive(Debug, PartialEq, Eq)]
pub enum SimpleBody {
    /// Its data, and its bytes on the wire.
    Complete(Vec<u8>, usize),
    /// The wire ends within it.
    Cut,
    /// It is malformed.
    Wrong,
}

/// Reads a chunked body without any limit.
pub fn chunked(wire: &[u8]) -> SimpleBody {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(wire, &mut at) else { return SimpleBody::Cut };
        let Some(line) = line else { return SimpleBody::Wrong };
        let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
        if digits.is_empty() || digits.len() > 16 || !extensions(&line[digits.len()..]) {
            return SimpleBody::Wrong;
        }
        let Ok(size) = u64::from_str_radix(std::str::from_utf8(&digits).unwrap_or("x"), 16) else {
            return SimpleBody::Wrong;
        };
        if size == 0 {
            break;
        }
        let Some(end) = usize::try_from(size).ok().and_then(|size| at.checked_add(size)) else {
            return SimpleBody::Cut;
        };
        let Some(chunk) = wire.get(at..end) else { return SimpleBody::Cut };
        data.extend_from_slice(chunk);
        match wire.get(end..).unwrap_or_default() {
            [] | [b'\r'] => return SimpleBody::Cut,
            [b'\r', b'\n', ..] => at = end + 2,
            _ => return SimpleBody::Wrong,
        }
    }
    loop {
        let Some(line) = line(wire, &mut at) else { return SimpleBody::Cut };
        let Some(line) = line else { return SimpleBody::Wrong };
        if line.is_empty() {
            return SimpleBody::Complete(data, at);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return SimpleBody::Wrong };
        let name = line[..colon].to_ascii_lowercase();
        let forbidden: [&[u8]; 5] =
            [b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer"];
        if !is_token(&name) || !is_text(&line[colon..]) || forbidden.contains(&&name[..]) {
            return SimpleBody::Wrong;
        }
    }
}

/// The line at `at`: None if it has not ended, Some(None) if it ends with LF alone.
fn line<'w>(wire: &'w [u8], at: &mut usize) -> Option<Option<&'w [u8]>> {
    let start = *at;
    let length = wire[start..].iter().position(|&byte| byte == b'\n')?;
    *at = start + length + 1;
    Some(wire[start..start + length].strip_suffix(b"\r"))
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, by a state per position.
fn extensions(text: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        End,
        WhiteBeforeSemicolon,
        Semicolon,
        Name,
        WhiteBehindName,
        Equals,
        Token,
        Quoted,
        Escaped,
        Closed,
    }
    let mut at = At::End;
    for byte in text {
        let white = *byte == b' ' || *byte == b'\t';
        let visible = *byte == b'\t' || (*byte >= b' ' && *byte != 127);
        at = match at {
            At::Quoted if *byte == b'"' => At::Closed,
            At::Quoted if *byte == b'\\' => At::Escaped,
            At::Quoted | At::Escaped if visible => At::Quoted,
            At::End | At::WhiteBeforeSemicolon if white => At::WhiteBeforeSemicolon,
            At::Closed | At::Token if white => At::WhiteBeforeSemicolon,
            At::End | At::WhiteBeforeSemicolon | At::Closed | At::Token | At::Name | At::WhiteBehindName
                if *byte == b';' =>
            {
                At::Semicolon
            }
            At::Semicolon if white => At::Semicolon,
            At::Semicolon | At::Name if is_tchar(byte) => At::Name,
            At::Name | At::WhiteBehindName if white => At::WhiteBehindName,
            At::Name | At::WhiteBehindName if *byte == b'=' => At::Equals,
            At::Equals if white => At::Equals,
            At::Equals if *byte == b'"' => At::Quoted,
            At::Equals | At::Token if is_tchar(byte) => At::Token,
            _ => return false,
        };
    }
    matches!(at, At::End | At::Name | At::Token | At::Closed)
}
