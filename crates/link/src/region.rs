//! A piece of memory that two ends look at: mapped once per process, found by offset only.
//!
//! Owns the mapping. Must not know what lies in it: `layout` does. The region holds no pointer and no Rust
//! object with a destructor, so the same bytes mean the same in every process that maps them.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use crate::fork::{self, Kept};
use crate::system;
use crate::wake::Sharing;

/// The size of a page; where it is larger, the system refuses what is no multiple of it.
const PAGE: usize = 4096;

/// A mapping of zeroed memory; pages cost nothing until they are first written.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    sharing: Sharing,
    writable: bool,
    /// Of shared memory: a forked child does not get it.
    kept: Option<Kept>,
}

// SAFETY: the region is raw memory without thread affinity; every access to it goes through atomics, or through
// `bytes`/`bytes_mut`, whose callers must own the bytes according to the table in `layout`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Memory for two ends within this process.
    pub fn private(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, true)
    }

    /// A file in memory that several processes can map; it goes when the last of them has closed it. Its size is fixed: a process that
    /// could shrink it would let every other one that looks at it die of SIGBUS.
    pub(crate) fn shareable(name: &CStr, len: usize) -> io::Result<File> {
        let file = system::memory_file(name)?;
        file.set_len(len as u64)?;
        system::fix_size(&file)?;
        Ok(file)
    }

    /// Maps the first `len` bytes of a file made by [`Region::shareable`], for reading or for both. A smaller file is an error.
    pub(crate) fn shared(file: &File, len: usize, writable: bool) -> io::Result<Self> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the memory is smaller than the link needs",
            ));
        }
        Self::map(len, libc::MAP_SHARED, file.as_raw_fd(), writable)
    }

    fn map(len: usize, flags: libc::c_int, fd: libc::c_int, writable: bool) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let sharing = if fd < 0 { Sharing::Private } else { Sharing::Shared };
        let access = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // NORESERVE: the region is sized for the worst case and mostly never touched.
        let flags = flags | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice; the result is checked.
        let address = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let kept = (sharing == Sharing::Shared).then(|| fork::keep_mapping(base.as_ptr(), len, writable));
        Ok(Region { base, len, sharing, writable, kept })
    }

    /// Gives the whole pages within `offset..offset + len` back to the system; they are zero when they are next looked at.
    /// What the system refuses stays: it is memory, not meaning.
    ///
    /// # Safety
    /// This end must own the bytes, as for [`Region::bytes_mut`].
    pub(crate) unsafe fn give_back(&self, offset: usize, len: usize) {
        assert!(offset <= self.len && len <= self.len - offset);
        let (start, end) = (offset.next_multiple_of(PAGE), (offset + len) / PAGE * PAGE);
        if start >= end {
            return;
        }
        // SAFETY: whole pages of this mapping, by the assertion; the caller vouches for what is in them.
        unsafe { system::forget_pages(self.base.add(start).as_ptr(), end - start, self.sharing) };
    }

    /// Whether this process may write to it.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether another process may look at this memory.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// A shared view of a `T` at `offset`.
    ///
    /// # Safety
    /// `T` must consist of atomics only, for which all bit patterns are valid.
    pub(crate) unsafe fn atomics<T>(&self, offset: usize) -> &T {
        assert!(offset.is_multiple_of(align_of::<T>()) && offset + size_of::<T>() <= self.len);
        // SAFETY: in bounds and aligned by the assertion (the base is page-aligned); the caller vouches for `T`.
        unsafe { self.base.add(offset).cast::<T>().as_ref() }
    }

    /// The bytes `offset..offset + len`, for reading.
    ///
    /// # Safety
    /// Nobody may write them during the borrow. A broken process at the other end could do so all the same: callers
    /// only copy from the slice, or decide on values which they have copied out before.
    pub(crate) unsafe fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: in bounds by the assertion; the caller vouches for exclusivity.
        unsafe { std::slice::from_raw_parts(self.base.add(offset).as_ptr(), len) }
    }

    /// The bytes `offset..offset + len`, for writing.
    ///
    /// # Safety
    /// The region must be writable, and this end must own the bytes (see the table in `layout`) and hold no other slice of them.
    #[allow(clippy::mut_from_ref)] // ownership is by protocol state, not by the borrow of the mapping
    pub(crate) unsafe fn bytes_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: in bounds by the assertion; the caller vouches for exclusivity.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(offset).as_ptr(), len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // First, so that no child replaces what comes to this address next.
        drop(self.kept.take());
        // SAFETY: base and len are those of the mapping made in `map`, and nobody can borrow from it any more.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_of_one_file_see_the_same_bytes_at_different_addresses() {
        let file = Region::shareable(c"test", 8192).unwrap();
        let (a, b) = (Region::shared(&file, 8192, true).unwrap(), Region::shared(&file, 8192, true).unwrap());
        assert_ne!(a.base, b.base);
        // SAFETY: one thread, one slice at a time.
        unsafe {
            a.bytes_mut(5000, 3).copy_from_slice(b"abc");
            assert_eq!(b.bytes(5000, 3), b"abc");
        }
    }

    #[test]
    fn an_empty_region_is_refused_and_one_beyond_its_file() {
        assert!(Region::private(0).is_err());
        let file = Region::shareable(c"test", 4096).unwrap();
        assert!(Region::shared(&file, 4097, true).is_err());
        assert!(Region::shared(&file, 4096, false).is_ok_and(|region| !region.is_writable()));
    }

    #[test]
    fn nobody_can_change_the_size_of_a_shared_file() {
        let file = Region::shareable(c"test", 8192).unwrap();
        for len in [0, 4096, 16384] {
            assert!(file.set_len(len).is_err());
        }
    }
}
