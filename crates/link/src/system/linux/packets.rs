//! Packets with a descriptor beside them (SOCK_SEQPACKET, SCM_RIGHTS; unix(7)). Nothing here waits.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Room for a few descriptors more than the one that is expected; the kernel closes what does not fit.
const ANCILLARY_WORDS: usize = 8;

/// A control message with room for descriptors, aligned as its header needs.
type Ancillary = [u64; ANCILLARY_WORDS];

/// What has come.
#[derive(Debug)]
pub(crate) struct Packet {
    /// So many bytes of the room are filled.
    pub len: usize,
    pub files: Vec<OwnedFd>,
    /// There was more, of bytes or of descriptors, than there was room for.
    pub is_cut: bool,
    /// Of descriptors, that is: the process may have had none left.
    pub lost_files: bool,
}

/// Sends one packet, with a descriptor or without; EAGAIN or ETOOMANYREFS where the other end does not keep up.
pub(crate) fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    file: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut ancillary: Ancillary = [0; ANCILLARY_WORDS];
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all pointers lead to live memory of the lengths given beside them, which is only read; CMSG_SPACE(4) is at most the ancillary
    // buffer, so the first header and its four bytes of data lie within it; `file` and `socket` are open.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        if let Some(file) = file {
            message.msg_control = ancillary.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast::<RawFd>(), file.as_raw_fd());
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        retried(|| libc::sendmsg(socket.as_raw_fd(), &raw const message, flags))
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the next packet into `room`; WouldBlock where there is none. Empty and without a descriptor: the other end is closed.
pub(crate) fn receive_packet(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<Packet> {
    let mut ancillary: Ancillary = [0; ANCILLARY_WORDS];
    let mut piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all pointers lead to live memory of the lengths given beside them, which the kernel keeps to.
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
    let Ok(len) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
    Ok(Packet {
        len,
        files: descriptors_of(&message),
        is_cut: message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0,
        lost_files: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
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

fn retried(mut call: impl FnMut() -> isize) -> isize {
    loop {
        let result = call();
        if result >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return result;
        }
    }
}

/// Two connected sockets, as Python makes them for the supervisor and the reloader.
#[cfg(test)]
pub(crate) fn packet_pair() -> io::Result<[OwnedFd; 2]> {
    let mut raw = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: two places for descriptors; the result is checked before they are owned.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, kind, 0, raw.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(raw.map(|raw| OwnedFd::from_raw_fd(raw)))
    }
}
