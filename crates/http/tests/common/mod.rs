//! Feeds bytes to a receiver in pieces and writes down what it says.
//!
//! Anything incremental must give the same list of events however the bytes are cut, so every test goes through
//! [`every_cut`].

// Each test file uses its part of this.
#![allow(dead_code)]

use pelton_http::{Event, Head, HttpError, Known, Length, Limits, Receiver, Version};

/// A head with its bytes, comparable between runs over different buffers.
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
    pub expect_continue: bool,
}

impl OwnedHead {
    fn of(head: &Head, input: &[u8]) -> Self {
        let owned = |span: pelton_http::Span| span.of(input).to_vec();
        assert_eq!(head.path_encoded, head.path.of(input).contains(&b'%'));
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
                    let mut name = owned(field.name).to_ascii_lowercase();
                    assert_eq!(Known::lookup(&name) == field.known, !name.is_empty());
                    if name.is_empty() {
                        name = field.known.name().into();
                    }
                    (name, owned(field.value))
                })
                .collect(),
            length: head.length,
            keep_alive: head.keep_alive,
            expect_continue: head.expect_continue,
        }
    }
}

/// What happened, in order. Neighbouring data is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Head(Box<OwnedHead>),
    Data(Vec<u8>),
    End,
    Error(HttpError),
    /// The bytes ended within a message.
    Incomplete,
}

/// Feeds `pieces` one after the other, over as many requests as there are.
pub fn feed<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> Vec<Seen> {
    let mut receiver = Receiver::new();
    let mut head = Head::default();
    let mut buffer = Vec::new();
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        // Each round must consume, change state or end; six rounds per byte are far more than any path needs.
        let mut rounds = 6 * buffer.len() + 6;
        loop {
            rounds -= 1;
            assert!(rounds > 0, "no progress at {:?} with {:?}", receiver, buffer.escape_ascii().to_string());
            let step = match receiver.advance(&buffer, limits, &mut head) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(
                        receiver.advance(b"GET / HTTP/1.1\r\n", limits, &mut head),
                        Err(error),
                        "final"
                    );
                    assert!(!receiver.is_between_requests());
                    seen.push(Seen::Error(error));
                    return seen;
                }
            };
            assert!(step.consumed <= buffer.len());
            match &step.event {
                Event::NeedMore => {}
                Event::Head => {
                    assert_eq!(head.bytes, step.consumed);
                    seen.push(Seen::Head(Box::new(OwnedHead::of(&head, &buffer))));
                }
                Event::Body(range) => {
                    assert!(!range.is_empty() && range.end <= step.consumed);
                    let data = &buffer[range.clone()];
                    match seen.last_mut() {
                        Some(Seen::Data(merged)) => merged.extend_from_slice(data),
                        _ => seen.push(Seen::Data(data.to_vec())),
                    }
                }
                Event::End => {
                    seen.push(Seen::End);
                    receiver.next_request();
                    assert!(receiver.is_between_requests());
                }
            }
            buffer.drain(..step.consumed);
            if step.event == Event::NeedMore {
                break;
            }
        }
    }
    if !buffer.is_empty() || !receiver.is_between_requests() {
        seen.push(Seen::Incomplete);
    }
    seen
}

/// Feeds `bytes` whole, byte by byte and cut in two at every offset (of long ones, at a thousand); all must give the same
/// events.
#[track_caller]
pub fn every_cut(bytes: &[u8], limits: &Limits) -> Vec<Seen> {
    let whole = feed([bytes], limits);
    assert_eq!(feed(bytes.chunks(1), limits), whole, "byte by byte: {}", bytes.escape_ascii());
    for at in (1..bytes.len()).step_by(1 + bytes.len() / 1000) {
        let (one, two) = bytes.split_at(at);
        assert_eq!(feed([one, two], limits), whole, "cut at {at}: {}", bytes.escape_ascii());
    }
    whole
}
