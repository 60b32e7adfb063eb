//! One packet of a socket that carries one descriptor: who it is for, and the file itself (SCM_RIGHTS, unix(7)).
//!
//! What arrives is not trusted: a packet of another form is closed and dropped. Nothing here blocks. Any thread.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Token, slot and generation.
const PACKET_BYTES: usize = 16;
/// Room for a few descriptors more than the one that is expected; the kernel closes what does not fit.
const ANCILLARY_WORDS: usize = 8;

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

/// A control message with room for descriptors, aligned as its header needs.
type Ancillary = [u64; ANCILLARY_WORDS];

/// Sends one descriptor without waiting; EAGAIN or ETOOMANYREFS where the other end does not keep up.
pub(crate) fn send(socket: BorrowedFd<'_>, owner: Owner, token: u64, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut packet = [0; PACKET_BYTES];
    packet[..8].copy_from_slice(&token.to_ne_bytes());
    packet[8..12].copy_from_slice(&owner.slot.to_ne_bytes());
    packet[12..].copy_from_slice(&owner.generation.to_ne_bytes());
    let mut ancillary: Ancillary = [0; ANCILLARY_WORDS];
    let mut piece = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: all pointers lead to live local memory of the lengths given beside them; CMSG_SPACE(4) is at most the ancillary buffer, so
    // the first header and its four bytes of data lie within it; `file` and `socket` are open.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<RawFd>(), file.as_raw_fd());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        retried(|| libc::sendmsg(socket.as_raw_fd(), &raw const message, flags))
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
    let mut ancillary: Ancillary = [0; ANCILLARY_WORDS];
    let mut piece = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: all pointers lead to live local memory of the lengths given beside them, which the kernel keeps to.
    let (count, message) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Ancillary>() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let mut receive = || retried(|| libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags));
        let mut count = receive();
        if count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::ConnectionReset {
            // The other end was closed with something unread. The system says that once, and before it gives out what the other one has sent:
            // perhaps the file of a whole response.
            count = receive();
        }
        (count, message)
    };
    if count < 0 {
        let is_empty = io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        return if is_empty { Received::Nothing } else { Received::Closed };
    }
    // Owned before anything is judged, so that whatever came is closed.
    let mut files = descriptors_of(&message);
    if count == 0 && files.is_empty() {
        return Received::Closed;
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 && files.is_empty() {
        return Received::Lost;
    }
    if count as usize != PACKET_BYTES || message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0 {
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

/// All descriptors of a message that the kernel has just filled in.
fn descriptors_of(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut files = Vec::new();
    // SAFETY: the kernel wrote well-formed control messages within `msg_controllen`, and the buffer lives in the caller. Each
    // descriptor in an SCM_RIGHTS message was made for us and has no other owner.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let first = libc::CMSG_DATA(header).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    files.push(OwnedFd::from_raw_fd(ptr::read_unaligned(first.add(at))));
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    files
}

pub(crate) fn retried(mut call: impl FnMut() -> isize) -> isize {
    loop {
        let result = call();
        if result >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return result;
        }
    }
}
