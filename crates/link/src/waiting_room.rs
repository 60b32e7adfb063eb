//! Where connections wait from one front to the next, while a reloader starts the program again.
//!
//! A pair of sockets that outlives both fronts, because a third process has it too. The front that leaves puts in what is between two
//! requests; the next one takes it out before it accepts. What the client has sent meanwhile lies in its own socket and comes along. The kernel holds what
//! nobody has taken yet, up to the socket's buffer.
//!
//! Nothing here blocks; what cannot be put stays with the giver. Any thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::descriptor_packets::{Owner, Received, receive, send};

/// Where idle connections wait for the next front of a reloader.
#[derive(Debug)]
pub struct WaitingRoom {
    exit: OwnedFd,
    entrance: OwnedFd,
}

impl WaitingRoom {
    /// `exit` and `entrance`: the two ends of a SOCK_SEQPACKET pair.
    pub fn new(exit: OwnedFd, entrance: OwnedFd) -> Self {
        WaitingRoom { exit, entrance }
    }

    /// Puts in a duplicate of a connection, with the number of the listener by which it came.
    pub fn put(&self, listener: u16, connection: BorrowedFd<'_>) -> io::Result<()> {
        send(self.entrance.as_fd(), Owner { slot: u32::from(listener), generation: 0 }, 0, connection)
    }

    /// Takes the next one out; None when there is none.
    pub fn take(&self) -> Option<(u16, OwnedFd)> {
        loop {
            match receive(self.exit.as_fd()) {
                Received::File(entry) => {
                    if let Ok(listener) = u16::try_from(entry.owner.slot) {
                        return Some((listener, entry.file));
                    }
                }
                // No packet of ours, or no descriptor left for it: that connection is closed.
                Received::Malformed | Received::Lost => {}
                Received::Nothing | Received::Closed => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn room() -> WaitingRoom {
        let [exit, entrance] = crate::system::packet_pair().unwrap();
        WaitingRoom::new(exit, entrance)
    }

    #[test]
    fn connections_come_out_in_order_with_what_was_sent_meanwhile() {
        let room = room();
        assert!(room.take().is_none());
        let mut clients = Vec::new();
        for listener in [3, 0] {
            let (mut client, ours) = UnixStream::pair().unwrap();
            room.put(listener, ours.as_fd()).unwrap();
            drop(ours);
            client.write_all(&[b'a' + listener as u8]).unwrap();
            clients.push(client);
        }
        for listener in [3, 0] {
            let (number, taken) = room.take().unwrap();
            assert_eq!(number, listener);
            let mut byte = [0];
            UnixStream::from(taken).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [b'a' + listener as u8]);
        }
        assert!(room.take().is_none());
    }

    #[test]
    fn a_full_room_refuses_and_goes_on_afterwards() {
        let room = room();
        let (_client, ours) = UnixStream::pair().unwrap();
        let mut count = 0;
        while room.put(0, ours.as_fd()).is_ok() {
            count += 1;
            assert!(count < 100_000, "it never gets full");
        }
        assert!(count > 50, "only {count} connections have room");
        assert!(room.take().is_some());
        for _ in 1..count {
            assert!(room.take().is_some());
        }
        assert!(room.take().is_none());
        room.put(0, ours.as_fd()).unwrap();
    }

    #[test]
    fn what_is_no_packet_of_ours_is_dropped() {
        let room = room();
        // A stream's write is a packet's, too: what differs is the socket.
        UnixStream::from(room.entrance.try_clone().unwrap()).write_all(b"nonsense").unwrap();
        let (_client, ours) = UnixStream::pair().unwrap();
        room.put(1, ours.as_fd()).unwrap();
        assert_eq!(room.take().map(|(listener, _)| listener), Some(1));
    }
}
