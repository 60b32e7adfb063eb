//! The client's settings (RFC 9113 section 6.5), and ours that are sent to it.

use super::bounds::Bounds;
use super::fault::Fault;
use super::frame::{self, LARGEST, MAX_31, kind};
use crate::limits::Limits;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const NO_RFC7540_PRIORITIES: u16 = 9;

/// What counts before a word is said.
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// The client's settings, as far as they matter to a server that pushes nothing and uses no table.
#[derive(Debug)]
pub(crate) struct PeerSettings {
    pub(crate) initial_window: u32,
    /// The largest payload to send. More than [`LARGEST`] is not made use of: larger frames would only hold the others up.
    pub(crate) largest: usize,
    /// It has spoken about the table of fields, so the next head says that none is used.
    pub(crate) table_changed: bool,
}

impl PeerSettings {
    pub(crate) fn new() -> Self {
        PeerSettings { initial_window: DEFAULT_WINDOW, largest: LARGEST, table_changed: false }
    }

    /// Takes over a payload, whose length is a multiple of six.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<(), Fault> {
        for &[a, b, v0, v1, v2, v3] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([a, b]) {
                HEADER_TABLE_SIZE => self.table_changed = true,
                ENABLE_PUSH if value > 1 => return Err(Fault::Setting),
                INITIAL_WINDOW_SIZE if value > MAX_31 => return Err(Fault::Window),
                INITIAL_WINDOW_SIZE => self.initial_window = value,
                MAX_FRAME_SIZE if !(LARGEST as u32..1 << 24).contains(&value) => return Err(Fault::Setting),
                ENABLE_CONNECT_PROTOCOL | NO_RFC7540_PRIORITIES if value > 1 => return Err(Fault::Setting),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Appends our SETTINGS.
pub(crate) fn write_ours(out: &mut Vec<u8>, bounds: &Bounds, limits: &Limits) {
    let list = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let ours = [
        (MAX_CONCURRENT_STREAMS, bounds.streams),
        (INITIAL_WINDOW_SIZE, bounds.stream_window),
        (MAX_HEADER_LIST_SIZE, list),
        (NO_RFC7540_PRIORITIES, 1),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ];
    let ours = if bounds.websockets { &ours[..] } else { ours.get(..4).unwrap_or_default() };
    frame::write_head(out, ours.len() * 6, kind::SETTINGS, 0, 0);
    for (name, value) in ours {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}
