//! What the front is given as its access log: a descriptor to write to, or an *envelope*: a socket of packets with one message in it.
//!
//! The message carries the descriptor, the form of the lines, and in what pieces they go. It is only looked at, never emptied, so that a
//! later front finds the same in it. Made by `pelton.logs.access`. Any thread.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use crate::system;

/// The first line of the message.
const ENVELOPE: &[u8] = b"pelton access log 1\n";
/// The longest message.
const MESSAGE: usize = 16 * 1024;

/// What is inside.
pub struct Opened {
    /// Where lines go.
    pub descriptor: OwnedFd,
    /// Each line is a datagram, and has this before it: the socket is a syslog's.
    pub datagram_prefix: Option<Box<[u8]>>,
    /// See `format`.
    pub format: String,
}

/// None when `descriptor` is something else.
pub fn open_envelope(descriptor: RawFd) -> io::Result<Option<Opened>> {
    let mut text = vec![0u8; MESSAGE];
    // No socket, or nothing in it.
    let Ok((count, inside)) = system::peek_packet(descriptor, &mut text) else { return Ok(None) };
    let Some(text) = text.get(..count).and_then(|text| text.strip_prefix(ENVELOPE)) else { return Ok(None) };
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let text = std::str::from_utf8(text).map_err(|_| invalid("the access log format is not UTF-8"))?;
    let inside = inside.ok_or_else(|| invalid("the access log's envelope is empty"))?;
    let (pieces, format) = text.split_once('\n').unwrap_or(("", text));
    let datagram_prefix = pieces.strip_prefix("datagrams ").map(|prefix| prefix.as_bytes().into());
    Ok(Some(Opened { descriptor: inside, datagram_prefix, format: format.to_owned() }))
}
