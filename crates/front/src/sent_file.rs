//! A file whose bytes are sent: by how much of it can be sent without waiting for a disk, and whether it is still what it was.
//!
//! Owns the descriptor; several responses may send the same one. Knows no HTTP. Used by the front's thread and by its helpers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use pelton_link::coarse_ms;

use crate::system;

/// What tells one state of a file from another: device, number, size, times of the last change of content and of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size: u64,
    /// Content, in nanoseconds since 1970.
    pub modified_ns: i128,
    /// Anything, the name included; cannot be set by a program.
    pub changed_ns: i128,
}

#[derive(Debug)]
pub struct SentFile {
    file: OwnedFd,
    expected: Option<Fingerprint>,
    /// Up to here it was all in memory when last looked at …
    warm_to: AtomicU64,
    /// … which began at this time, in milliseconds.
    warm_since_ms: AtomicU64,
}

/// The kernel reads so much ahead, so what lies between two pages that are there is there, too.
const READ_AHEAD: u64 = 128 * 1024;
/// What was in memory is believed to be so still for this time: files that are asked for again and again are not looked at for each of their
/// readers. Longer, and a slow reader would have the event loop wait for what has left the memory meanwhile.
const BELIEVED_MS: u64 = 1000;
/// What is read from a disk at once, before the client gets a part of it.
pub const WARM_STEP: u64 = 1 << 20;

impl SentFile {
    /// A file that the application has opened, and answers for.
    pub fn of_application(file: OwnedFd) -> Self {
        SentFile { file, expected: None, warm_to: AtomicU64::new(0), warm_since_ms: AtomicU64::new(0) }
    }

    /// A file that must be as `expected` as long as it is sent.
    pub fn unchanged(file: OwnedFd, expected: Fingerprint) -> Self {
        SentFile { expected: Some(expected), ..SentFile::of_application(file) }
    }

    /// Whether it is what it has to be.
    pub fn is_unchanged(&self) -> bool {
        match &self.expected {
            None => true,
            Some(expected) => fingerprint(&self.file).is_ok_and(|now| now == *expected),
        }
    }

    /// How many bytes from `offset` on, up to `len`, are in memory; all of them where the system cannot tell.
    pub fn warm_bytes(&self, offset: u64, len: u64) -> u64 {
        self.warm_bytes_at(offset, len, coarse_ms())
    }

    fn warm_bytes_at(&self, offset: u64, len: u64, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.warm_since_ms.load(Ordering::Relaxed)) >= BELIEVED_MS {
            self.warm_to.store(0, Ordering::Relaxed);
            self.warm_since_ms.store(now_ms, Ordering::Relaxed);
        }
        let known = self.warm_to.load(Ordering::Relaxed);
        if offset.saturating_add(len) <= known {
            return len;
        }
        let mut warm = 0;
        while warm < len {
            if self.is_cold(offset + warm) {
                return warm;
            }
            // To the next border, so that the same places are looked at however the file is cut.
            warm += READ_AHEAD - (offset + warm) % READ_AHEAD;
        }
        if offset <= known {
            self.warm_to.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
        len
    }

    /// It may have left the memory since it was looked at.
    pub fn forget_warm(&self) {
        self.warm_to.store(0, Ordering::Relaxed);
    }

    fn is_cold(&self, offset: u64) -> bool {
        let mut byte = [0u8; 1];
        matches!(self.read_at_once(&mut byte, offset), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads what is in memory; fails with `WouldBlock` where a disk would have to be waited for.
    pub fn read_at_once(&self, room: &mut [u8], offset: u64) -> io::Result<usize> {
        system::read_at_once(self.file.as_fd(), room, offset)
    }

    /// Fills `room`, and waits for a disk if it must. A file that ends too early, or is not what it has to be, is an error.
    pub fn read_exact(&self, room: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = room.get_mut(filled..)
            && !rest.is_empty()
        {
            let place = libc::off_t::try_from(offset + filled as u64).map_err(io::Error::other)?;
            // SAFETY: `rest` has space for its length, and is borrowed until the call returns.
            let count =
                unsafe { libc::pread(self.file.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len(), place) };
            match usize::try_from(count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        if self.is_unchanged() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads from the disk what is not in memory. Waits for it: for helpers only. A failure shows when it is sent.
    pub fn warm(&self, offset: u64, len: u64) {
        let mut room = vec![0; READ_AHEAD as usize];
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(room.len());
            let Ok(place) = libc::off_t::try_from(at) else { return };
            // SAFETY: `room` has space for `wanted` bytes, and lives until the call returns.
            let count =
                unsafe { libc::pread(self.file.as_raw_fd(), room.as_mut_ptr().cast(), wanted, place) };
            match u64::try_from(count) {
                Ok(count) if count > 0 => at += count,
                _ => return,
            }
        }
    }
}

impl AsFd for SentFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for SentFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// The present state of an open file.
pub fn fingerprint(file: &impl AsRawFd) -> io::Result<Fingerprint> {
    kind_of(file).map(|(_, fingerprint)| fingerprint)
}

/// The same with its kind (`S_IFREG` and the like).
pub fn kind_of(file: &impl AsRawFd) -> io::Result<(libc::mode_t, Fingerprint)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the place has room for what is written to it.
    if unsafe { libc::fstat(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstat has succeeded, so it has filled all of it.
    let stat = unsafe { stat.assume_init() };
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let fingerprint = Fingerprint {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
    };
    Ok((stat.st_mode & libc::S_IFMT, fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_was_just_written_is_warm_and_read_at_once() {
        let file = SentFile::of_application(file_of(&[7; 300_000]).into());
        assert_eq!(file.warm_bytes(0, 300_000), 300_000);
        let mut room = [0; 10];
        assert_eq!(file.read_at_once(&mut room, 299_995).unwrap(), 5);
        assert_eq!(room, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_lies_on_the_disk_only_is_cold_until_it_has_been_read() {
        let file = file_of(&[7; 2_000_000]);
        file.sync_all().unwrap();
        // SAFETY: an advice about an open file.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let file = SentFile::of_application(file.into());
        if file.warm_bytes(0, 2_000_000) == 2_000_000 {
            // A file system in memory has nothing that is cold.
            return;
        }
        file.warm(0, 2_000_000);
        assert_eq!(file.warm_bytes(0, 2_000_000), 2_000_000);
    }

    #[test]
    fn what_was_warm_is_believed_for_a_while() {
        let file = file_of(&[7; 3_000_000]);
        file.sync_all().unwrap();
        let chill = || {
            // SAFETY: an advice about an open file.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        };
        let sent = SentFile::of_application(file.try_clone().unwrap().into());
        sent.warm(0, 3_000_000);
        // Looked at from somewhere else than its known beginning, nothing is known of the rest.
        assert_eq!(sent.warm_bytes_at(2_900_000, 100_000, 5000), 100_000);
        assert_eq!(sent.warm_bytes_at(0, 100_000, 5000), 100_000);
        assert_eq!(sent.warm_bytes_at(100_000, 2_400_000, 5500), 2_400_000);
        chill();
        assert_eq!(sent.warm_bytes_at(0, 2_500_000, 5999), 2_500_000);
        if sent.warm_bytes_at(2_500_000, 1, 5999) == 1 {
            // A file system in memory has nothing that is cold.
            return;
        }
        assert_eq!(sent.warm_bytes_at(0, 100_000, 6000), 0);
        sent.warm(0, 3_000_000);
        assert_eq!(sent.warm_bytes_at(0, 3_000_000, 6500), 3_000_000);
        chill();
        sent.forget_warm();
        assert_eq!(sent.warm_bytes_at(0, 100_000, 6501), 0);
    }

    #[test]
    fn a_change_is_seen() {
        let mut file = file_of(b"one");
        let expected = fingerprint(&file).unwrap();
        let sent = SentFile::unchanged(file.try_clone().unwrap().into(), expected);
        assert!(sent.is_unchanged());
        file.write_all(b"two").unwrap();
        assert!(!sent.is_unchanged());
    }
}
