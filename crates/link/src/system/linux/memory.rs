//! Memory that has a descriptor and no name (memfd_create), and what may not be done to it any more (seals).

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use crate::wake::Sharing;

/// An empty file in memory that several processes can map; it goes when the last of them has closed it. `name` is for people only.
pub(crate) fn memory_file(name: &CStr) -> io::Result<File> {
    let create = |flags: libc::c_uint| {
        // SAFETY: a C string and flags; the result is checked.
        let raw = unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_CLOEXEC) };
        if raw < 0 { Err(io::Error::last_os_error()) } else { Ok(raw) }
    };
    // Hardened systems refuse memory that could be executed; Linux before 6.3 does not know that there is another kind.
    let raw = match create(libc::MFD_NOEXEC_SEAL) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(libc::MFD_ALLOW_SEALING)?,
        created => created?,
    };
    // SAFETY: `raw` was just made and has no other owner.
    Ok(unsafe { File::from_raw_fd(raw) })
}

/// Nobody can change the size of a memory file any more.
pub(crate) fn fix_size(file: &File) -> io::Result<()> {
    seal(file, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW)
}

/// Nobody can get write access to a memory file any more, nor change what is forbidden; mappings that can write stay as they are.
pub(crate) fn forbid_new_writers(file: &File) -> io::Result<()> {
    match seal(file, libc::F_SEAL_FUTURE_WRITE) {
        // Linux before 5.1 does not know it.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        sealed => sealed?,
    }
    seal(file, libc::F_SEAL_SEAL)
}

fn seal(file: &File, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: a live descriptor and integers.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives whole pages back to the system; they are zero when they are next looked at. What the system refuses stays: it is memory, not meaning.
///
/// # Safety
/// The pages are those of a live mapping of this kind, and nobody needs what is in them.
pub(crate) unsafe fn forget_pages(start: *mut u8, len: usize, sharing: Sharing) {
    let advice = match sharing {
        Sharing::Private => libc::MADV_DONTNEED,
        Sharing::Shared => libc::MADV_REMOVE,
    };
    // SAFETY: the caller vouches for the pages.
    unsafe { libc::madvise(start.cast(), len, advice) };
}
