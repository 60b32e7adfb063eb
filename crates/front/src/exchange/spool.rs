//! Files for what is too large to be kept in memory: request bodies, and answers for slow readers.
//!
//! Owns the directory and the account of how much lies there. The files have no name: they go with their last descriptor, whatever
//! happens to this process. Written by the front's thread; a write goes to the system's cache and rarely waits for a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where such files are made, and how much all of them together may hold.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Account>);

#[derive(Debug)]
struct Account {
    directory: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl Spool {
    /// In `directory`, up to `limit` bytes in all files together; 0: as much as the disk holds.
    pub fn new(directory: PathBuf, limit: u64) -> Self {
        let limit = if limit == 0 { u64::MAX } else { limit };
        Spool(Arc::new(Account { directory, limit, used: AtomicU64::new(0) }))
    }

    /// A new empty file.
    pub fn file(&self) -> io::Result<SpoolFile> {
        let file = tempfile::tempfile_in(&self.0.directory)?;
        Ok(SpoolFile { file, len: 0, account: Arc::clone(&self.0) })
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// For messages.
    pub fn directory(&self) -> std::path::Display<'_> {
        self.0.directory.display()
    }
}

/// One file; its bytes are given back to the account when it is dropped.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    len: u64,
    account: Arc<Account>,
}

impl SpoolFile {
    /// Appends `bytes`. An error when the disk or the account is full: then nothing counts as written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = bytes.len() as u64;
        let used = self.account.used.fetch_add(count, Ordering::Relaxed) + count;
        let written = if used > self.account.limit {
            Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the limit for such files is reached"))
        } else {
            self.file.write_all_at(bytes, self.len)
        };
        match written {
            Ok(()) => self.len += count,
            Err(_) => self.give_back(count),
        }
        written
    }

    /// Forgets what has been written.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.give_back(self.len);
        self.len = 0;
        Ok(())
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn give_back(&self, count: u64) {
        self.account.used.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.give_back(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_kept_and_its_limit_holds() {
        let spool = Spool::new(std::env::temp_dir(), 10);
        let mut first = spool.file().unwrap();
        let mut second = spool.file().unwrap();
        first.append(b"12345678").unwrap();
        assert!(second.append(b"123").is_err());
        assert_eq!((spool.used(), second.len()), (8, 0));
        second.append(b"12").unwrap();
        first.clear().unwrap();
        assert_eq!(spool.used(), 2);
        first.append(b"abc").unwrap();
        let mut content = [0; 3];
        first.file().read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"abc");
        drop((first, second));
        assert_eq!(spool.used(), 0);
    }
}
