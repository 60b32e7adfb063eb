//! One packet of a socket that carries one descriptor: who it is for, and the file itself.
//!
//! What arrives is not trusted: a packet of another form is closed and dropped. Nothing here blocks. Any thread.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::system::{self, Packet};

/// Token, slot and generation.
const PACKET_BYTES: usize = 16;

/// The request that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub slot: u32,
    pub generation: u32,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub owner: Owner,
    pub token: u64,
    pub file: OwnedFd,
}

/// Sends one descriptor without waiting; EAGAIN or ETOOMANYREFS where the other end does not keep up.
pub(crate) fn send(socket: BorrowedFd<'_>, owner: Owner, token: u64, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut packet = [0; PACKET_BYTES];
    packet[..8].copy_from_slice(&token.to_ne_bytes());
    packet[8..12].copy_from_slice(&owner.slot.to_ne_bytes());
    packet[12..].copy_from_slice(&owner.generation.to_ne_bytes());
    system::send_packet(socket, &packet, Some(file))
}

pub(crate) enum Received {
    File(Entry),
    /// A packet that names no file: a ring, or one that none of ours sends; all that came with it is closed.
    Malformed,
    /// A packet whose descriptor this process had no room for.
    Lost,
    /// The socket is empty.
    Nothing,
    /// It is closed or broken.
    Closed,
}

pub(crate) fn receive(socket: BorrowedFd<'_>) -> Received {
    let mut packet = [0_u8; PACKET_BYTES];
    // Whatever came is owned before anything is judged, so that it is closed.
    let Packet { len, mut files, is_cut, lost_files } = match system::receive_packet(socket, &mut packet) {
        Ok(packet) => packet,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
        Err(_) => return Received::Closed,
    };
    if len == 0 && files.is_empty() {
        return Received::Closed;
    }
    if lost_files && files.is_empty() {
        return Received::Lost;
    }
    if len != PACKET_BYTES || is_cut {
        return Received::Malformed;
    }
    let (Some(file), true) = (files.pop(), files.is_empty()) else { return Received::Malformed };
    let [token, names] = [0, 8].map(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&packet[at..at + 8]);
        word
    });
    let [slot, generation] = [0, 4].map(|at| {
        let mut word = [0; 4];
        word.copy_from_slice(&names[at..at + 4]);
        u32::from_ne_bytes(word)
    });
    Received::File(Entry { owner: Owner { slot, generation }, token: u64::from_ne_bytes(token), file })
}
