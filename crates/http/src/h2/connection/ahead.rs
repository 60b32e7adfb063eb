//! A look ahead: which streams do not survive the bytes that have come already.
//!
//! Nothing changes here. What is found has to be right, for nobody begins with a request that is named: so only frames count of which it is certain that
//! they end their stream, or the whole connection before.

use super::{Connection, PREFACE, State};
use crate::h2::frame::{FrameHead, HEADER_BYTES, MAX_31, kind, number};

impl Connection {
    /// Numbers, in order, of the streams that frames in `input` reset or make us reset, whatever opens them there. `input` is what
    /// [`Connection::advance`] is going to see; of frames that are not whole in it nothing is said.
    pub fn ended_within(&self, input: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = match self.state {
            State::Preface(seen) => PREFACE.len().saturating_sub(seen),
            State::FirstFrame | State::Frames => 0,
            State::Data { left, padding, .. } => left + padding,
            State::Skip(left) => left,
            State::Failed(_) => return found,
        };
        // What a stream may send that has sent nothing yet; None where a frame in between may change it.
        let mut window = Some(self.peer.initial_window);
        while let Some(rest) = input.get(at..)
            && let Some(frame) = FrameHead::parse(rest)
            && let Some(payload) = rest.get(HEADER_BYTES..HEADER_BYTES + frame.length)
        {
            at += HEADER_BYTES + frame.length;
            let ends = match frame.kind {
                kind::RST_STREAM => frame.length == 4,
                kind::WINDOW_UPDATE if frame.length == 4 => {
                    let increment = number(payload) & MAX_31;
                    increment == 0 || window.is_some_and(|window| increment > MAX_31 - window.min(MAX_31))
                }
                kind::SETTINGS => {
                    window = None;
                    false
                }
                _ => false,
            };
            if ends {
                found.push(frame.stream);
            }
        }
        found.sort_unstable();
        found
    }
}
