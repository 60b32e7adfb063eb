//! A connection without a socket, for simulations: two queues in memory, with everything that a kernel may do to a client's bytes.
//!
//! What the front sends is taken as far as the "kernel" has room; a close with unread bytes is a reset that destroys what the client has not
//! read yet, as it can be on a real network at any time.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::transport::origin::Origin;

/// Both ends' view.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// On its way to the front.
    pub(crate) to_front: VecDeque<u8>,
    /// The client has closed its side: an end follows what is on its way.
    pub(crate) is_ended: bool,
    /// The client has gone without a word.
    pub(crate) is_reset: bool,
    /// What the kernel holds for the client.
    pub(crate) to_client: VecDeque<u8>,
    /// How much it holds at most.
    pub(crate) room: usize,
    /// The front has found it full: room is an event.
    pub(crate) is_blocked: bool,
    /// The front has closed its side.
    pub(crate) is_sending_ended: bool,
    /// The front has closed.
    pub(crate) is_closed: bool,
    /// By a reset: what the client had not read is lost.
    pub(crate) is_cut: bool,
    pub(crate) resets_at_close: bool,
}

/// What both ends share.
pub(crate) type Shared = Arc<Mutex<Wire>>;

/// The wire, whatever happened to other threads.
pub(crate) fn lock(wire: &Shared) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The front's end.
#[derive(Debug)]
pub(super) struct Memory {
    wire: Shared,
}

impl Memory {
    pub(super) fn new(wire: Shared) -> Self {
        Memory { wire }
    }

    pub(super) fn raw(&self) -> Option<RawFd> {
        None
    }

    pub(super) fn proceed(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Into the first place only. Also gives how much there was room for.
    pub(super) fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> (usize, io::Result<usize>) {
        match rooms.first_mut() {
            Some(room) => (room.len(), self.read(room)),
            None => (0, Ok(0)),
        }
    }

    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut wire = lock(&self.wire);
        if wire.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if wire.to_front.is_empty() {
            return if wire.is_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = room.len().min(wire.to_front.len());
        for (place, byte) in room.iter_mut().zip(wire.to_front.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    pub(super) fn has_buffered(&self) -> bool {
        false
    }

    pub(super) fn has_unsent(&self) -> bool {
        false
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = lock(&self.wire);
        assert!(!wire.is_sending_ended, "bytes are sent after the end");
        if wire.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let count = wire.room.saturating_sub(wire.to_client.len()).min(bytes.len());
        wire.is_blocked |= count < bytes.len();
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.to_client.extend(bytes.iter().take(count));
        Ok(count)
    }

    pub(super) fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for piece in pieces {
            match self.send(piece) {
                Ok(count) => {
                    sent += count;
                    if count < piece.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    pub(super) fn send_file(
        &mut self,
        file: &BorrowedFd<'_>,
        offset: &mut u64,
        left: &mut u64,
    ) -> io::Result<usize> {
        let file = std::fs::File::from(file.try_clone_to_owned()?);
        let mut bytes = vec![0; (*left).min(5000) as usize];
        file.read_exact_at(&mut bytes, *offset)?;
        let count = self.send(&bytes)?;
        *offset += count as u64;
        *left -= count as u64;
        Ok(count)
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        lock(&self.wire).to_client.len() as u64
    }

    pub(super) fn end_sending(&mut self) {
        lock(&self.wire).is_sending_ended = true;
    }

    pub(super) fn reset_at_close(&self) {
        lock(&self.wire).resets_at_close = true;
    }

    pub(super) fn shut_down(&self) {
        let mut wire = lock(&self.wire);
        wire.is_sending_ended = true;
        wire.is_closed = true;
    }

    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn as_handover(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        None
    }

    pub(super) fn peer_port(&self) -> u16 {
        0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        wire.is_closed = true;
        if wire.resets_at_close || !wire.to_front.is_empty() {
            wire.is_cut = true;
            wire.to_client.clear();
        }
    }
}
