//! A socket without anything between it and HTTP. Runs on the front's thread.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{Shutdown, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::Socket;

use crate::system;
use crate::transport::origin::Origin;

/// Bytes of a file handed to the kernel in one call.
const FILE_STEP: u64 = 1 << 20;

/// Closed when it is dropped.
#[derive(Debug)]
pub(super) struct Plain {
    socket: Socket,
}

impl Plain {
    pub(super) fn new(socket: Socket) -> Self {
        Plain { socket }
    }

    pub(super) fn raw(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    #[inline]
    pub(super) fn proceed(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.socket.read(room)
    }

    /// Also gives how much there was room for.
    pub(super) fn read_vectored(&mut self, rooms: &mut [IoSliceMut<'_>]) -> (usize, io::Result<usize>) {
        let wanted = rooms.iter().map(|room| room.len()).sum();
        (wanted, self.socket.read_vectored(rooms))
    }

    #[inline]
    pub(super) fn has_buffered(&self) -> bool {
        false
    }

    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        false
    }

    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, system::SEND)
    }

    /// The same; what follows at once may share its last packet.
    pub(super) fn send_before_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, system::SEND_BEFORE_MORE)
    }

    #[inline]
    pub(super) fn send_pieces(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored_with_flags(pieces, system::SEND)
    }

    pub(super) fn send_file(
        &mut self,
        file: &BorrowedFd<'_>,
        offset: &mut u64,
        left: &mut u64,
    ) -> io::Result<usize> {
        let step = NonZeroUsize::new((*left).min(FILE_STEP) as usize);
        let at = usize::try_from(*offset).map_err(io::Error::other)?;
        match self.socket.sendfile(file, at, step)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            count => {
                *offset += count as u64;
                *left -= count as u64;
                Ok(count)
            }
        }
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        system::unacknowledged(self.socket.as_fd())
    }

    pub(super) fn end_sending(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    pub(super) fn reset_at_close(&self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    pub(super) fn shut_down(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    pub(super) fn as_handover(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        origin(&self.socket)
    }

    pub(super) fn peer_port(&self) -> u16 {
        peer_port(&self.socket)
    }
}

pub(super) fn origin(socket: &Socket) -> Option<Origin> {
    let peer = socket.peer_addr().ok()?;
    if peer.is_unix() {
        return system::peer_process(socket.as_fd()).map(Origin::Process);
    }
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let own = canonical(socket.local_addr().ok()?.as_socket()?);
    let peer = canonical(peer.as_socket()?);
    (peer.ip().is_loopback() || peer.ip() == own.ip()).then_some(Origin::Tcp(peer, own))
}

pub(super) fn peer_port(socket: &Socket) -> u16 {
    socket.peer_addr().ok().and_then(|peer| peer.as_socket()).map_or(0, |peer| peer.port())
}
