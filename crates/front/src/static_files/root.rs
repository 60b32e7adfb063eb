//! A folder whose files may be sent, and the one way to open something in it.
//!
//! Owns a descriptor of the folder; nothing outside of it is ever opened, whatever a name says and whichever symbolic links somebody
//! makes in between: the system resolves the whole name beneath the folder (see `system`). Knows no HTTP. Runs on the front's thread.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sent_file::{Fingerprint, kind_of};
use crate::system::{open_beneath, open_folder};

/// What a name leads to.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File(OwnedFd, Fingerprint),
    /// A folder within.
    Folder,
}

/// Why there is nothing to send.
#[derive(Debug)]
pub enum NotOpened {
    /// No such name; or something that is no file, lies outside, or may not be read: all of that is the same to a client.
    Missing,
    /// The system cannot open anything at present, or the disk is broken.
    Failed(io::Error),
}

/// A folder beneath which names are resolved.
#[derive(Debug)]
pub struct Root {
    path: CString,
    folder: OwnedFd,
}

impl Root {
    /// The folder at `path`, which may itself be reached by symbolic links.
    pub fn new(path: &[u8]) -> io::Result<Self> {
        let path = CString::new(path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let folder = open_folder(&path)?;
        Ok(Root { path, folder })
    }

    /// Follows the name again: it may lead to another folder since (a deployment that switches a symbolic link). Where it leads
    /// nowhere at present, the folder stays.
    pub fn follow(&mut self) {
        if let Ok(folder) = open_folder(&self.path) {
            self.folder = folder;
        }
    }

    /// Opens what `name` leads to; names are separated by slashes, none of them empty, `.` or `..`.
    pub fn open(&self, name: &[u8]) -> Result<Opened, NotOpened> {
        if name.is_empty() {
            return Ok(Opened::Folder);
        }
        let name = CString::new(name).map_err(|_| NotOpened::Missing)?;
        let file = open_beneath(self.folder.as_raw_fd(), &name).map_err(NotOpened::from)?;
        match kind_of(&file).map_err(NotOpened::from)? {
            (libc::S_IFREG, fingerprint) => Ok(Opened::File(file, fingerprint)),
            (libc::S_IFDIR, _) => Ok(Opened::Folder),
            // A device, a FIFO (opened without waiting for a writer, and closed again at once), a socket.
            _ => Err(NotOpened::Missing),
        }
    }
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(
                libc::ENOENT
                | libc::ENOTDIR
                | libc::ELOOP
                | libc::EXDEV
                | libc::ENAMETOOLONG
                | libc::EACCES
                | libc::EPERM
                | libc::ENXIO
                | libc::EINVAL
                | libc::ENODEV
                | libc::EAGAIN,
            ) => NotOpened::Missing,
            _ => NotOpened::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent_file::fingerprint;
    use crate::system::{open_by_kernel, open_part_by_part};
    use std::ffi::CStr;
    use std::fs;
    use std::os::fd::RawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    /// A folder with a file, and beside it what must not be reached.
    fn site() -> (tempfile::TempDir, Root) {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("site");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(all.path().join("secret"), "secret").unwrap();
        fs::write(folder.join("a/b/c.txt"), "content").unwrap();
        symlink("a/b", folder.join("within")).unwrap();
        symlink("../secret", folder.join("out")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink(all.path().join("secret"), folder.join("absolute")).unwrap();
        symlink(folder.join("a"), folder.join("absolute-within")).unwrap();
        symlink("/proc/self/cwd", folder.join("magic")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        let root = Root::new(bytes(&folder)).unwrap();
        (all, root)
    }

    type Open = fn(RawFd, &CStr) -> io::Result<OwnedFd>;

    fn open(root: &Root, way: Open, name: &str) -> bool {
        way(root.folder.as_raw_fd(), &CString::new(name).unwrap()).is_ok()
    }

    #[test]
    fn nothing_outside_is_opened_in_either_way() {
        let (_all, root) = site();
        for way in [open_by_kernel as Open, open_part_by_part] {
            assert!(open(&root, way, "a/b/c.txt"));
            for name in [
                "../secret",
                "a/../../secret",
                "out",
                "up/secret",
                "absolute",
                "absolute-within/b/c.txt",
                "magic",
                "loop",
                "/etc/passwd",
                "a/b/c.txt/",
                "missing",
                "a/b/c.txt/x",
            ] {
                assert!(!open(&root, way, name), "{name}");
            }
        }
        // Links that stay within are followed where the kernel can tell.
        assert!(open(&root, open_by_kernel, "within/c.txt"));
        assert!(!open(&root, open_part_by_part, "within/c.txt"));
    }

    #[test]
    fn only_files_are_files() {
        let (all, root) = site();
        let fifo = CString::new(bytes(&all.path().join("site/fifo"))).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(all.path().join("site/socket")).unwrap();
        for name in ["fifo", "socket", "missing", "out", "a\0b"] {
            assert!(matches!(root.open(name.as_bytes()), Err(NotOpened::Missing)), "{name}");
        }
        assert!(
            matches!(root.open(b"a"), Ok(Opened::Folder)) && matches!(root.open(b""), Ok(Opened::Folder))
        );
        let Ok(Opened::File(file, before)) = root.open(b"a/b/c.txt") else { panic!("no file") };
        assert_eq!(before.size, 7);
        fs::write(all.path().join("site/a/b/c.txt"), "changed").unwrap();
        assert_ne!(fingerprint(&file).unwrap(), before);
        let devices = Root::new(b"/dev").unwrap();
        assert!(matches!(devices.open(b"null"), Err(NotOpened::Missing)));
    }

    #[test]
    fn a_folder_that_is_exchanged_is_followed() {
        let all = tempfile::tempdir().unwrap();
        for release in ["1", "2"] {
            fs::create_dir(all.path().join(release)).unwrap();
            fs::write(all.path().join(release).join(release), release).unwrap();
        }
        let current = all.path().join("current");
        symlink("1", &current).unwrap();
        let mut root = Root::new(bytes(&current)).unwrap();
        fs::remove_file(&current).unwrap();
        root.follow();
        assert!(matches!(root.open(b"1"), Ok(Opened::File(..))));
        symlink("2", &current).unwrap();
        root.follow();
        assert!(matches!(root.open(b"1"), Err(NotOpened::Missing)));
        assert!(matches!(root.open(b"2"), Ok(Opened::File(..))));
    }
}
