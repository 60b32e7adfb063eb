//! What the front sends from where it lies: Python's bytes, lent to it, and files, given to it.
//!
//! Runs on the thread that makes the response, with the GIL; without it while the client is waited for.

use std::ops::Range;
use std::sync::MutexGuard;

use pelton_http::Known;
use pelton_link::{Loan, Writable};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::file_ranges::{Cut, cut};
use crate::file_wrapper::FilePart;
use crate::response::{Fault, Flow, More, Response, Stage};
use crate::shared_response::SharedResponse;

/// A slow reader must not tie down more than this beside what the front may keep for it: then the writer waits.
const LEND_AT_ONCE: usize = 1 << 20;

/// A part of a bytes object.
struct Window {
    bytes: PyBackedBytes,
    range: Range<usize>,
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

/// Sends the first `length` bytes of a piece from where they are: bytes never change. The front may give the reference back at any time:
/// without the GIL, the interpreter's next turn takes it.
pub(crate) fn lend<'a>(
    shared: &'a SharedResponse,
    py: Python<'_>,
    mut response: MutexGuard<'a, Response>,
    piece: &Bound<'_, PyBytes>,
    length: usize,
    more: More,
) -> Result<Flow, Fault> {
    let bytes = PyBackedBytes::from(piece.clone());
    let mut start = 0;
    while start < length {
        let next = length.min(start + LEND_AT_ONCE);
        let mut loan: Loan = Box::new(Window { bytes: bytes.clone_ref(py), range: start..next });
        while let Err(no_room) = response.lend(&shared.end, loan, next - start)? {
            loan = no_room;
            match shared.wait(py, response)? {
                (_, Writable::Gone) => return Ok(Flow::Gone),
                (again, _) => response = again,
            }
        }
        start = next;
    }
    response.settle(&shared.end, more)
}

/// Sends the rest of a file, as far as announced. None: the front cannot be given files at present; only the head was sent, and the bytes
/// have to go as data. `asked`: what the request says of ranges and conditions, where the application leaves that to the server.
pub(crate) fn send_file(
    shared: &SharedResponse,
    py: Python<'_>,
    part: FilePart,
    asked: &[(Known, Vec<u8>)],
) -> Result<Option<Flow>, Fault> {
    let mut response = shared.try_enter(py)?;
    if response.stage == Stage::HandedOver {
        return Ok(Some(Flow::Gone));
    }
    if response.stage == Stage::Started
        && !asked.is_empty()
        && let Some(cut) = cut(&response.head, part.length, asked)
    {
        return send_cut(shared, response, part, &cut);
    }
    response.put_head(&shared.end, Some(part.length))?;
    let length = response.admit_length(part.length);
    if length > 0 {
        // A file is given only when its frame can follow at once: one without a frame would lie about until the request is over.
        while !shared.end.has_room_for_file(response.taken.as_ref().ok_or(Fault::Over)?) {
            match shared.wait(py, response)? {
                (_, Writable::Gone) => return Ok(Some(Flow::Gone)),
                (again, _) => response = again,
            }
        }
        let taken = response.taken.as_mut().ok_or(Fault::Over)?;
        let Ok(token) = shared.end.give_file(taken, part.descriptor) else { return Ok(None) };
        let fitted = shared.end.put_file(taken, token, part.offset, length);
        debug_assert!(fitted, "nobody else fills the ring while the response is locked");
        response.sent += length;
    }
    response.settle(&shared.end, More::Unknown).map(Some)
}

/// Sends a part of a file, or none of it, in the place of all of it. The ring has room for that behind any head.
fn send_cut(
    shared: &SharedResponse,
    mut response: MutexGuard<'_, Response>,
    part: FilePart,
    cut: &Cut,
) -> Result<Option<Flow>, Fault> {
    let length = cut.range.end - cut.range.start;
    let taken = response.taken.as_mut().ok_or(Fault::Over)?;
    // First of all, for without it all of the file goes as data.
    let token = match length {
        0 => None,
        _ => match shared.end.give_file(taken, part.descriptor) {
            Ok(token) => Some(token),
            Err(_) => return Ok(None),
        },
    };
    response.head.change(cut.status, cut.reason, cut.removed, &cut.added);
    response.started();
    response.put_head(&shared.end, None)?;
    if let Some(token) = token {
        let taken = response.taken.as_mut().ok_or(Fault::Over)?;
        let fitted = shared.end.put_file(taken, token, part.offset + cut.range.start, length);
        debug_assert!(fitted, "nothing but a head has been written");
        response.sent += length;
    }
    response.settle(&shared.end, More::Unknown).map(Some)
}
