//! The receiving half of a connection: which part of which message comes next.
//!
//! ```text
//!            ┌──────────────── next_request ◄──────────────────┐
//!            ▼                                                 │
//!   Start ──► Head ──► Fixed ─────────────────────────────► Done
//!     │        │  └──► ChunkSize ◄──► ChunkData, ChunkEnd      ▲
//!     │        │           └──► Trailers ──────────────────────┤
//!     └────────┴── no body ────────────────────────────────────┘      any state ──► Failed
//! ```
//!
//! Rules of this file:
//! - The receiver keeps no bytes. The caller shows all bytes that are not consumed yet, and drops `consumed` of them
//!   after it has used the event. So there is one buffer, the caller's, and an idle connection needs none.
//! - `NeedMore` means that nothing more can happen with these bytes; bytes may have been consumed nevertheless.
//! - An error is final: after it nobody can know where the next request begins.
//!
//! How large the caller's buffer must be able to grow: `head_bytes`, `chunk_line_bytes` and `trailer_bytes` are the
//! most that is ever asked for before something is consumed.

use std::ops::Range;

use crate::error::HttpError;
use crate::h1::body::{chunk_line, trailer_line};
use crate::h1::parse::parse_head;
use crate::h1::scan::{Scan, Scanned};
use crate::head::{Head, Length};
use crate::limits::Limits;

/// Empty lines before a request line that are skipped. RFC 9112 section 2.2 asks for at least one, for clients that
/// send CR LF behind a body; more than a few is a way to keep a connection busy with nothing.
const EMPTY_LINES: u8 = 4;

/// Extensions of all chunks of a body together. They count for nothing, so one byte of data per chunk could drag
/// 250 bytes of them along for as long as the body may grow.
const EXTENSION_BYTES: u32 = 16_384;

/// The state machine; one per connection, small because most connections are idle.
#[derive(Debug)]
pub struct Receiver {
    state: State,
    /// Data bytes of the chunked body so far.
    body: u64,
    /// Bytes of chunk extensions so far.
    extensions: u32,
    /// Bytes of trailer fields so far.
    trailers: u32,
    /// Empty lines skipped before this request.
    empty_lines: u8,
}

#[derive(Debug)]
enum State {
    /// Nothing of a request has been seen.
    Start,
    /// An incomplete head.
    Head(Scan),
    /// A body with Content-Length.
    Fixed { left: u64 },
    /// Before a chunk-size line.
    ChunkSize,
    /// Inside a chunk.
    ChunkData { left: u64 },
    /// Before the CR LF behind a chunk's data.
    ChunkEnd,
    /// Before a line of the trailer section.
    Trailers,
    /// The message is complete.
    Done,
    /// The client broke the rules.
    Failed(HttpError),
}

/// The answer to "what comes next".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes at the front of the input that are done with, once the event has been handled.
    pub consumed: usize,
    /// What they were.
    pub event: Event,
}

/// What a piece of input was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more can be said without more bytes.
    NeedMore,
    /// The head is complete and in the caller's [`Head`]; its spans refer to the input of this call.
    Head,
    /// Data of the body: this range of the input, to be taken before `consumed` bytes are dropped.
    Body(Range<usize>),
    /// The message is complete; nothing more is consumed until [`Receiver::next_request`].
    End,
}

impl Step {
    #[inline]
    fn new(consumed: usize, event: Event) -> Result<Step, HttpError> {
        Ok(Step { consumed, event })
    }
}

impl Receiver {
    /// A receiver before the first request of a connection.
    pub const fn new() -> Self {
        Receiver { state: State::Start, body: 0, extensions: 0, trailers: 0, empty_lines: 0 }
    }

    /// Looks at `input`, all bytes received and not yet consumed, and says what comes next.
    ///
    /// `head` is filled when the event is [`Event::Head`] and may hold remains of a refused request otherwise. Each
    /// call consumes bytes, changes state, or says `NeedMore` or `End`; so a loop that drops what is consumed ends.
    #[inline]
    pub fn advance(&mut self, input: &[u8], limits: &Limits, head: &mut Head) -> Result<Step, HttpError> {
        let step = match self.state {
            State::Start => self.start(input, limits, head),
            State::Done => Step::new(0, Event::End),
            _ => self.proceed(input, limits, head),
        };
        if let Err(error) = step {
            self.state = State::Failed(error);
        }
        step
    }

    /// Makes ready for the following request. Only legal after [`Event::End`].
    ///
    /// Called at any other time it does nothing, because to guess where the next request begins is to be smuggled.
    #[inline]
    pub fn next_request(&mut self) {
        debug_assert!(matches!(self.state, State::Done), "next_request before the end of the message");
        if matches!(self.state, State::Done) {
            *self = Receiver::new();
        }
    }

    /// Whether nothing of a request has been seen: the keep-alive timeout applies, not the one for heads. Empty lines
    /// do not count as something.
    #[inline]
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Start)
    }

    #[inline]
    fn start(&mut self, input: &[u8], limits: &Limits, head: &mut Head) -> Result<Step, HttpError> {
        let mut skip = 0;
        if let Some(b'\r' | b'\n') = input.first() {
            skip = self.skip_empty_lines(input)?;
        }
        // What remains is nothing, or half an empty line.
        if matches!(input.get(skip..), None | Some([] | [b'\r'])) {
            return Step::new(skip, Event::NeedMore);
        }
        match parse_head(input, skip, limits, head)? {
            Some(length) => self.finish_head(skip + length, head),
            None => {
                self.state = State::Head(Scan::new());
                self.search(input, skip, limits, head)
            }
        }
    }

    /// RFC 9112 section 2.2: ignore CR LF before the request line.
    #[cold]
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        let mut rest = input;
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(HttpError::EmptyLines);
            }
            rest = after;
        }
        match rest {
            [b'\n', ..] | [b'\r', _, ..] => Err(HttpError::LineEnding),
            _ => Ok(input.len() - rest.len()),
        }
    }

    #[inline]
    fn finish_head(&mut self, bytes: usize, head: &mut Head) -> Result<Step, HttpError> {
        head.bytes = bytes;
        self.state = match head.length {
            Length::None | Length::Exact(0) => State::Done,
            Length::Exact(left) => State::Fixed { left },
            Length::Chunked => State::ChunkSize,
        };
        Step::new(bytes, Event::Head)
    }

    fn proceed(&mut self, input: &[u8], limits: &Limits, head: &mut Head) -> Result<Step, HttpError> {
        match self.state {
            State::Head(_) => self.search(input, 0, limits, head),
            State::Fixed { left } => Ok(
                self.data(input, 0, left, |left| if left == 0 { State::Done } else { State::Fixed { left } })
            ),
            State::ChunkSize | State::ChunkData { .. } | State::ChunkEnd | State::Trailers => {
                self.chunked(input, limits)
            }
            State::Failed(error) => Err(error),
            State::Start => self.start(input, limits, head),
            State::Done => Step::new(0, Event::End),
        }
    }

    /// An incomplete head that starts at `skip`: parse it again only when its end has come.
    #[cold]
    fn search(
        &mut self,
        input: &[u8],
        skip: usize,
        limits: &Limits,
        head: &mut Head,
    ) -> Result<Step, HttpError> {
        let State::Head(scan) = &mut self.state else { return Step::new(0, Event::NeedMore) };
        match scan.advance(input.get(skip..).unwrap_or_default(), limits)? {
            Scanned::NotYet => Step::new(skip, Event::NeedMore),
            Scanned::Complete => match parse_head(input, skip, limits, head)? {
                Some(length) => self.finish_head(skip + length, head),
                // The scanner and the parser agree on what is complete.
                None => Err(HttpError::RequestLine),
            },
        }
    }

    /// Body data at `at`; `next` gives the state for what is left behind it.
    #[inline]
    fn data(&mut self, input: &[u8], at: usize, left: u64, next: impl FnOnce(u64) -> State) -> Step {
        let available = input.len().saturating_sub(at);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        if taken == 0 {
            return Step { consumed: at, event: Event::NeedMore };
        }
        self.state = next(left - taken as u64);
        Step { consumed: at + taken, event: Event::Body(at..at + taken) }
    }

    /// RFC 9112 section 7.1. Framing is consumed together with the data behind it, so that a chunk costs one call.
    fn chunked(&mut self, input: &[u8], limits: &Limits) -> Result<Step, HttpError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or(&[]);
            match self.state {
                State::ChunkSize => {
                    let Some(line) = chunk_line(rest, limits)? else { return Step::new(at, Event::NeedMore) };
                    self.body = match self.body.checked_add(line.size) {
                        Some(sum) if sum <= limits.body_bytes => sum,
                        _ => return Err(HttpError::BodyTooLarge),
                    };
                    let extensions = u32::try_from(line.extension_bytes).unwrap_or(u32::MAX);
                    self.extensions = self.extensions.saturating_add(extensions);
                    if self.extensions > EXTENSION_BYTES {
                        return Err(HttpError::ChunkLineTooLong);
                    }
                    at += line.bytes;
                    self.state =
                        if line.size == 0 { State::Trailers } else { State::ChunkData { left: line.size } };
                }
                State::ChunkData { left } => {
                    return Ok(self.data(input, at, left, |left| {
                        if left == 0 { State::ChunkEnd } else { State::ChunkData { left } }
                    }));
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => return Step::new(at, Event::NeedMore),
                    _ => return Err(HttpError::Chunk),
                },
                State::Trailers => {
                    let room = limits.trailer_bytes.saturating_sub(self.trailers as usize);
                    let Some(line) = trailer_line(rest, room)? else { return Step::new(at, Event::NeedMore) };
                    at += line.bytes;
                    if line.last {
                        self.state = State::Done;
                        return Step::new(at, Event::End);
                    }
                    let bytes = u32::try_from(line.bytes).unwrap_or(u32::MAX);
                    self.trailers = self.trailers.saturating_add(bytes);
                }
                _ => return Step::new(at, Event::NeedMore),
            }
        }
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small() {
        assert!(size_of::<Receiver>() <= 64, "{} bytes", size_of::<Receiver>());
    }

    /// Bytes that were looked at once are not looked at again until the head is complete: were they, this broken line
    /// end would be noticed. Reading everything again for each byte would cost a slow client's head squared.
    #[test]
    fn does_not_look_twice() {
        let (limits, mut head, mut receiver) = (Limits::default(), Head::default(), Receiver::new());
        receiver.advance(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits, &mut head).unwrap();
        let step = receiver.advance(b"GET / HTTP/1.1\n\nHost: a\r\nX", &limits, &mut head).unwrap();
        assert_eq!(step, Step { consumed: 0, event: Event::NeedMore });
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "before the end"))]
    fn next_request_before_the_end_changes_nothing() {
        let (limits, mut head, mut receiver) = (Limits::default(), Head::default(), Receiver::new());
        receiver.advance(b"GET", &limits, &mut head).unwrap();
        receiver.next_request();
        assert!(!receiver.is_between_requests());
    }
}
