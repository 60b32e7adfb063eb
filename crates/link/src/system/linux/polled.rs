//! What an epoll instance waits for, as the system tells it, closed in a child that was just forked.
//!
//! The front accepts and closes thousands of sockets, and must not pay for a list of them: the kernel has one. It is text in `/proc`, a line for each
//! descriptor, with the file's number and device; so a number that means another file by now is left alone. Without `/proc` the child keeps
//! them until it ends or executes another program.
//!
//! For `fork`'s handler: only system calls, no allocation. A line that is split between two reads is put together in a buffer that is larger than any line.

use std::os::fd::RawFd;

/// Larger than a line, which has about a hundred bytes.
const BUFFER: usize = 4096;

/// Closes the descriptors that `poller` waits for, but not `poller` itself.
pub(crate) fn close_what_is_polled(poller: RawFd) {
    let mut path = [0; 64];
    if !path_of(poller, &mut path) {
        return;
    }
    // SAFETY: a C string; the result is checked.
    let list = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if list < 0 {
        return;
    }
    let mut buffer = [0; BUFFER];
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        // SAFETY: a live, writable buffer of that length.
        let count = unsafe { libc::read(list, room.as_mut_ptr().cast(), room.len()) };
        let Ok(count @ 1..) = usize::try_from(count) else { break };
        filled += count;
        let mut start = 0;
        while let Some(length) =
            buffer.get(start..filled).and_then(|rest| rest.iter().position(|&byte| byte == b'\n'))
        {
            if let Some(line) = buffer.get(start..start + length) {
                close_if_same(line, list);
            }
            start += length + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
    // SAFETY: no pointers.
    unsafe { libc::close(list) };
}

/// `/proc/self/fdinfo/N` as a C string.
fn path_of(descriptor: RawFd, path: &mut [u8; 64]) -> bool {
    let mut digits = [0; 10];
    let mut rest = match u32::try_from(descriptor) {
        Ok(number) => number,
        Err(_) => return false,
    };
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let parts = b"/proc/self/fdinfo/".iter().chain(digits.get(at..).unwrap_or_default());
    for (place, byte) in path.iter_mut().zip(parts) {
        *place = *byte;
    }
    true
}

/// Closes the descriptor of a line `tfd: 7 events: … ino:61af sdev:7`, if it is that file; `list` is the descriptor that is read from.
fn close_if_same(line: &[u8], list: RawFd) {
    let Some(rest) = line.strip_prefix(b"tfd:") else { return };
    let Some(descriptor) = value(rest, b"", 10).and_then(|number| RawFd::try_from(number).ok()) else {
        return;
    };
    let (Some(inode), Some(device)) = (value(line, b" ino:", 16), value(line, b" sdev:", 16)) else { return };
    // SAFETY: all zeros is a valid value, which the call fills.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `found` lives for the call.
    if unsafe { libc::fstat(descriptor, &raw mut found) } != 0 {
        return;
    }
    // The kernel's own form of a device number, which has twenty bits for the minor.
    let own = u64::from(libc::major(found.st_dev)) << 20 | u64::from(libc::minor(found.st_dev));
    if found.st_ino == inode && own == device && descriptor != list {
        // SAFETY: no pointers. The file is the front's, whose thread does not exist here.
        unsafe { libc::close(descriptor) };
    }
}

/// The number behind `name`, after spaces.
fn value(line: &[u8], name: &[u8], radix: u32) -> Option<u64> {
    let at = (0..line.len()).find(|&at| line.get(at..).is_some_and(|rest| rest.starts_with(name)))?;
    let digits = line.get(at + name.len()..)?.iter().skip_while(|byte| **byte == b' ');
    let mut number: Option<u64> = None;
    for digit in digits.map_while(|&byte| char::from(byte).to_digit(radix)) {
        number = Some(number.unwrap_or(0).checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?);
    }
    number
}
