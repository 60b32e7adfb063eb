//! What the front is given as its access log: a descriptor to write to, or an *envelope*: a SEQPACKET socket with one message in it.
//!
//! The message carries the descriptor, the form of the lines, and in what pieces they go. It is only looked at, never emptied, so that a
//! later front finds the same in it. Made by `pelton.logs.access`. Any thread.

use std::io;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first line of the message.
const ENVELOPE: &[u8] = b"pelton access log 1\n";
/// The longest message.
const MESSAGE: usize = 16 * 1024;

/// What is inside.
pub struct Opened {
    /// Where lines go.
    pub descriptor: OwnedFd,
    /// Each line is a datagram, and has this before it: the socket is a syslog's.
    pub datagram_prefix: Option<Box<[u8]>>,
    /// See `format`.
    pub format: String,
}

/// None when `descriptor` is something else.
pub fn open_envelope(descriptor: RawFd) -> io::Result<Option<Opened>> {
    let mut text = vec![0u8; MESSAGE];
    let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    // Aligned for cmsghdr, and room for one descriptor and then some.
    let mut control = [0u64; 8];
    // SAFETY: all zeros is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&control);
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message points to memory that lives until the end of this function.
    let count = unsafe { libc::recvmsg(descriptor, &raw mut message, flags) };
    // No socket, or nothing in it.
    let Ok(count) = usize::try_from(count) else { return Ok(None) };
    let mut inside = None;
    // SAFETY: the kernel has filled `control` as `message` says; the macros stay within it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let raw = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
                inside = Some(OwnedFd::from_raw_fd(raw));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    let Some(text) = text.get(..count).and_then(|text| text.strip_prefix(ENVELOPE)) else { return Ok(None) };
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let text = std::str::from_utf8(text).map_err(|_| invalid("the access log format is not UTF-8"))?;
    let inside = inside.ok_or_else(|| invalid("the access log's envelope is empty"))?;
    let (pieces, format) = text.split_once('\n').unwrap_or(("", text));
    let datagram_prefix = pieces.strip_prefix("datagrams ").map(|prefix| prefix.as_bytes().into());
    Ok(Some(Opened { descriptor: inside, datagram_prefix, format: format.to_owned() }))
}
