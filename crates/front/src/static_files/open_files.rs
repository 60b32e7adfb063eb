//! Files that have been opened and may be asked for again: a bounded number of them, each looked at again after a while.
//!
//! Owns the descriptors of the cache; whoever sends a file holds it by an `Arc` besides, so that nothing is closed under a response. What a
//! file is now, compared with what it was, decides two things: by name, once per [`CHECK_MS`], whether the name still leads to it; by
//! descriptor, for each response and by whoever sends it, whether somebody has written into it. Runs on the front's thread.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pelton_http::{ContentCoding, DateCache};

use crate::sent_file::{Fingerprint, SentFile};
use crate::static_files::root::{NotOpened, Opened, Root};

/// For how long a name is believed to lead where it led.
const CHECK_MS: u64 = 1000;
/// A file that nobody asks for is closed after this; a deleted one keeps its bytes on the disk until then.
const KEEP_MS: u64 = 20_000;
/// A file that was changed more recently may be changed again without that being seen: times have a grain, on some file systems of a
/// second and more. It has a weak entity tag and no date until then (RFC 9110 sections 8.8.1 and 8.8.2).
const SETTLED_NS: i128 = 2_000_000_000;
/// How much older than its original a coded neighbour may be: build tools and copies do not keep the order within a second.
const NEIGHBOUR_SLACK_NS: i128 = 2_000_000_000;

/// A regular file, and what is said of it in a head.
#[derive(Debug)]
pub struct OpenFile {
    file: Arc<SentFile>,
    fingerprint: Fingerprint,
    /// With quotes.
    pub etag: Vec<u8>,
    /// Value of `Last-Modified` and the same in seconds since 1970; None while it has not settled.
    pub modified: Option<([u8; 29], u64)>,
}

impl OpenFile {
    fn new(file: OwnedFd, fingerprint: Fingerprint, coding: Option<ContentCoding>, now_ns: i128) -> Self {
        let age = now_ns - fingerprint.modified_ns.max(fingerprint.changed_ns);
        let weak = if age < SETTLED_NS { "W/" } else { "" };
        let suffix = coding.map(|coding| format!("-{}", coding.name())).unwrap_or_default();
        let etag = format!("{weak}\"{:x}-{:x}{suffix}\"", fingerprint.modified_ns, fingerprint.size);
        let seconds = u64::try_from(fingerprint.modified_ns / 1_000_000_000).ok();
        let modified =
            seconds.filter(|_| age >= SETTLED_NS).map(|seconds| (*DateCache::new().render(seconds), seconds));
        let file = Arc::new(SentFile::unchanged(file, fingerprint));
        OpenFile { file, fingerprint, etag: etag.into_bytes(), modified }
    }

    /// What is sent.
    pub fn sent(&self) -> Arc<SentFile> {
        Arc::clone(&self.file)
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.fingerprint.size
    }

    fn has_settled(&self) -> bool {
        self.modified.is_some()
    }
}

/// A file and its coded neighbours.
#[derive(Clone, Debug)]
pub struct Representations {
    /// As it is.
    pub plain: Arc<OpenFile>,
    /// By the number of the coding.
    pub coded: [Option<Arc<OpenFile>>; 3],
}

impl Representations {
    /// The codings that there are, the smallest file first.
    pub fn codings(&self) -> impl Iterator<Item = ContentCoding> {
        let mut found: Vec<_> = ContentCoding::ALL
            .into_iter()
            .filter_map(|coding| {
                let file = self.coded.get(coding as usize)?.as_ref()?;
                Some((file.size(), coding))
            })
            .collect();
        found.sort_unstable_by_key(|(size, _)| *size);
        found.into_iter().map(|(_, coding)| coding)
    }

    fn count(&self) -> usize {
        1 + self.coded.iter().flatten().count()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<OpenFile>> {
        std::iter::once(&self.plain).chain(self.coded.iter().flatten())
    }

    /// Whether there is any coded neighbour: the response depends on `Accept-Encoding` then.
    pub fn varies(&self) -> bool {
        self.coded.iter().any(Option::is_some)
    }
}

/// What a name led to.
#[derive(Clone, Debug)]
pub enum Found {
    /// A file.
    File(Representations),
    /// A folder.
    Folder,
}

#[derive(Debug)]
struct Entry {
    files: Representations,
    checked_ms: u64,
    used_ms: u64,
}

/// Opens files below one folder, and keeps some of them open.
#[derive(Debug)]
pub struct OpenFiles {
    root: Root,
    /// Names relative to the folder.
    entries: HashMap<Box<[u8]>, Entry>,
    /// Descriptors: open now, and the most.
    open: usize,
    most: usize,
    /// Whether coded neighbours are looked for.
    neighbours: bool,
    followed_ms: u64,
    swept_ms: u64,
}

impl OpenFiles {
    /// Below `path`, keeping up to `most` of them open.
    pub fn new(path: &[u8], most: usize, neighbours: bool) -> io::Result<Self> {
        Ok(OpenFiles {
            root: Root::new(path)?,
            entries: HashMap::new(),
            open: 0,
            most,
            neighbours,
            followed_ms: 0,
            swept_ms: 0,
        })
    }

    /// What `name` leads to now. `now_ns` is the wall clock.
    pub fn find(&mut self, name: &[u8], now_ms: u64, now_ns: i128) -> Result<Found, NotOpened> {
        if now_ms >= self.followed_ms + CHECK_MS {
            self.followed_ms = now_ms;
            self.root.follow();
            self.sweep(now_ms);
        }
        if let Some(entry) = self.entries.get_mut(name) {
            if now_ms < entry.checked_ms + CHECK_MS {
                entry.used_ms = now_ms;
                return Ok(Found::File(entry.files.clone()));
            }
            entry.files.all().for_each(|file| file.file.forget_warm());
        }
        self.look(name, now_ms, now_ns)
    }

    /// Looks at `name` again when it is asked for next.
    pub fn doubt(&mut self, name: &[u8]) {
        self.remove(name);
    }

    fn remove(&mut self, name: &[u8]) -> Option<Representations> {
        let files = self.entries.remove(name)?.files;
        self.open -= files.count();
        Some(files)
    }

    /// Opens `name` anew; what is as it was stays the same object.
    fn look(&mut self, name: &[u8], now_ms: u64, now_ns: i128) -> Result<Found, NotOpened> {
        let before = self.remove(name);
        let keep = |new: OpenFile, old: Option<&Arc<OpenFile>>| match old {
            Some(old) if old.fingerprint == new.fingerprint && (old.has_settled() || !new.has_settled()) => {
                Arc::clone(old)
            }
            _ => Arc::new(new),
        };
        let plain = match self.root.open(name)? {
            Opened::Folder => return Ok(Found::Folder),
            Opened::File(file, fingerprint) => OpenFile::new(file, fingerprint, None, now_ns),
        };
        let mut coded = [None, None, None];
        if self.neighbours {
            for (coding, place) in ContentCoding::ALL.into_iter().zip(&mut coded) {
                let neighbour = [name, coding.extension()].concat();
                if let Ok(Opened::File(file, fingerprint)) = self.root.open(&neighbour)
                    && fingerprint.modified_ns + NEIGHBOUR_SLACK_NS >= plain.fingerprint.modified_ns
                {
                    let file = OpenFile::new(file, fingerprint, Some(coding), now_ns);
                    let old = before.as_ref().and_then(|files| files.coded.get(coding as usize)?.as_ref());
                    *place = Some(keep(file, old));
                }
            }
        }
        let files = Representations { plain: keep(plain, before.as_ref().map(|files| &files.plain)), coded };
        let count = files.count();
        if count <= self.most {
            self.make_room(count);
            self.open += count;
            let entry = Entry { files: files.clone(), checked_ms: now_ms, used_ms: now_ms };
            self.entries.insert(name.into(), entry);
        }
        Ok(Found::File(files))
    }

    /// Forgets whatever has not been used for longest. A walk, but only for a name that is not open yet, which costs more.
    fn make_room(&mut self, count: usize) {
        while self.open + count > self.most
            && let Some(name) =
                self.entries.iter().min_by_key(|(_, entry)| entry.used_ms).map(|(name, _)| name.clone())
        {
            self.remove(&name);
        }
    }

    /// Closes what nobody has asked for lately.
    fn sweep(&mut self, now_ms: u64) {
        if now_ms >= self.swept_ms + KEEP_MS / 4 {
            self.swept_ms = now_ms;
            self.entries.retain(|_, entry| entry.used_ms + KEEP_MS > now_ms);
            self.open = self.entries.values().map(|entry| entry.files.count()).sum();
        }
    }

    /// Milliseconds until something is to be closed although nobody asks for a file; None where nothing is open.
    pub fn next_sweep_ms(&self, now_ms: u64) -> Option<u64> {
        let last = self.entries.values().map(|entry| entry.used_ms).min()?;
        Some((last + KEEP_MS).max(self.swept_ms + KEEP_MS / 4).saturating_sub(now_ms))
    }

    /// Closes what has not been used for long; to be called now and then.
    pub fn tidy(&mut self, now_ms: u64) {
        self.sweep(now_ms);
    }

    /// Files that are open.
    pub fn count(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    struct Site {
        folder: tempfile::TempDir,
        files: OpenFiles,
        now_ms: u64,
    }

    impl Site {
        fn new(most: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = OpenFiles::new(folder.path().as_os_str().as_bytes(), most, true).unwrap();
            Site { folder, files, now_ms: 0 }
        }

        fn write(&self, name: &str, content: &str, age_seconds: u64) {
            // A new inode, as a deployment makes it.
            let path = self.folder.path().join(name);
            let new = self.folder.path().join("new");
            fs::write(&new, content).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age_seconds);
            File::options().write(true).open(&new).unwrap().set_modified(time).unwrap();
            fs::rename(new, path).unwrap();
        }

        fn find(&mut self, name: &str) -> Option<Representations> {
            // An hour later, so that everything has settled.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
            match self.files.find(name.as_bytes(), self.now_ms, now + 3_600_000_000_000) {
                Ok(Found::File(files)) => Some(files),
                _ => None,
            }
        }
    }

    #[test]
    fn a_file_is_opened_once_and_followed_when_it_is_exchanged() {
        let mut site = Site::new(10);
        site.write("a", "one", 100);
        let first = site.find("a").unwrap();
        assert!(Arc::ptr_eq(&first.plain, &site.find("a").unwrap().plain));
        // Looked at again by name, and the same.
        site.now_ms = 2 * CHECK_MS;
        assert!(Arc::ptr_eq(&first.plain, &site.find("a").unwrap().plain));
        site.write("a", "two!", 50);
        site.now_ms += CHECK_MS;
        let second = site.find("a").unwrap();
        assert_eq!((first.plain.size(), second.plain.size()), (3, 4));
        assert_ne!(first.plain.etag, second.plain.etag);
        fs::remove_file(site.folder.path().join("a")).unwrap();
        site.now_ms += CHECK_MS;
        assert!(site.find("a").is_none() && site.files.count() == 0);
    }

    #[test]
    fn what_is_written_into_a_file_is_seen_at_once() {
        let mut site = Site::new(10);
        site.write("a", "one", 100);
        let first = site.find("a").unwrap();
        fs::write(site.folder.path().join("a"), "changed").unwrap();
        // Whoever sends it finds that out, and has it looked at again.
        assert!(!first.plain.sent().is_unchanged());
        site.files.doubt(b"a");
        assert_eq!(site.find("a").unwrap().plain.size(), 7);
    }

    #[test]
    fn neighbours_are_found_unless_they_are_older() {
        let mut site = Site::new(10);
        site.write("a.js", "something long", 100);
        site.write("a.js.gz", "short", 100);
        site.write("a.js.br", "s", 50);
        site.write("a.js.zst", "old", 103);
        let files = site.find("a.js").unwrap();
        let codings: Vec<_> = files.codings().collect();
        assert_eq!(codings, [ContentCoding::Brotli, ContentCoding::Gzip]);
        assert!(files.varies());
        let etags: Vec<_> = [Some(&files.plain), files.coded[0].as_ref(), files.coded[1].as_ref()]
            .into_iter()
            .map(|file| file.unwrap().etag.clone())
            .collect();
        assert!(etags[1].ends_with(b"-gzip\"") && etags[2].ends_with(b"-br\"") && etags[0] != etags[1]);
        // Whoever has put it there wants it sent, as other servers do, also where it is no smaller.
        site.write("b", "x", 100);
        site.write("b.gz", "xxxxxxxx", 100);
        assert!(site.find("b").unwrap().varies());
    }

    #[test]
    fn the_number_of_open_files_is_bounded_and_unused_ones_are_closed() {
        let mut site = Site::new(2);
        for (name, at) in [("a", 0), ("b", 1), ("c", 2)] {
            site.write(name, name, 100);
            site.now_ms = at;
            site.find(name).unwrap();
        }
        assert_eq!(site.files.count(), 2);
        assert_eq!(site.files.next_sweep_ms(2), Some(KEEP_MS - 1));
        site.files.tidy(1 + KEEP_MS);
        assert_eq!(site.files.count(), 1);
        site.files.tidy(2 * KEEP_MS);
        assert_eq!((site.files.count(), site.files.next_sweep_ms(2 * KEEP_MS)), (0, None));
    }

    #[test]
    fn what_was_changed_just_now_is_not_vouched_for() {
        let mut site = Site::new(10);
        site.write("a", "one", 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
        let Ok(Found::File(fresh)) = site.files.find(b"a", 0, now) else { panic!("no file") };
        assert!(fresh.plain.etag.starts_with(b"W/\"") && fresh.plain.modified.is_none());
        site.now_ms = CHECK_MS;
        let settled = site.find("a").unwrap();
        assert!(settled.plain.etag.starts_with(b"\"") && settled.plain.modified.is_some());
        assert_eq!(&fresh.plain.etag[2..], &settled.plain.etag[..]);
    }
}
