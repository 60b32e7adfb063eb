//! Header blocks: a request's head, or the trailers behind its body.
//!
//! A block is decoded when all of it has come, in the frame's own bytes where it needs only one. Only fragments of longer ones are kept.

use super::{Block, Connection, Event, Leaving, Outcome};
use crate::error::HttpError;
use crate::h2::fault::Fault;
use crate::h2::flow::Room;
use crate::h2::frame::{self, ErrorCode, FrameHead, HEADER_BYTES, LARGEST, MAX_31, flag, kind, number};
use crate::h2::hpack::decode::Decoded;
use crate::h2::priority::Urgency;
use crate::h2::request::{check_trailers, read_request};
use crate::h2::stream::{Known, Stream};
use crate::head::{Field, Head, Length};
use crate::limits::Limits;

/// Frames without use that a request earns.
const REQUEST_EARNS: usize = 4;

impl Connection {
    /// Section 6.2.
    pub(super) fn headers(
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
    pub(super) fn continuation(
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
        let decoded = self.decode(encoded, most, &mut text, &mut fields, now_ms);
        let outcome = decoded.and_then(|is_whole| {
            if !is_new {
                return self.trailers(block, is_whole, &text, &fields, now_ms);
            }
            self.streams.last = id;
            if !self.may_open(id, now_ms)? {
                return Ok(None);
            }
            self.frames.earn(REQUEST_EARNS);
            let read = if is_whole {
                read_request(&mut text, &fields, block.ends, self.bounds.websockets, limits, head)
            } else {
                Err(HttpError::HeadTooLarge)
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

    /// The fields of a block; whether it is within its bound, `most`.
    ///
    /// Of one that is not, each further `most` costs as much as a reset: a byte can stand for kilobytes, and whoever sends lists that are
    /// too large by far ("HTTP/2 bomb") is not looked at for long.
    fn decode(
        &mut self,
        encoded: &[u8],
        most: usize,
        text: &mut Vec<u8>,
        fields: &mut Vec<Field>,
        now_ms: u64,
    ) -> Result<bool, Fault> {
        let far = self.resets.count(now_ms).saturating_add(1).saturating_mul(most);
        match self.decoder.decode(encoded, most, far, text, fields) {
            Ok(Decoded::Whole) => Ok(true),
            Ok(Decoded::TooLarge(size)) => {
                self.resets.spend((size / most.max(1)).saturating_sub(1));
                Ok(false)
            }
            Ok(Decoded::Endless) => Err(Fault::HeaderLists),
            Err(_) => Err(Fault::Compression),
        }
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
            responded: false,
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
        is_whole: bool,
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
        let checked = match is_whole {
            _ if !block.ends => Err(HttpError::Trailer),
            true => check_trailers(text, fields),
            false => Err(HttpError::TrailerTooLarge),
        };
        stream.remote_done |= block.ends;
        match checked {
            Ok(()) => self.end_of_request(block.stream, now_ms),
            Err(error) => self.refuse(block.stream, error, now_ms),
        }
    }
}
