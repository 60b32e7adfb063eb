//! DATA: the body of a request, piece by piece as it comes.
//!
//! All of a frame counts against both windows when its head has come, whatever becomes of its stream; what is thrown away is given back at once, what is
//! shown when the caller has [consumed](Connection::consumed) it.

use super::{Connection, Event, Outcome, State};
use crate::error::HttpError;
use crate::h2::fault::Fault;
use crate::h2::frame::{ErrorCode, FrameHead, HEADER_BYTES, flag};
use crate::h2::stream::Known;
use crate::limits::Limits;

/// Bytes of data that earn one frame without use.
const EARNING: usize = 1024;

/// What becomes of a frame of data.
enum Use {
    Shown,
    /// Nobody wants them any more.
    Skipped,
    /// They break a rule.
    Breaks(ErrorCode),
}

impl Connection {
    /// Section 6.1, up to the data.
    pub(super) fn begin_data(
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
        let shown = match self.use_of(frame.stream, length)? {
            Use::Shown => true,
            Use::Skipped => false,
            Use::Breaks(code) => {
                self.skip_data(frame.stream, left, length);
                return self.break_stream(frame.stream, code, Fault::Closed, now_ms);
            }
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

    /// Whether the data of a frame are wanted; `length` is what they take of the stream's window.
    #[inline]
    fn use_of(&mut self, id: u32, length: u32) -> Result<Use, Fault> {
        let place = match self.streams.know(id) {
            Known::Open(place) => place,
            Known::Idle => return Err(Fault::Frame),
            Known::Closed { early: true } => return Ok(Use::Skipped),
            Known::Closed { early: false } | Known::Skipped => return Err(Fault::Closed),
        };
        let Some(stream) = self.streams.list.get_mut(place) else { return Err(Fault::Frame) };
        match (stream.is_reset, stream.remote_done) {
            (true, true) => Err(Fault::Closed),
            (true, false) => Ok(Use::Skipped),
            (false, true) => Ok(Use::Breaks(ErrorCode::StreamClosed)),
            (false, false) if !stream.room.take(length) => Ok(Use::Breaks(ErrorCode::FlowControlError)),
            (false, false) if stream.refused.is_some() => Ok(Use::Skipped),
            (false, false) => Ok(Use::Shown),
        }
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
    pub(super) fn body(&mut self, at: usize, rest: &[u8], now_ms: u64, taken: &mut usize) -> Outcome {
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
    pub(super) fn end_of_request(&mut self, id: u32, now_ms: u64) -> Outcome {
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
}
