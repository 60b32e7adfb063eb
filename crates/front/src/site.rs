//! What the front does itself for a site: files, the cache, compression, limits of rate, maintenance.
//!
//! Owns the state; `meeting`, `files`, `named_files`, `caching` and `limiting` act on it. All of it is idle where it is not set. Runs on the front's thread.

use std::io;
use std::sync::Arc;

use crate::cache::Cache;
use crate::compression::Compression;
use crate::counters::Losses;
use crate::rate_limits::RateLimits;
use crate::settings::Settings;
use crate::static_files::StaticFiles;

/// See the module's head.
pub(crate) struct Site {
    /// Whether requests are looked at before the application has them: the cache, limits of rate.
    pub(crate) has_rules: bool,
    pub(crate) cache: Option<Cache>,
    pub(crate) rate_limits: RateLimits,
    pub(crate) static_files: StaticFiles,
    /// Files that the application names.
    pub(crate) named_files: StaticFiles,
    /// Whether what is asked for has to be kept for a response of the front's own.
    pub(crate) keeps_asked: bool,
    /// Everybody but a few is asked to come again later.
    pub(crate) in_maintenance: bool,
    /// None where responses are not compressed.
    pub(crate) compression: Option<Arc<Compression>>,
    /// What the log has said of files that cannot be opened.
    pub(crate) file_failures: Losses,
}

impl Site {
    /// Takes its settings out. Fails where a folder cannot be opened.
    pub(crate) fn new(settings: &mut Settings) -> io::Result<Self> {
        Ok(Site {
            has_rules: false,
            cache: (settings.cache_bytes > 0).then(|| Cache::new(settings.cache_bytes)),
            rate_limits: RateLimits::new(&settings.rate_limits),
            static_files: StaticFiles::new(std::mem::take(&mut settings.static_files))?,
            named_files: StaticFiles::new(std::mem::take(&mut settings.named_files))?,
            keeps_asked: false,
            in_maintenance: false,
            compression: Compression::new(std::mem::take(&mut settings.compression)),
            file_failures: Losses::default(),
        })
    }

    /// How many files can be open at most, to be sent again.
    pub(crate) fn most_open_files(&self) -> usize {
        self.static_files.most_open() + self.named_files.most_open()
    }

    /// How many are.
    pub(crate) fn open_files(&self) -> usize {
        self.static_files.open_files() + self.named_files.open_files()
    }
}
