//! From plain bytes to records, and what of those the socket has not taken.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use super::{BUFFERS, Buffers, PIECE, Tls, text};
use crate::system;

impl Tls {
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room()?;
        let taken = bytes.len().min(PIECE);
        BUFFERS.with_borrow_mut(|buffers| {
            self.encrypt(bytes.get(..taken).unwrap_or_default(), &mut buffers.encrypted)
        })?;
        Ok(taken)
    }

    pub(crate) fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.make_room()?;
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { encrypted, gathered, .. } = buffers;
            // Together, so that a head and a small body share a record.
            gathered.clear();
            for piece in pieces {
                let free = PIECE - gathered.len();
                gathered.extend_from_slice(piece.get(..free.min(piece.len())).unwrap_or_default());
            }
            self.encrypt(gathered, encrypted)?;
            Ok(gathered.len())
        })
    }

    pub(crate) fn send_file(
        &mut self,
        file: &BorrowedFd<'_>,
        offset: &mut u64,
        left: &mut u64,
    ) -> io::Result<usize> {
        self.make_room()?;
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers { encrypted, gathered, .. } = buffers;
            gathered.resize(PIECE, 0);
            let wanted = (*left).min(PIECE as u64) as usize;
            let at = i64::try_from(*offset).map_err(io::Error::other)?;
            // SAFETY: the file is open; pointer and length are those of a vector that is written to.
            let count = unsafe {
                libc::pread(file.as_raw_fd(), gathered.as_mut_ptr().cast(), wanted.min(gathered.len()), at)
            };
            let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.encrypt(gathered.get(..count).unwrap_or_default(), encrypted)?;
            *offset += count as u64;
            *left -= count as u64;
            Ok(count)
        })
    }

    /// Fails with `WouldBlock` while there are bytes that the socket has not taken.
    #[inline]
    fn make_room(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        self.flush()?;
        if self.has_unsent() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    fn encrypt(&mut self, plain: &[u8], encrypted: &mut Vec<u8>) -> io::Result<()> {
        encrypted.clear();
        let Some(session) = &mut self.session else { return Err(io::ErrorKind::WouldBlock.into()) };
        session.send(plain, encrypted).map_err(|failure| io::Error::other(text(failure)))?;
        self.push(encrypted)
    }

    /// Sends what the socket takes, and keeps the rest behind what is kept already.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        while self.unsent.is_empty() && sent < bytes.len() {
            let rest = bytes.get(sent..).unwrap_or_default();
            match self.socket.send_with_flags(rest, system::SEND) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.send_with_flags(rest, system::SEND) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        // Once: each time is an event of the socket, which would call this again.
        if self.is_ending && !self.has_ended {
            self.has_ended = true;
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    pub(crate) fn end_sending(&mut self) {
        self.is_ending = true;
        let mut goodbye = Vec::new();
        if let Some(session) = &mut self.session {
            session.close(&mut goodbye);
        }
        if self.push(&goodbye).is_ok() {
            let _ = self.flush();
        }
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        system::unacknowledged(self.socket.as_fd())
    }

    pub(crate) fn reset_at_close(&mut self) {
        self.is_broken = true;
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}
