//! The receiving half of a connection: which frame comes next, and what it means.
//!
//! Rules of this file:
//! - The caller shows all bytes that are not consumed yet, and drops `consumed` of them after it has used the event. Only fragments of a
//!   header block are kept here.
//! - `NeedMore` means that nothing more can happen with these bytes; bytes may have been consumed nevertheless.
//! - What has to be said to the client (acknowledgements, resets, windows) is appended to the output, which the caller sends before
//!   anything else, and in this order.
//! - A [`Fault`] is final: GOAWAY is in the output, and nothing after it is looked at.
//!
//! How large the caller's buffer must be able to grow: a frame, 16 KiB and nine bytes.

use std::ops::Range;

use super::bounds::Bounds;
use super::budget::Budget;
use super::fault::Fault;
use super::flow::Room;
use super::frame::{self, ErrorCode, FrameHead, HEADER_BYTES, LARGEST, MAX_31, flag, kind, number};
use super::hpack::decode::{Decoded, Decoder};
use super::priority::{Urgency, urgency};
use super::request::{check_trailers, read_request};
use super::settings::{DEFAULT_WINDOW, PeerSettings, write_ours};
use super::stream::{Known, Stream, Streams};
use crate::error::HttpError;
use crate::head::{Field, Head, Length};
use crate::limits::Limits;

/// What every client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of data that earn one frame without use.
const EARNING: usize = 1024;
/// Frames without use that a request earns.
const REQUEST_EARNS: usize = 4;
/// The most updates of windows that are remembered as explained: what is on its way to a client can be megabytes in buffers of sockets, and some
/// clients say of each piece that they read, for the stream and for the connection, that there is room again.
pub(crate) const MOST_UPDATES: u32 = 64 * 1024;
/// Bytes of data sent that explain one update.
pub(crate) const UPDATE_BYTES: usize = 512;

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
    /// A request has begun. Its head is in the caller's [`Head`]; the spans refer to [`Connection::text`].
    Head {
        /// Which stream.
        stream: u32,
        /// There is no body.
        ended: bool,
    },
    /// Data of a request's body: this range of the input. It has to be [consumed](Connection::consumed) some time.
    Body {
        /// Which stream.
        stream: u32,
        /// Where in the input.
        range: Range<usize>,
    },
    /// A request's body is complete.
    End {
        /// Which stream.
        stream: u32,
    },
    /// The head or the body of a request breaks a rule or a limit. It can still be answered; what comes of it is not shown.
    Refused {
        /// Which stream.
        stream: u32,
        /// Which rule.
        error: HttpError,
    },
    /// The client does not want the response, or has broken off the request.
    Reset {
        /// Which stream.
        stream: u32,
    },
    /// A window has opened: [`Connection::next_sender`] may have another answer.
    Windows,
    /// The client will ask for nothing more.
    GoingAway,
    /// The connection is given up.
    Failed(Fault),
}

/// Where in the input we are.
#[derive(Debug)]
enum State {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// Before the first frame, which must be SETTINGS.
    FirstFrame,
    Frames,
    /// Inside of a DATA frame.
    Data {
        stream: u32,
        left: usize,
        padding: usize,
        ends: bool,
    },
    /// Inside of a frame that nobody wants.
    Skip(usize),
    Failed(Fault),
}

/// A header block that has begun.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends: bool,
    continuations: u32,
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// The client has been told to ask no more; what is under way is still taken.
    Announced,
    /// Nothing beyond this stream is taken.
    After(u32),
}

/// One client's connection; see the module's head. The sending half is in `sending`.
pub struct Connection {
    pub(crate) bounds: Bounds,
    state: State,
    block: Option<Block>,
    /// What has come of the header block.
    encoded: Vec<u8>,
    text: Vec<u8>,
    fields: Vec<Field>,
    decoder: Decoder,
    pub(crate) streams: Streams,
    pub(crate) peer: PeerSettings,
    /// What we may send on all streams together.
    pub(crate) window: i64,
    room: Room,
    resets: Budget,
    pub(crate) frames: Budget,
    /// WINDOW_UPDATE frames that the data sent explains, beside the budget: they come when the client has read, all at once.
    pub(crate) updates: u32,
    pub(crate) leaving: Leaving,
    pub(crate) out: Vec<u8>,
    /// Data frames sent.
    pub(crate) turns: u64,
    refused: u64,
    caused: u64,
}

type Outcome = Result<Option<Event>, Fault>;

impl Connection {
    /// A connection whose first byte has not come. Our SETTINGS are in the output at once.
    pub fn new(bounds: Bounds, limits: &Limits, now_ms: u64) -> Self {
        let mut out = Vec::new();
        write_ours(&mut out, &bounds, limits);
        let mut room = Room::new(DEFAULT_WINDOW, bounds.connection_window.max(DEFAULT_WINDOW));
        if let Some(increment) = room.give(0) {
            frame::write_number(&mut out, kind::WINDOW_UPDATE, 0, increment);
        }
        Connection {
            state: State::Preface(0),
            block: None,
            encoded: Vec::new(),
            text: Vec::new(),
            fields: Vec::new(),
            decoder: Decoder::new(),
            streams: Streams::default(),
            peer: PeerSettings::new(),
            window: i64::from(DEFAULT_WINDOW),
            room,
            resets: Budget::new(bounds.resets, now_ms),
            frames: Budget::new(bounds.control_frames, now_ms),
            updates: 0,
            leaving: Leaving::No,
            out,
            turns: 0,
            refused: 0,
            caused: 0,
            bounds,
        }
    }

    /// What the spans of the latest head refer to.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The text for a while, so that it can be read while the connection is used.
    pub fn take_text(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    /// Back from [`Connection::take_text`].
    pub fn give_text(&mut self, text: Vec<u8>) {
        self.text = text;
    }

    /// Streams refused for want of room, and those reset or refused for the client's faults, since the last time.
    pub fn take_tally(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.refused), std::mem::take(&mut self.caused))
    }

    /// Whether nothing is under way: no stream, and no part of a frame or header block that would open one.
    pub fn is_idle(&self) -> bool {
        self.streams.list.is_empty() && self.block.is_none()
    }

    /// Whether a header block has begun and not ended: its clock runs.
    pub fn is_in_head(&self) -> bool {
        self.block.is_some() || matches!(self.state, State::Preface(_) | State::FirstFrame)
    }

    /// Streams that count.
    pub fn streams(&self) -> usize {
        self.streams.list.len()
    }

    /// Looks at `input`, all bytes received and not yet consumed, and says what comes next. `head` is filled when the event is
    /// [`Event::Head`].
    pub fn advance(&mut self, input: &[u8], limits: &Limits, now_ms: u64, head: &mut Head) -> Step {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let mut taken = 0;
            // The end of a request takes no bytes.
            let moves_on = matches!(self.state, State::Data { left: 0, .. });
            let outcome = match self.state {
                State::Failed(fault) => return Step { consumed: input.len(), event: Event::Failed(fault) },
                State::Preface(seen) => self.preface(seen, rest, &mut taken),
                State::Skip(left) => {
                    taken = left.min(rest.len());
                    self.state = if taken == left { State::Frames } else { State::Skip(left - taken) };
                    Ok(None)
                }
                State::Data { .. } => self.body(at, rest, now_ms, &mut taken),
                State::FirstFrame | State::Frames => self.frame(rest, limits, now_ms, head, &mut taken),
            };
            at += taken;
            match outcome {
                Ok(Some(event)) => return Step { consumed: at, event },
                Ok(None) if taken == 0 && !moves_on => return Step { consumed: at, event: Event::NeedMore },
                Ok(None) => {}
                Err(fault) => {
                    self.fail(fault);
                    return Step { consumed: input.len(), event: Event::Failed(fault) };
                }
            }
        }
    }

    /// Gives the connection up, and says so to the client.
    pub fn fail(&mut self, fault: Fault) {
        if !matches!(self.state, State::Failed(_)) {
            self.write_goaway(self.streams.last, fault.code(), fault.detail());
            self.state = State::Failed(fault);
        }
    }

    fn preface(&mut self, seen: usize, rest: &[u8], taken: &mut usize) -> Outcome {
        let wanted = PREFACE.get(seen..).unwrap_or_default();
        *taken = wanted.len().min(rest.len());
        if rest.get(..*taken) != wanted.get(..*taken) {
            return Err(Fault::Preface);
        }
        self.state = if *taken == wanted.len() { State::FirstFrame } else { State::Preface(seen + *taken) };
        Ok(None)
    }

    /// The next frame, if all of it that is needed has come. Zero bytes are taken otherwise.
    fn frame(
        &mut self,
        rest: &[u8],
        limits: &Limits,
        now_ms: u64,
        head: &mut Head,
        taken: &mut usize,
    ) -> Outcome {
        let Some(frame) = FrameHead::parse(rest) else { return Ok(None) };
        let is_first = matches!(self.state, State::FirstFrame);
        if is_first && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(Fault::Preface);
        }
        if frame.length > LARGEST {
            return Err(Fault::FrameSize);
        }
        // Section 6.10: nothing may come between the parts of a header block.
        let in_block = self
            .block
            .as_ref()
            .is_none_or(|block| frame.kind == kind::CONTINUATION && frame.stream == block.stream);
        if !in_block {
            return Err(Fault::Frame);
        }
        if frame.kind == kind::DATA {
            return self.begin_data(frame, rest, limits, now_ms, taken);
        }
        if frame.kind > kind::CONTINUATION && frame.kind != kind::PRIORITY_UPDATE {
            self.afford(Fault::OtherFrames, now_ms)?;
            *taken = HEADER_BYTES;
            self.state = if frame.length == 0 { State::Frames } else { State::Skip(frame.length) };
            return Ok(None);
        }
        let Some(payload) = rest.get(HEADER_BYTES..HEADER_BYTES + frame.length) else { return Ok(None) };
        *taken = HEADER_BYTES + frame.length;
        self.state = State::Frames;
        match frame.kind {
            kind::HEADERS => self.headers(frame, payload, limits, now_ms, head),
            kind::CONTINUATION => self.continuation(frame, payload, limits, now_ms, head),
            kind::PRIORITY => self.priority(frame, payload, now_ms),
            kind::RST_STREAM => self.reset_by_client(frame, payload, now_ms),
            kind::SETTINGS => self.settings(frame, payload, is_first, now_ms),
            kind::PING => self.ping(frame, payload, now_ms),
            kind::GOAWAY if frame.stream != 0 => Err(Fault::Frame),
            kind::GOAWAY if frame.length < 8 => Err(Fault::FrameSize),
            kind::GOAWAY => {
                self.afford(Fault::OtherFrames, now_ms)?;
                Ok(Some(Event::GoingAway))
            }
            kind::WINDOW_UPDATE => self.window_update(frame, payload, now_ms),
            kind::PRIORITY_UPDATE => self.priority_update(frame, payload, now_ms),
            // Section 8.4: a client cannot push.
            _ => Err(Fault::Frame),
        }
    }

    /// Something came that is of no use by itself.
    fn afford(&mut self, fault: Fault, now_ms: u64) -> Result<(), Fault> {
        if self.frames.take(now_ms) { Ok(()) } else { Err(fault) }
    }

    /// Section 6.1, up to the data.
    fn begin_data(
        &mut self,
        frame: FrameHead,
        rest: &[u8],
        limits: &Limits,
        now_ms: u64,
        taken: &mut usize,
    ) -> Outcome {
        let padded = frame.has(flag::PADDED);
        let padding = match rest.get(HEADER_BYTES) {
            _ if !padded => 0,
            _ if frame.length == 0 => return Err(Fault::FrameSize),
            None => return Ok(None),
            Some(&padding) if usize::from(padding) >= frame.length => return Err(Fault::Padding),
            Some(&padding) => usize::from(padding),
        };
        if frame.stream == 0 {
            return Err(Fault::Frame);
        }
        *taken = HEADER_BYTES + usize::from(padded);
        let length = frame.length as u32;
        // Section 6.9.1: all of the frame counts, whatever becomes of its stream.
        if !self.room.take(length) {
            return Err(Fault::Window);
        }
        let left = frame.length - usize::from(padded);
        let ends = frame.has(flag::END_STREAM);
        let data = left - padding;
        let shown = match self.streams.know(frame.stream) {
            Known::Idle => return Err(Fault::Frame),
            Known::Open(place) => {
                let stream = self.streams.list.get_mut(place);
                let Some(stream) = stream else { return Err(Fault::Frame) };
                let code = if stream.is_reset {
                    if stream.remote_done {
                        return Err(Fault::Closed);
                    }
                    None
                } else if stream.remote_done {
                    Some(ErrorCode::StreamClosed)
                } else if stream.room.take(length) {
                    None
                } else {
                    Some(ErrorCode::FlowControlError)
                };
                let is_wanted = stream.refused.is_none() && !stream.is_reset;
                if let Some(code) = code {
                    self.skip_data(frame.stream, left, length);
                    return self.break_stream(frame.stream, code, Fault::Closed, now_ms);
                }
                is_wanted
            }
            Known::Closed { early: true } => false,
            Known::Closed { early: false } | Known::Skipped => return Err(Fault::Closed),
        };
        if data == 0 && !ends || !shown {
            self.afford(if shown { Fault::EmptyFrames } else { Fault::OtherFrames }, now_ms)?;
        }
        self.frames.earn(data / EARNING);
        if !shown {
            if ends && let Some(stream) = self.streams.get(frame.stream) {
                stream.remote_done = true;
            }
            self.skip_data(frame.stream, left, length);
            return Ok(None);
        }
        if let Some(error) = self.count_body(frame.stream, data, limits) {
            self.skip_data(frame.stream, left, length);
            return self.refuse(frame.stream, error, now_ms);
        }
        // Padding is consumed as it comes.
        self.give_room(frame.stream, length - data as u32);
        self.state = match data {
            0 if !ends => Self::behind(padding),
            left => State::Data { stream: frame.stream, left, padding, ends },
        };
        Ok(None)
    }

    /// Adds to what has come of a body, by whole frames, and says what is wrong with the sum.
    fn count_body(&mut self, id: u32, data: usize, limits: &Limits) -> Option<HttpError> {
        let stream = self.streams.get(id)?;
        stream.body += data as u64;
        match stream.length {
            Some(length) if stream.body > length => Some(HttpError::LengthMismatch),
            None if stream.body > limits.body_bytes && !stream.is_tunnel => Some(HttpError::BodyTooLarge),
            _ => None,
        }
    }

    /// The rest of a frame of which nothing is shown.
    fn skip_data(&mut self, stream: u32, left: usize, length: u32) {
        self.give_room(stream, length);
        self.state = if left == 0 { State::Frames } else { State::Skip(left) };
    }

    /// Inside of a DATA frame: as much as has come.
    fn body(&mut self, at: usize, rest: &[u8], now_ms: u64, taken: &mut usize) -> Outcome {
        let State::Data { stream: id, left, padding, ends } = self.state else { return Ok(None) };
        if left > 0 {
            let count = left.min(rest.len());
            if count == 0 {
                return Ok(None);
            }
            *taken = count;
            // The end of the request is another event.
            self.state = match left - count {
                0 if !ends => Self::behind(padding),
                left => State::Data { stream: id, left, padding, ends },
            };
            let stream = self.streams.get(id);
            if stream.is_none_or(|stream| stream.is_reset || stream.refused.is_some()) {
                // It was given up since the frame began.
                self.give_room(id, count as u32);
                return Ok(None);
            }
            return Ok(Some(Event::Body { stream: id, range: at..at + count }));
        }
        self.state = Self::behind(padding);
        self.end_of_request(id, now_ms)
    }

    /// The state behind the data of a frame: its padding is of no use.
    fn behind(padding: usize) -> State {
        if padding == 0 { State::Frames } else { State::Skip(padding) }
    }

    /// Its end has come.
    fn end_of_request(&mut self, id: u32, now_ms: u64) -> Outcome {
        let Some(stream) = self.streams.get(id) else { return Ok(None) };
        stream.remote_done = true;
        if stream.is_reset || stream.refused.is_some() {
            return Ok(None);
        }
        if stream.length.is_some_and(|length| length != stream.body) {
            return self.refuse(id, HttpError::LengthMismatch, now_ms);
        }
        Ok(Some(Event::End { stream: id }))
    }

    /// Nothing more of this request is shown. Section 8.1.1: what is malformed is reset with an error, after its answer.
    fn refuse(&mut self, id: u32, error: HttpError, now_ms: u64) -> Outcome {
        // HTTP/1 pays for it with the connection.
        self.caused += 1;
        if !self.resets.take(now_ms) {
            return Err(Fault::CausedResets);
        }
        if let Some(stream) = self.streams.get(id) {
            let malformed = error.status() == 400;
            stream.refused = Some(if malformed { ErrorCode::ProtocolError } else { ErrorCode::NoError });
        }
        Ok(Some(Event::Refused { stream: id, error }))
    }

    /// Section 6.2.
    fn headers(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
        limits: &Limits,
        now_ms: u64,
        head: &mut Head,
    ) -> Outcome {
        if frame.stream.is_multiple_of(2) {
            return Err(Fault::Frame);
        }
        let mut fragment = payload;
        if frame.has(flag::PADDED) {
            let (&padding, rest) = payload.split_first().ok_or(Fault::FrameSize)?;
            let length = rest.len().checked_sub(usize::from(padding)).ok_or(Fault::Padding)?;
            fragment = rest.get(..length).unwrap_or_default();
        }
        if frame.has(flag::PRIORITY) {
            let (priority, rest) = fragment.split_at_checked(5).ok_or(Fault::FrameSize)?;
            // RFC 9113 section 5.3.2 has these fields ignored; RFC 7540 had this one case.
            if number(priority) & MAX_31 == frame.stream {
                return Err(Fault::Dependency);
            }
            fragment = rest;
        }
        match self.streams.know(frame.stream) {
            Known::Idle => {}
            Known::Open(place) => {
                let stream = self.streams.list.get(place);
                if stream.is_some_and(|stream| stream.remote_done) {
                    return Err(Fault::Closed);
                }
                self.afford(Fault::OtherFrames, now_ms)?;
            }
            Known::Closed { early: true } => self.afford(Fault::OtherFrames, now_ms)?,
            Known::Closed { early: false } => return Err(Fault::Closed),
            Known::Skipped => return Err(Fault::Frame),
        }
        self.block =
            Some(Block { stream: frame.stream, ends: frame.has(flag::END_STREAM), continuations: 0 });
        self.encoded.clear();
        self.fragment(frame, fragment, limits, now_ms, head)
    }

    /// Section 6.10.
    fn continuation(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
        limits: &Limits,
        now_ms: u64,
        head: &mut Head,
    ) -> Outcome {
        let Some(block) = &mut self.block else { return Err(Fault::Frame) };
        block.continuations += 1;
        if block.continuations > self.bounds.continuations {
            return Err(Fault::HeaderBlock);
        }
        self.fragment(frame, payload, limits, now_ms, head)
    }

    fn fragment(
        &mut self,
        frame: FrameHead,
        fragment: &[u8],
        limits: &Limits,
        now_ms: u64,
        head: &mut Head,
    ) -> Outcome {
        // A list that is too large is answered with 431, if it is not too large by far.
        if self.encoded.len() + fragment.len() > limits.head_bytes.saturating_mul(2).saturating_add(LARGEST) {
            return Err(Fault::HeaderBlock);
        }
        if !frame.has(flag::END_HEADERS) {
            self.encoded.extend_from_slice(fragment);
            return Ok(None);
        }
        let Some(block) = self.block.take() else { return Err(Fault::Frame) };
        if self.encoded.is_empty() {
            return self.end_of_block(&block, fragment, limits, now_ms, head);
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.extend_from_slice(fragment);
        let outcome = self.end_of_block(&block, &encoded, limits, now_ms, head);
        // One connection in a thousand has heads of several frames; the others keep no buffer for them.
        encoded.clear();
        if encoded.capacity() <= LARGEST {
            self.encoded = encoded;
        }
        outcome
    }

    /// All of a header block is there.
    fn end_of_block(
        &mut self,
        block: &Block,
        encoded: &[u8],
        limits: &Limits,
        now_ms: u64,
        head: &mut Head,
    ) -> Outcome {
        let id = block.stream;
        let is_new = self.streams.know(id) == Known::Idle;
        let most = if is_new { limits.head_bytes } else { limits.trailer_bytes };
        let mut text = std::mem::take(&mut self.text);
        let mut fields = std::mem::take(&mut self.fields);
        let decoded =
            self.decoder.decode(encoded, most, &mut text, &mut fields).map_err(|_| Fault::Compression);
        let outcome = decoded.and_then(|decoded| {
            if !is_new {
                return self.trailers(block, decoded, &text, &fields, now_ms);
            }
            self.streams.last = id;
            if !self.may_open(id, now_ms)? {
                return Ok(None);
            }
            self.frames.earn(REQUEST_EARNS);
            let read = match decoded {
                Decoded::TooLarge => Err(HttpError::HeadTooLarge),
                Decoded::Whole => {
                    read_request(&mut text, &fields, block.ends, self.bounds.websockets, limits, head)
                }
            };
            head.bytes = encoded.len() + HEADER_BYTES;
            let urgency = read.unwrap_or_default();
            let length = match head.length {
                Length::Exact(length) if read.is_ok() => Some(length),
                _ => None,
            };
            let is_tunnel = read.is_ok() && head.asks_for_websocket;
            self.open(id, block.ends, urgency, length, is_tunnel);
            match read {
                Ok(_) => Ok(Some(Event::Head { stream: id, ended: block.ends })),
                Err(error) => self.refuse(id, error, now_ms),
            }
        });
        self.text = text;
        self.fields = fields;
        outcome
    }

    /// Whether one more stream may begin. If not, it is refused, or passed over in silence.
    fn may_open(&mut self, id: u32, now_ms: u64) -> Result<bool, Fault> {
        if let Leaving::After(last) = self.leaving
            && id > last
        {
            // Section 6.8: the client knows that nothing becomes of it.
            self.streams.remember(id, true);
            self.afford(Fault::OtherFrames, now_ms)?;
            return Ok(false);
        }
        if self.streams.list.len() >= self.bounds.streams as usize {
            if !self.resets.take(now_ms) {
                return Err(Fault::CausedResets);
            }
            self.refused += 1;
            frame::write_number(&mut self.out, kind::RST_STREAM, id, ErrorCode::RefusedStream as u32);
            self.streams.remember(id, true);
            return Ok(false);
        }
        Ok(true)
    }

    fn open(&mut self, id: u32, ended: bool, urgency: Urgency, length: Option<u64>, is_tunnel: bool) {
        let window = self.bounds.stream_window;
        self.streams.list.push(Stream {
            id,
            window: i64::from(self.peer.initial_window),
            room: Room::new(window, window),
            remote_done: ended,
            local_done: false,
            is_reset: false,
            refused: None,
            answered: false,
            waits: false,
            urgency,
            turn: 0,
            body: 0,
            length,
            is_tunnel,
        });
    }

    /// Section 8.1: a second header block ends the request.
    fn trailers(
        &mut self,
        block: &Block,
        decoded: Decoded,
        text: &[u8],
        fields: &[Field],
        now_ms: u64,
    ) -> Outcome {
        let Some(stream) = self.streams.get(block.stream) else { return Ok(None) };
        if stream.is_reset || stream.refused.is_some() {
            stream.remote_done |= block.ends;
            return Ok(None);
        }
        if stream.is_tunnel {
            // Section 8.5: nothing but data belongs there.
            return self.break_stream(block.stream, ErrorCode::ProtocolError, Fault::Frame, now_ms);
        }
        let checked = match decoded {
            _ if !block.ends => Err(HttpError::Trailer),
            Decoded::TooLarge => Err(HttpError::TrailerTooLarge),
            Decoded::Whole => check_trailers(text, fields),
        };
        stream.remote_done |= block.ends;
        match checked {
            Ok(()) => self.end_of_request(block.stream, now_ms),
            Err(error) => self.refuse(block.stream, error, now_ms),
        }
    }

    /// RFC 9113 section 5.3: deprecated, and checked nevertheless.
    fn priority(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
        match frame.stream {
            0 => Err(Fault::Frame),
            id if frame.length != 5 => {
                self.break_stream(id, ErrorCode::FrameSizeError, Fault::FrameSize, now_ms)
            }
            id if number(payload) & MAX_31 == id => {
                self.break_stream(id, ErrorCode::ProtocolError, Fault::Dependency, now_ms)
            }
            _ => self.afford(Fault::OtherFrames, now_ms).map(|()| None),
        }
    }

    /// RFC 9218 section 7.1.
    fn priority_update(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
        if frame.stream != 0 {
            return Err(Fault::Frame);
        }
        let (id, value) = payload.split_at_checked(4).ok_or(Fault::FrameSize)?;
        let id = number(id) & MAX_31;
        // Nothing has the number 0, and nothing is pushed.
        if id.is_multiple_of(2) {
            return Err(Fault::Frame);
        }
        self.afford(Fault::OtherFrames, now_ms)?;
        if let Some(stream) = self.streams.get(id) {
            stream.urgency = urgency(value);
        }
        Ok(None)
    }

    /// Section 6.4.
    fn reset_by_client(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
        if frame.stream == 0 {
            return Err(Fault::Frame);
        }
        if payload.len() != 4 {
            return Err(Fault::FrameSize);
        }
        let id = frame.stream;
        let Known::Open(_) = self.streams.know(id) else {
            if self.streams.know(id) == Known::Idle {
                return Err(Fault::Frame);
            }
            return self.afford(Fault::OtherFrames, now_ms).map(|()| None);
        };
        // What was answered cost what it should: only a response that nobody takes is lost work.
        if !self.resets.take(now_ms) {
            return Err(Fault::Resets);
        }
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_reset) else { return Ok(None) };
        stream.is_reset = true;
        stream.remote_done = true;
        stream.local_done = true;
        stream.waits = false;
        Ok(Some(Event::Reset { stream: id }))
    }

    /// Section 6.5.
    fn settings(&mut self, frame: FrameHead, payload: &[u8], is_first: bool, now_ms: u64) -> Outcome {
        if frame.stream != 0 {
            return Err(Fault::Frame);
        }
        let is_ack = frame.has(flag::ACK);
        if (is_ack && !payload.is_empty()) || !payload.len().is_multiple_of(6) {
            return Err(Fault::FrameSize);
        }
        if !is_first {
            self.afford(Fault::Settings, now_ms)?;
        }
        if is_ack {
            return Ok(None);
        }
        let before = i64::from(self.peer.initial_window);
        self.peer.take(payload)?;
        let change = i64::from(self.peer.initial_window) - before;
        if change != 0 {
            // Section 6.9.2: it holds for the streams that are open, too.
            for stream in &mut self.streams.list {
                stream.window += change;
                if stream.window > i64::from(MAX_31) {
                    return Err(Fault::Window);
                }
            }
        }
        frame::write(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(Some(Event::Windows))
    }

    /// Section 6.7.
    fn ping(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
        if frame.stream != 0 {
            return Err(Fault::Frame);
        }
        if payload.len() != 8 {
            return Err(Fault::FrameSize);
        }
        self.afford(Fault::Pings, now_ms)?;
        if !frame.has(flag::ACK) {
            frame::write(&mut self.out, kind::PING, flag::ACK, 0, payload);
        } else if self.leaving == Leaving::Announced {
            // It has seen the announcement, and what it sent before that has come.
            self.leave();
        }
        Ok(None)
    }

    /// Section 6.9.
    fn window_update(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
        if payload.len() != 4 {
            return Err(Fault::FrameSize);
        }
        let increment = i64::from(number(payload) & MAX_31);
        match self.updates.checked_sub(1) {
            Some(left) => self.updates = left,
            None => self.afford(Fault::WindowUpdates, now_ms)?,
        }
        if frame.stream == 0 {
            if increment == 0 {
                return Err(Fault::Increment);
            }
            self.window += increment;
            return if self.window > i64::from(MAX_31) {
                Err(Fault::Window)
            } else {
                Ok(Some(Event::Windows))
            };
        }
        match self.streams.know(frame.stream) {
            Known::Idle => Err(Fault::Frame),
            _ if increment == 0 => {
                self.break_stream(frame.stream, ErrorCode::ProtocolError, Fault::Increment, now_ms)
            }
            Known::Open(place) => {
                let Some(stream) = self.streams.list.get_mut(place).filter(|stream| !stream.is_reset) else {
                    return Ok(None);
                };
                stream.window += increment;
                if stream.window <= i64::from(MAX_31) {
                    return Ok(Some(Event::Windows));
                }
                self.break_stream(frame.stream, ErrorCode::FlowControlError, Fault::Window, now_ms)
            }
            Known::Closed { .. } | Known::Skipped => Ok(None),
        }
    }

    /// The client has broken a rule on one stream. Where there is none to reset (it has not begun, or is over), the connection bears it.
    fn break_stream(&mut self, id: u32, code: ErrorCode, otherwise: Fault, now_ms: u64) -> Outcome {
        if self.streams.get(id).is_none_or(|stream| stream.is_reset) {
            return Err(otherwise);
        }
        self.caused += 1;
        if !self.resets.take(now_ms) {
            return Err(Fault::CausedResets);
        }
        self.reset(id, code);
        Ok(Some(Event::Reset { stream: id }))
    }

    /// `count` bytes of a stream's body are consumed: the client may send as many more.
    pub fn consumed(&mut self, stream: u32, count: usize) {
        self.give_room(stream, u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn give_room(&mut self, id: u32, count: u32) {
        if count == 0 {
            return;
        }
        if let Some(increment) = self.room.give(count) {
            frame::write_number(&mut self.out, kind::WINDOW_UPDATE, 0, increment);
        }
        if let Some(stream) =
            self.streams.get(id).filter(|stream| !stream.remote_done && stream.refused.is_none())
            && let Some(increment) = stream.room.give(count)
        {
            frame::write_number(&mut self.out, kind::WINDOW_UPDATE, id, increment);
        }
    }
}
