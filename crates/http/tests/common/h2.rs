//! A scripted client of HTTP/2: makes frames, feeds them in pieces, writes down what is seen and what is said.

// Each user has its part of this.
#![allow(dead_code)]

use pelton_http::h2::{Bounds, Connection, ErrorCode, Event, Fault};
use pelton_http::response::{Encoded, ResponseContext};
use pelton_http::{Head, HttpError, Length, Limits, ResponseError, Span, Version};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const PRIORITY_UPDATE: u8 = 16;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY_FLAG: u8 = 0x20;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that no table keeps.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            match text.len() {
                length @ 0..127 => out.push(length as u8),
                length => {
                    let mut rest = length - 127;
                    out.push(127);
                    while rest >= 128 {
                        out.push(rest as u8 | 128);
                        rest >>= 7;
                    }
                    out.push(rest as u8);
                }
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// A HEADERS frame, and CONTINUATION where one does not suffice.
pub fn headers(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let block = block(fields);
    if block.len() <= 16_384 {
        return frame(HEADERS, flags, stream, &block);
    }
    let count = block.chunks(16_384).count();
    let end = flags & END_HEADERS;
    let pieces = block.chunks(16_384).enumerate().map(|(number, piece)| {
        let (kind, flags) = if number == 0 { (HEADERS, flags & !END_HEADERS) } else { (CONTINUATION, 0) };
        frame(kind, if number + 1 == count { flags | end } else { flags }, stream, piece)
    });
    pieces.collect::<Vec<_>>().concat()
}

pub fn data(stream: u32, bytes: &[u8], flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

/// The preface, SETTINGS, and these frames.
pub fn wire(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    out.extend(frame(SETTINGS, 0, 0, &[]));
    frames.into_iter().for_each(|frame| out.extend(frame));
    out
}

/// Reads a block of literals and of entries of the static table's `:status`, which is all that the server writes.
pub fn decoded(block: &[u8]) -> Vec<(String, String)> {
    const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    const NAMES: [(usize, &str); 8] = [
        (8, ":status"),
        (28, "content-length"),
        (31, "content-type"),
        (33, "date"),
        (45, "link"),
        (54, "server"),
        (24, "cache-control"),
        (46, "location"),
    ];
    let mut rest = block;
    let mut fields = Vec::new();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == 0x20 {
            continue;
        }
        if first & 0x80 != 0 {
            fields.push((":status".to_owned(), STATUSES[usize::from(first & 0x7f) - 8].to_owned()));
            continue;
        }
        assert_eq!(first & 0xe0, 0, "only literals");
        let name = match number(&mut rest, first, 4) {
            0 => string(&mut rest),
            index => NAMES.iter().find(|(known, _)| *known == index).expect("a known name").1.to_owned(),
        };
        fields.push((name, string(&mut rest)));
    }
    fields
}

fn number(rest: &mut &[u8], first: u8, prefix: u32) -> usize {
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().expect("a whole number");
            *rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    value
}

fn string(rest: &mut &[u8]) -> String {
    let (&first, after) = rest.split_first().expect("a string");
    *rest = after;
    assert_eq!(first & 0x80, 0, "not Huffman-coded");
    let length = number(rest, first, 7);
    let (text, after) = rest.split_at(length);
    *rest = after;
    String::from_utf8(text.to_vec()).expect("text")
}

/// A head with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedHead {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Vec<u8>,
    pub authority: Vec<u8>,
    pub version: Version,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub length: Length,
    pub keep_alive: bool,
}

impl OwnedHead {
    fn of(head: &Head, text: &[u8]) -> Self {
        let owned = |span: Span| span.of(text).to_vec();
        OwnedHead {
            method: owned(head.method),
            target: owned(head.target),
            path: owned(head.path),
            query: owned(head.query),
            authority: owned(head.authority),
            version: head.version,
            fields: head
                .fields
                .iter()
                .map(|field| {
                    let name =
                        if field.name.is_empty() { field.known.name().into() } else { owned(field.name) };
                    (name, owned(field.value))
                })
                .collect(),
            length: head.length,
            keep_alive: head.keep_alive,
        }
    }
}

/// What happened, in order. Neighbouring data of one stream is merged; openings of windows are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Head(u32, bool, Box<OwnedHead>),
    Data(u32, Vec<u8>),
    End(u32),
    Refused(u32, HttpError),
    Reset(u32),
    GoingAway,
    Failed(Fault),
}

/// A frame of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub fn code(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// What is known after a run.
#[derive(Debug, Default)]
pub struct Run {
    pub seen: Vec<Seen>,
    pub said: Vec<u8>,
}

impl Run {
    pub fn frames(&self) -> Vec<Frame> {
        frames(&self.said)
    }

    pub fn kinds(&self) -> Vec<u8> {
        self.frames().iter().map(|frame| frame.kind).collect()
    }
}

fn frames(said: &[u8]) -> Vec<Frame> {
    let mut rest = said;
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, s0, s1, s2, s3, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(length <= 16_384);
        let (payload, behind) = after.split_at(length);
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        frames.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
        rest = behind;
    }
    assert!(rest.is_empty(), "half a frame was said");
    frames
}

/// A connection and its client.
pub struct Peer {
    pub connection: Connection,
    pub run: Run,
    pub now_ms: u64,
    /// Whether bodies are consumed as they come.
    pub consumes: bool,
    /// Whether an exchange is over when its stream is reset or refused.
    pub releases: bool,
    limits: Limits,
    head: Head,
    buffer: Vec<u8>,
    reported: usize,
}

impl Peer {
    pub fn new(limits: &Limits, bounds: &Bounds) -> Self {
        Peer {
            connection: Connection::new(bounds.clone(), limits, 1000),
            run: Run::default(),
            now_ms: 1000,
            consumes: true,
            releases: false,
            limits: limits.clone(),
            head: Head::default(),
            buffer: Vec::new(),
            reported: 0,
        }
    }

    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
        // Each round must consume or end; two more per byte are far more than any path needs.
        let mut rounds = 3 * self.buffer.len() + 6;
        loop {
            rounds -= 1;
            assert!(rounds > 0, "no progress");
            let step = self.connection.advance(&self.buffer, &self.limits, self.now_ms, &mut self.head);
            assert!(step.consumed <= self.buffer.len());
            let ended = matches!(step.event, Event::NeedMore | Event::Failed(_));
            self.note(step.event);
            self.buffer.drain(..step.consumed);
            // A frame and its head are the most that is ever asked for.
            assert!(!ended || self.buffer.len() < 16_384 + 9);
            if ended {
                break;
            }
        }
        self.collect();
    }

    fn note(&mut self, event: Event) {
        let seen = match event {
            Event::NeedMore | Event::Windows => return,
            Event::Head { stream, ended } => {
                Seen::Head(stream, ended, Box::new(OwnedHead::of(&self.head, self.connection.text())))
            }
            Event::Body { stream, range } => {
                assert!(!range.is_empty());
                let bytes = self.buffer[range].to_vec();
                if self.consumes {
                    self.connection.consumed(stream, bytes.len());
                }
                if let Some(Seen::Data(last, merged)) = self.run.seen.last_mut()
                    && *last == stream
                {
                    merged.extend(bytes);
                    return;
                }
                Seen::Data(stream, bytes)
            }
            Event::End { stream } => Seen::End(stream),
            Event::Refused { stream, error } => {
                if self.releases {
                    self.connection.release(stream);
                }
                Seen::Refused(stream, error)
            }
            Event::Reset { stream } => {
                if self.releases {
                    self.connection.release(stream);
                }
                Seen::Reset(stream)
            }
            Event::GoingAway => Seen::GoingAway,
            Event::Failed(fault) => {
                if self.run.seen.last() == Some(&Seen::Failed(fault)) {
                    return;
                }
                Seen::Failed(fault)
            }
        };
        self.run.seen.push(seen);
    }

    fn collect(&mut self) {
        self.run.said.append(self.connection.output());
    }

    /// What was said since the last time.
    pub fn take_output(&mut self) -> Vec<Frame> {
        self.collect();
        let new = frames(&self.run.said[self.reported..]);
        self.reported = self.run.said.len();
        new
    }

    pub fn respond(
        &mut self,
        stream: u32,
        status: u16,
        fields: &[(&str, &str)],
    ) -> Result<Encoded, ResponseError> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let context = ResponseContext {
            version: Version::Http2,
            is_head: false,
            keep_alive: true,
            date: DATE,
            known_length: None,
            timing: None,
            transport_security: None,
        };
        let encoded = self.connection.send_head(stream, status, fields, &context);
        self.collect();
        encoded
    }

    pub fn send(&mut self, stream: u32, bytes: &[u8], ends: bool) {
        self.connection.data(stream, bytes.len(), ends);
        self.collect();
        self.run.said.extend_from_slice(bytes);
    }

    /// Breaks off whatever is under way, as a driver may at any time.
    pub fn reset(&mut self, stream: u32) {
        self.connection.reset(stream, ErrorCode::Cancel);
        self.connection.release(stream);
        self.collect();
    }
}

pub fn feed<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits, bounds: &Bounds) -> Run {
    let mut peer = Peer::new(limits, bounds);
    for piece in pieces {
        peer.feed(piece);
    }
    peer.run
}

/// Whole, byte by byte, and cut in two at every offset (of long input, at a few hundred): the same events, and the same frames but for
/// how windows are opened, which depends on what has come.
#[track_caller]
pub fn cut_with(wire: &[u8], limits: &Limits, bounds: &Bounds) -> Run {
    let whole = feed([wire], limits, bounds);
    let said =
        |run: &Run| run.frames().into_iter().filter(|frame| frame.kind != WINDOW_UPDATE).collect::<Vec<_>>();
    let compare = |run: Run, how: &str| {
        assert_eq!(run.seen, whole.seen, "{how}");
        assert_eq!(said(&run), said(&whole), "{how}");
    };
    compare(feed(wire.chunks(1), limits, bounds), "byte by byte");
    for at in (1..wire.len()).step_by(1 + wire.len() / 300) {
        let (one, two) = wire.split_at(at);
        compare(feed([one, two], limits, bounds), &format!("cut at {at}"));
    }
    whole
}

#[track_caller]
pub fn every_cut(wire: &[u8]) -> Run {
    cut_with(wire, &Limits::default(), &Bounds::default())
}
