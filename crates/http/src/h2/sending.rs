//! The sending half: heads, data, ends and resets of streams, and the end of the connection.
//!
//! What is to be sent is appended to the output. Data is not copied through here: [`Connection::data`] writes the head of a frame, and the
//! caller puts the bytes behind it. How much may go is asked with [`Connection::may_send`]; whose turn it is, with
//! [`Connection::next_sender`].

use super::connection::{Connection, Leaving, MOST_UPDATES, UPDATE_BYTES};
use super::frame::{self, ErrorCode, MAX_31, flag, kind};
use super::hpack::encode::NO_TABLE;
use super::response::encode_head;
use crate::error::ResponseError;
use crate::response::{Coding, Encoded, ResponseContext};

/// What a PING says that is sent with the announcement of the end. What an acknowledgement says is not looked at: nothing else is asked.
const LEAVING: [u8; 8] = *b"leaving!";

impl Connection {
    /// What is to be sent before anything else; the caller empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How much of it there is.
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Sends the head of a response, an interim one with a status below 200. Without a body the stream is ended with it.
    ///
    /// Of a stream that is reset nothing is sent, and the head is checked nevertheless.
    pub fn send_head<'f>(
        &mut self,
        stream: u32,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        context: &ResponseContext<'_>,
    ) -> Result<Encoded, ResponseError> {
        let start = self.out.len();
        // Its length is known afterwards.
        frame::write_head(&mut self.out, 0, kind::HEADERS, 0, stream);
        let block = self.out.len();
        if self.peer.table_changed {
            self.out.push(NO_TABLE);
        }
        let encoded = match encode_head(&mut self.out, status, fields, context) {
            Ok(encoded) => encoded,
            Err(error) => {
                self.out.truncate(start);
                return Err(error);
            }
        };
        let is_final = status >= 200;
        let ends = is_final && matches!(encoded.coding, Coding::None | Coding::Length(0));
        let Some(entry) = self.streams.get(stream).filter(|entry| !entry.local_done && !entry.responded)
        else {
            self.out.truncate(start);
            return Ok(encoded);
        };
        entry.responded |= is_final;
        entry.local_done |= ends;
        self.peer.table_changed = false;
        self.finish_head(start, block, stream, if ends { flag::END_STREAM } else { 0 });
        Ok(encoded)
    }

    /// Writes length and flags of a head, and cuts what is larger than a frame may be.
    fn finish_head(&mut self, start: usize, block: usize, stream: u32, ends: u8) {
        let length = self.out.len() - block;
        if length <= self.peer.largest {
            let mut head = Vec::with_capacity(frame::HEADER_BYTES);
            frame::write_head(&mut head, length, kind::HEADERS, ends | flag::END_HEADERS, stream);
            if let Some(place) = self.out.get_mut(start..block) {
                place.copy_from_slice(&head);
            }
            return;
        }
        let whole = self.out.split_off(block);
        self.out.truncate(start);
        let mut pieces = whole.chunks(self.peer.largest).peekable();
        let mut next = (kind::HEADERS, ends);
        while let Some(piece) = pieces.next() {
            let (kind, flags) = next;
            let end = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            frame::write(&mut self.out, kind, flags | end, stream, piece);
            next = (kind::CONTINUATION, 0);
        }
    }

    /// How many bytes of data may go in one frame now.
    pub fn may_send(&mut self, stream: u32) -> usize {
        let (window, largest) = (self.window, self.peer.largest);
        let Some(entry) = self.streams.get(stream).filter(|entry| !entry.local_done) else { return 0 };
        usize::try_from(entry.window.min(window)).unwrap_or(0).min(largest)
    }

    /// The head of a frame with `count` bytes of data, which the caller puts behind the output. `count` is at most what
    /// [`Connection::may_send`] says; `ends` ends the stream.
    pub fn data(&mut self, stream: u32, count: usize, ends: bool) {
        debug_assert!(count <= self.may_send(stream), "more data than may be sent");
        self.turns += 1;
        let turn = self.turns;
        let Some(entry) = self.streams.get(stream).filter(|entry| !entry.local_done) else { return };
        entry.window -= count as i64;
        entry.local_done = ends;
        entry.turn = turn;
        self.window -= count as i64;
        // A frame that is small because the application says little is acknowledged like any other (server-sent events); one that is
        // small because the window is explains nothing, or a window opened byte by byte would pay for itself.
        let whole = if entry.window > 0 && self.window > 0 { 2 } else { 0 };
        let explained = u32::try_from(count / UPDATE_BYTES).unwrap_or(u32::MAX).saturating_add(whole);
        self.updates = self.updates.saturating_add(explained).min(MOST_UPDATES);
        self.frames.earn(count / UPDATE_BYTES);
        frame::write_head(&mut self.out, count, kind::DATA, if ends { flag::END_STREAM } else { 0 }, stream);
    }

    /// Says whether a stream has something to send.
    pub fn set_waiting(&mut self, stream: u32, waits: bool) {
        if let Some(entry) = self.streams.get(stream) {
            entry.waits = waits && !entry.local_done;
        }
    }

    /// The stream that is to send next, of those that wait and may.
    pub fn next_sender(&self) -> Option<u32> {
        if self.window > 0 { self.streams.next_sender() } else { None }
    }

    /// Whether this stream waits for nothing but the client, which keeps its window or the connection's closed.
    pub fn is_stalled(&self, stream: u32) -> bool {
        let entry = self.streams.list.iter().find(|entry| entry.id == stream);
        entry.is_some_and(|entry| entry.waits && (entry.window <= 0 || self.window <= 0))
    }

    /// Ends a stream without data, if it has not ended.
    pub fn end(&mut self, stream: u32) {
        if let Some(entry) = self.streams.get(stream).filter(|entry| !entry.local_done) {
            entry.local_done = true;
            frame::write_head(&mut self.out, 0, kind::DATA, flag::END_STREAM, stream);
        }
    }

    /// Breaks a stream off. The client may do the same at the same time; neither minds.
    pub fn reset(&mut self, stream: u32, code: ErrorCode) {
        if let Some(entry) = self.streams.get(stream).filter(|entry| !entry.is_reset) {
            entry.is_reset = true;
            entry.local_done = true;
            entry.waits = false;
            frame::write_number(&mut self.out, kind::RST_STREAM, stream, code as u32);
        }
    }

    /// The exchange behind a stream is over: it counts no more. What is not ended by then is broken off.
    pub fn release(&mut self, stream: u32) {
        let Some(entry) = self.streams.get(stream) else { return };
        if !entry.is_reset {
            let code = match (entry.local_done, entry.remote_done, entry.refused) {
                (false, _, _) => Some(ErrorCode::InternalError),
                // Section 8.1.1, and 8.1: a response that needs no more of the request.
                (true, _, Some(ErrorCode::ProtocolError)) => Some(ErrorCode::ProtocolError),
                (true, false, _) => Some(ErrorCode::NoError),
                (true, true, _) => None,
            };
            if let Some(code) = code {
                self.reset(stream, code);
            }
        }
        self.streams.remove(stream);
    }

    /// The connection is to end in peace (section 6.8): a GOAWAY asks the client for no more requests, and whatever it has sent until it knows is still
    /// answered. Its acknowledgement, or [`Connection::leave`], fixes the last stream.
    pub fn announce_leaving(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Announced;
            self.write_goaway(MAX_31, ErrorCode::NoError, "");
            frame::write(&mut self.out, kind::PING, 0, 0, &LEAVING);
        }
    }

    /// No stream beyond those that have begun is taken.
    pub fn leave(&mut self) {
        if !matches!(self.leaving, Leaving::After(_)) {
            self.leaving = Leaving::After(self.streams.last);
            self.write_goaway(self.streams.last, ErrorCode::NoError, "");
        }
    }

    /// Whether it has left, and nothing is under way any more.
    pub fn has_left(&self) -> bool {
        matches!(self.leaving, Leaving::After(_)) && self.is_idle()
    }

    pub(crate) fn write_goaway(&mut self, last: u32, code: ErrorCode, detail: &str) {
        frame::write_head(&mut self.out, 8 + detail.len(), kind::GOAWAY, 0, 0);
        self.out.extend_from_slice(&last.to_be_bytes());
        self.out.extend_from_slice(&(code as u32).to_be_bytes());
        self.out.extend_from_slice(detail.as_bytes());
    }
}
