//! From records to plain bytes.

use std::io::{self, IoSliceMut, Read};

use pelton_tls::Session;

use super::{BUFFERS, Buffers, RECEIVED, Tls, text};

impl Tls {
    /// Into the first place only: what is read is decrypted there. Also gives how much there was room for.
    pub(crate) fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> (usize, io::Result<usize>) {
        match rooms.first_mut() {
            Some(room) => (room.len(), self.read(room)),
            None => (0, Ok(0)),
        }
    }

    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = self.plain.get(self.taken..).unwrap_or_default();
        if !left.is_empty() {
            let count = left.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..count), left.get(..count)) {
                to.copy_from_slice(from);
            }
            self.taken += count;
            if self.taken == self.plain.len() {
                (self.plain, self.taken) = (Vec::new(), 0);
            }
            return Ok(count);
        }
        if self.session().is_none_or(Session::peer_closed) {
            return Ok(0);
        }
        BUFFERS.with_borrow_mut(|buffers| self.receive(buffers, room))
    }

    /// Takes bytes as they are from the socket: nobody wants to know what they mean. The session can receive nothing afterwards.
    pub(crate) fn discard(&mut self, room: &mut [u8]) -> io::Result<usize> {
        (self.plain, self.taken) = (Vec::new(), 0);
        let result = self.socket.read(room);
        self.has_more = result.as_ref().is_ok_and(|count| *count == room.len());
        result
    }

    fn receive(&mut self, buffers: &mut Buffers, room: &mut [u8]) -> io::Result<usize> {
        let Buffers { received, encrypted, .. } = buffers;
        received.resize(RECEIVED, 0);
        loop {
            let count = match self.socket.read(received) {
                Ok(count) => count,
                Err(error) => {
                    self.has_more &= error.kind() != io::ErrorKind::WouldBlock;
                    return Err(error);
                }
            };
            if count == 0 {
                // Without the alert that should come first. HTTP says by itself where a message ends.
                self.has_more = false;
                return Ok(0);
            }
            self.has_more = count == RECEIVED;
            encrypted.clear();
            let (mut filled, plain) = (0, &mut self.plain);
            let Some(session) = &mut self.session else { return Err(io::ErrorKind::WouldBlock.into()) };
            let result =
                session.receive(received.get_mut(..count).unwrap_or_default(), encrypted, |decrypted| {
                    let free = room.get_mut(filled..).unwrap_or_default();
                    let (now, later) = decrypted.split_at(decrypted.len().min(free.len()));
                    if let Some(free) = free.get_mut(..now.len()) {
                        free.copy_from_slice(now);
                    }
                    filled += now.len();
                    plain.extend_from_slice(later);
                });
            self.push(encrypted)?;
            if let Err(failure) = result {
                self.is_broken = true;
                return Err(io::Error::new(io::ErrorKind::InvalidData, text(failure)));
            }
            if filled > 0 || self.session().is_none_or(Session::peer_closed) {
                return Ok(filled);
            }
            if !self.has_more {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }
}
