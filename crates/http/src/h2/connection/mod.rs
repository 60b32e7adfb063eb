//! The receiving half of a connection: which frame comes next, and what it means.
//!
//! Here is what all frames have in common; what they mean is in `headers` (requests, trailers), `data` (bodies) and `control` (all others).
//! `ahead` says what of it is of no use.
//!
//! Rules of these files:
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
use super::frame::{self, ErrorCode, FrameHead, HEADER_BYTES, LARGEST, flag, kind};
use super::hpack::decode::Decoder;
use super::settings::{DEFAULT_WINDOW, PeerSettings, write_ours};
use super::stream::Streams;
use crate::error::HttpError;
use crate::head::{Field, Head};
use crate::limits::Limits;

mod ahead;
mod control;
mod data;
mod headers;

/// What every client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
    /// A GOAWAY has asked the client for no more requests; what is under way is still taken.
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

    /// Nothing more of this request is shown. Section 8.1.1: what is malformed is reset with an error, after its response.
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
