//! Files for what is too large to be kept in memory: request bodies, and responses for slow readers.
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
    /// Whose limit holds, too.
    whole: Option<Arc<Account>>,
}

impl Account {
    /// Whether `count` more bytes may be written; then they count.
    fn take(&self, count: u64) -> bool {
        let used = self.used.fetch_add(count, Ordering::Relaxed) + count;
        let is_taken = used <= self.limit && self.whole.as_ref().is_none_or(|whole| whole.take(count));
        if !is_taken {
            self.used.fetch_sub(count, Ordering::Relaxed);
        }
        is_taken
    }

    fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(count);
        }
    }
}

impl Spool {
    /// In `directory`, up to `limit` bytes in all files together; 0: as much as the disk holds.
    pub fn new(directory: PathBuf, limit: u64) -> Self {
        let limit = if limit == 0 { u64::MAX } else { limit };
        Spool(Arc::new(Account { directory, limit, used: AtomicU64::new(0), whole: None }))
    }

    /// A part of it, which may hold `limit` bytes of what the whole may.
    pub fn part(&self, limit: u64) -> Self {
        let directory = self.0.directory.clone();
        let whole = Some(Arc::clone(&self.0));
        Spool(Arc::new(Account { directory, limit, used: AtomicU64::new(0), whole }))
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
        if !self.account.take(count) {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the limit for such files is reached"));
        }
        let written = self.file.write_all_at(bytes, self.len);
        match written {
            Ok(()) => self.len += count,
            Err(_) => self.account.give_back(count),
        }
        written
    }

    /// Forgets what has been written.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.account.give_back(self.len);
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
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.account.give_back(self.len);
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

    #[test]
    fn a_part_counts_in_the_whole_and_has_a_limit_of_its_own() {
        let whole = Spool::new(std::env::temp_dir(), 10);
        let part = whole.part(6);
        let (mut one, mut two) = (part.file().unwrap(), part.file().unwrap());
        one.append(b"1234").unwrap();
        assert!(two.append(b"123").is_err());
        two.append(b"12").unwrap();
        assert_eq!((part.used(), whole.used()), (6, 6));
        two.clear().unwrap();
        let mut other = whole.file().unwrap();
        other.append(b"123456").unwrap();
        assert!(two.append(b"1").is_err());
        assert_eq!((part.used(), whole.used()), (4, 10));
        drop((one, two));
        assert_eq!((part.used(), whole.used()), (0, 6));
    }
}
