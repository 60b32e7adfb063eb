//! Memory whose amount a client or an application chooses: it can be refused, and then one connection ends, not the process.
//!
//! Rust's own collections abort the process where the system has no memory left (an address space limited by `ulimit -v`, a
//! kernel that does not overcommit). What is asked for here is an error instead. The many small things that come with a
//! connection are not asked for one by one: [`has_headroom`] is, before a connection is taken in.

use std::io;
use std::sync::OnceLock;

/// So much has to be free for another connection: many times what one needs before its first request.
const HEADROOM: usize = 64 * 1024;

/// Appends a copy of `bytes`.
#[inline]
pub fn append(to: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    reserve(to, bytes.len())?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// Appends `by` zeros.
pub fn grow(to: &mut Vec<u8>, by: usize) -> io::Result<()> {
    reserve(to, by)?;
    to.resize(to.len() + by, 0);
    Ok(())
}

/// A copy of `bytes`.
pub fn copy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| refused())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Whether there is memory for the small things of another connection.
pub fn has_headroom() -> bool {
    is_there(HEADROOM)
}

/// Whether a library that cannot be refused memory may ask for so many bytes together. Looks only where the address
/// space is limited; `ulimit -v` holds from a process's start.
pub fn has_room_for(bytes: usize) -> bool {
    static IS_LIMITED: OnceLock<bool> = OnceLock::new();
    !IS_LIMITED.get_or_init(is_limited) || is_there(bytes)
}

fn is_limited() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call only writes `limit`.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) != 0 || limit.rlim_cur != libc::RLIM_INFINITY }
}

fn is_there(bytes: usize) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    let is_there = probe.try_reserve_exact(bytes).is_ok();
    // Without this the compiler sees that nobody uses the memory, and asks for none.
    std::hint::black_box(probe.as_ptr());
    is_there
}

/// The error of all these.
pub fn refused() -> io::Error {
    io::Error::from(io::ErrorKind::OutOfMemory)
}

#[inline]
fn reserve(to: &mut Vec<u8>, more: usize) -> io::Result<()> {
    // Twice as much as there is may be too much where what is asked for is not.
    to.try_reserve(more).or_else(|_| to.try_reserve_exact(more)).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_given() {
        let mut bytes = copy(b"ab").unwrap();
        append(&mut bytes, b"cd").unwrap();
        grow(&mut bytes, 2).unwrap();
        assert_eq!(bytes, b"abcd\0\0");
        assert!(has_headroom());
        assert!(has_room_for(4096));
        assert_eq!(reserve(&mut bytes, usize::MAX / 2).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(bytes.len(), 6);
    }
}
