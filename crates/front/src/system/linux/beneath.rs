//! A name that is resolved beneath a folder, whatever it says and whichever symbolic links somebody makes in between: by the kernel
//! (openat2, `RESOLVE_BENEATH`). Where it cannot (before Linux 5.6, or a sandbox that does not know the call), each part of a name is
//! opened by itself and no symbolic link is followed at all.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The kernel or a sandbox has refused openat2: the other way from now on.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// How often a name is tried again whose folders are being renamed meanwhile.
const TRIES: usize = 8;

/// Nothing is read from a folder itself.
const FOLDER: libc::c_int = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
/// A FIFO without a writer must not make the front wait, and a terminal must not become the server's.
const FILE: libc::c_int = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// The folder at `path`, to look in.
pub(crate) fn open_folder(path: &CStr) -> io::Result<OwnedFd> {
    open_at(libc::AT_FDCWD, path, FOLDER)
}

fn open_at(folder: RawFd, name: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a NUL and lives until the call returns.
    owned(unsafe { libc::openat(folder, name.as_ptr(), flags) }.into())
}

/// Opens what `name` leads to within `folder`, and nothing outside of it.
pub(crate) fn open_beneath(folder: RawFd, name: &CStr) -> io::Result<OwnedFd> {
    if NO_OPENAT2.load(Ordering::Relaxed) {
        return open_part_by_part(folder, name);
    }
    match open_by_kernel(folder, name) {
        Err(error) if is_unknown_call(&error) => {
            NO_OPENAT2.store(true, Ordering::Relaxed);
            open_part_by_part(folder, name)
        }
        other => other,
    }
}

pub(crate) fn open_by_kernel(folder: RawFd, name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: it consists of numbers only, for which all zero bits are a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = FILE as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    let mut tries = TRIES;
    loop {
        // SAFETY: the name ends with a NUL, `how` has the size that is given, and both live until the call returns.
        let result = owned(unsafe {
            libc::syscall(libc::SYS_openat2, folder, name.as_ptr(), &raw const how, size_of_val(&how))
        });
        tries -= 1;
        match result {
            // A folder on the way was renamed meanwhile, and nobody knows whether the name still lies beneath.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tries > 0 => {}
            other => return other,
        }
    }
}

pub(crate) fn open_part_by_part(folder: RawFd, name: &CStr) -> io::Result<OwnedFd> {
    let mut here: Option<OwnedFd> = None;
    let mut parts = name.to_bytes().split(|&byte| byte == b'/').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, b"" | b"." | b"..") {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        let part = CString::new(part)?;
        let at = here.as_ref().map_or(folder, AsRawFd::as_raw_fd);
        let flags = if parts.peek().is_some() { FOLDER } else { FILE };
        here = Some(open_at(at, &part, flags | libc::O_NOFOLLOW)?);
    }
    here.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(descriptor) {
        // SAFETY: the call that gave it has just opened it, so it belongs to nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sandboxes answer EPERM for a call that they do not know; openat2 itself does so for files of others under O_NOATIME only.
fn is_unknown_call(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}
