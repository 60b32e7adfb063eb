//! Static files: which path of a request names which file, and what is said of it.
//!
//! Owns the mount points with their open files, and the rules about names that need a file system. Knows the path and the fields of a request,
//! no connection. `root` opens, `open_files` keeps, `plan` decides what is sent. Runs on the front's thread.

pub(crate) mod named;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::{fs, io};

use pelton_http::file_path::{below, check, decode, extension, fits};

use crate::static_files::open_files::{Found, OpenFiles, Representations};
use crate::static_files::root::NotOpened;

pub mod open_files;
pub mod plan;
pub mod root;

/// What is sent of a name without an extension, or with one that is not in the table.
const UNKNOWN_TYPE: &[u8] = b"application/octet-stream";

/// Settings of all mount points; see the settings table for the meaning of each.
#[derive(Clone, Debug, Default)]
pub struct StaticSettings {
    /// Paths of requests, and the folders below them.
    pub mounts: Vec<(String, Vec<u8>)>,
    /// The file that stands for its folder; empty for none.
    pub index: String,
    /// The file that is sent to a browser in place of one that is missing.
    pub fallback: Option<String>,
    /// Whether the application is asked for what is missing.
    pub fall_through: bool,
    /// Patterns of names, and the value of `Cache-Control` for what fits them first.
    pub cache_control: Vec<(String, String)>,
    /// Media types by extension.
    pub media_types: HashMap<Vec<u8>, Vec<u8>>,
    /// Whether coded neighbours are looked for.
    pub neighbours: bool,
    /// Files kept open.
    pub open_files: usize,
}

/// A part of the paths, and a folder.
#[derive(Debug)]
struct Mount {
    /// Without a slash at its end.
    prefix: Vec<u8>,
    /// The folder, without a slash at its end: as it was named, and without symbolic links.
    folders: Vec<Vec<u8>>,
    files: OpenFiles,
}

#[derive(Debug)]
pub struct StaticFiles {
    /// The longest prefix first.
    mounts: Vec<Mount>,
    settings: StaticSettings,
    /// The decoded path; reused.
    decoded: Vec<u8>,
}

/// A file that was found.
#[derive(Debug)]
pub struct FoundFile {
    /// Itself and its coded neighbours.
    pub files: Representations,
    /// Its place: mount point and name.
    place: (usize, Vec<u8>),
}

/// What a path names.
#[derive(Debug)]
pub enum Named {
    /// No static file, whatever there is on the disk.
    NotOurs,
    /// A file.
    File(FoundFile),
    /// A folder whose path lacks the slash at its end.
    Folder,
    /// Nothing that may be sent.
    Missing,
    /// The disk or the system does not let us look.
    Failed(io::Error),
}

impl StaticFiles {
    /// Opens the folders. An error names the folder that cannot be opened.
    pub fn new(settings: StaticSettings) -> io::Result<Self> {
        let mounts = open_mounts(&settings.mounts, &settings)?;
        Ok(StaticFiles { mounts, settings, decoded: Vec::new() })
    }

    /// Descriptors that it may hold.
    pub fn most_open(&self) -> usize {
        self.settings.open_files * self.mounts.len()
    }

    /// Whether there is any folder.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.mounts.is_empty()
    }

    /// Whether the application is asked for what is missing.
    pub fn falls_through(&self) -> bool {
        self.settings.fall_through
    }

    /// One more folder, found after the start.
    pub fn mount(&mut self, prefix: &str, folder: &[u8]) -> io::Result<()> {
        if self.mounts.iter().any(|mount| mount.prefix == prefix.as_bytes()) {
            return Ok(());
        }
        let new = open_mounts(&[(prefix.to_owned(), folder.to_vec())], &self.settings)?;
        self.mounts.extend(new);
        self.mounts.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
        Ok(())
    }

    /// What the path of a request names. `is_encoded`: it has a percent sign. `takes_html`: whether the fallback may be sent.
    pub fn look_up(
        &mut self,
        path: &[u8],
        is_encoded: bool,
        takes_html: impl FnOnce() -> bool,
        now_ms: u64,
        now_ns: i128,
    ) -> Named {
        let path = if path.is_empty() { b"/" } else { path };
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        // What cannot be decoded is no name of a file; what is not encoded decides whether it lies below a mount point.
        let is_name = if is_encoded {
            let is_name = decode(path, &mut decoded).is_ok();
            if !is_name {
                decoded.clear();
                decoded.extend_from_slice(path);
            }
            is_name
        } else {
            decoded.extend_from_slice(path);
            true
        };
        let named = self.look_up_decoded(&decoded, is_name, takes_html, now_ms, now_ns);
        self.decoded = decoded;
        named
    }

    fn look_up_decoded(
        &mut self,
        path: &[u8],
        is_name: bool,
        takes_html: impl FnOnce() -> bool,
        now_ms: u64,
        now_ns: i128,
    ) -> Named {
        let place = self.mounts.iter().enumerate();
        let Some((number, relative)) =
            place.filter_map(|(number, mount)| Some((number, below(path, &mount.prefix)?))).next()
        else {
            return Named::NotOurs;
        };
        let missing = if self.settings.fall_through { Named::NotOurs } else { Named::Missing };
        if !is_name || check(relative).is_err() {
            return missing;
        }
        let is_folder = relative.is_empty() || relative.ends_with(b"/");
        let has_index = !self.settings.index.is_empty();
        let mut name = relative.to_vec();
        if is_folder {
            name.extend_from_slice(self.settings.index.as_bytes());
        }
        let found = match self.open(number, &name, now_ms, now_ns) {
            // The mount point itself needs its slash, too, or relative links of the index would lead elsewhere.
            Named::File(_) if relative.is_empty() && !path.ends_with(b"/") => Named::Folder,
            _ if is_folder && !has_index => Named::Missing,
            // A folder without an index is nothing that can be sent.
            Named::Folder if !is_folder && has_index => {
                let index = [&name[..], b"/", self.settings.index.as_bytes()].concat();
                match self.open(number, &index, now_ms, now_ns) {
                    Named::File(_) => Named::Folder,
                    _ => Named::Missing,
                }
            }
            Named::Folder => Named::Missing,
            other => other,
        };
        if !matches!(found, Named::Missing) {
            return found;
        }
        if let Some(fallback) = self.settings.fallback.clone()
            && takes_html()
            && let Named::File(found) = self.open(number, fallback.as_bytes(), now_ms, now_ns)
        {
            return Named::File(found);
        }
        missing
    }

    /// What a path of the file system names, if it lies below one of the folders as they were named, or as they are without symbolic links.
    pub fn look_up_file(&mut self, path: &[u8], now_ms: u64, now_ns: i128) -> Named {
        let place = self.mounts.iter().enumerate().find_map(|(number, mount)| {
            let relative = mount.folders.iter().find_map(|folder| below(path, folder))?;
            Some((number, relative))
        });
        match place {
            Some((number, name)) if !name.is_empty() && check(name).is_ok() => {
                self.open(number, name, now_ms, now_ns)
            }
            _ => Named::NotOurs,
        }
    }

    fn open(&mut self, number: usize, name: &[u8], now_ms: u64, now_ns: i128) -> Named {
        let Some(mount) = self.mounts.get_mut(number) else { return Named::Missing };
        match mount.files.find(name, now_ms, now_ns) {
            Ok(Found::File(files)) => Named::File(FoundFile { files, place: (number, name.to_vec()) }),
            Ok(Found::Folder) => Named::Folder,
            Err(NotOpened::Missing) => Named::Missing,
            Err(NotOpened::Failed(error)) => Named::Failed(error),
        }
    }

    /// The same file again, after it has turned out to have changed.
    pub fn look_again(&mut self, found: &FoundFile, now_ms: u64, now_ns: i128) -> Named {
        let (number, name) = &found.place;
        if let Some(mount) = self.mounts.get_mut(*number) {
            mount.files.doubt(name);
        }
        self.open(*number, name, now_ms, now_ns)
    }

    /// What is said of a file's content and of keeping it.
    pub fn described(&self, found: &FoundFile) -> (&[u8], Option<&[u8]>) {
        let (_, name) = &found.place;
        (self.media_type(name), self.cache_control(name))
    }

    fn media_type(&self, name: &[u8]) -> &[u8] {
        self.settings.media_types.get(&extension(name)).map_or(UNKNOWN_TYPE, |found| found)
    }

    fn cache_control(&self, name: &[u8]) -> Option<&[u8]> {
        let fitting = self.settings.cache_control.iter().find(|(pattern, _)| fits(pattern.as_bytes(), name));
        fitting.map(|(_, value)| value.as_bytes()).filter(|value| !value.is_empty())
    }

    /// Milliseconds until [`StaticFiles::tidy`] has something to close.
    pub fn next_tidy_ms(&self, now_ms: u64) -> Option<u64> {
        self.mounts.iter().filter_map(|mount| mount.files.next_sweep_ms(now_ms)).min()
    }

    /// Closes what nobody has asked for lately.
    pub fn tidy(&mut self, now_ms: u64) {
        for mount in &mut self.mounts {
            mount.files.tidy(now_ms);
        }
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.mounts.iter().map(|mount| mount.files.count()).sum()
    }
}

fn open_mounts(mounts: &[(String, Vec<u8>)], settings: &StaticSettings) -> io::Result<Vec<Mount>> {
    let mut opened = Vec::new();
    for (prefix, folder) in mounts {
        let files = OpenFiles::new(folder, settings.open_files, settings.neighbours).map_err(|error| {
            let folder = String::from_utf8_lossy(folder);
            io::Error::new(
                error.kind(),
                format!("the folder {folder} for {prefix} cannot be opened: {error}"),
            )
        })?;
        let resolved = fs::canonicalize(OsStr::from_bytes(folder)).ok();
        let named = [Some(folder.clone()), resolved.map(|path| path.into_os_string().into_vec())];
        let folders = named.into_iter().flatten();
        let folders =
            folders.map(|path| path.strip_suffix(b"/").map_or(path.clone(), <[u8]>::to_vec)).collect();
        opened.push(Mount { prefix: prefix.trim_end_matches('/').as_bytes().to_vec(), folders, files });
    }
    opened.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
    Ok(opened)
}
