//! Frames that neither ask nor carry anything: they change what is known of the client, and each draws from a budget.

use super::{Connection, Event, Leaving, Outcome};
use crate::h2::fault::Fault;
use crate::h2::frame::{self, ErrorCode, FrameHead, MAX_31, flag, kind, number};
use crate::h2::priority::urgency;
use crate::h2::stream::Known;

impl Connection {
    /// RFC 9113 section 5.3: deprecated, and checked nevertheless.
    pub(super) fn priority(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
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
    pub(super) fn priority_update(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
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
    pub(super) fn reset_by_client(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
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
    pub(super) fn settings(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
        is_first: bool,
        now_ms: u64,
    ) -> Outcome {
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
    pub(super) fn ping(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
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
    pub(super) fn window_update(&mut self, frame: FrameHead, payload: &[u8], now_ms: u64) -> Outcome {
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
}
