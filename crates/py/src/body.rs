//! Where the bytes of a request's body are read from, and how far.
//!
//! Owns position, chunk numbers and the spool file's descriptor (closed on drop). Knows no Python, so it may be used with or without
//! the GIL. The chunks' memory is only ours while the request runs; `input` sees to it that a [`Body`] ends before the slot does.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::slice;
use std::sync::Arc;

use pelton_front::memory;
use pelton_link::request::BodyView;
use pelton_link::{BodyArena, CHUNK_BYTES};

/// How much of a file is read ahead where lines are wanted.
const WINDOW: usize = 64 * 1024;

/// A body and the position in it.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    at: u64,
    length: u64,
}

#[derive(Debug)]
enum Source {
    Bytes(Vec<u8>),
    Chunks { arena: Arc<BodyArena>, numbers: Vec<u32> },
    File { file: File, window: Vec<u8>, window_at: u64 },
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the request's body is not where its record says")
}

impl Body {
    /// The body of a request that this process has just taken; None if it has none. `take_file` fetches the descriptor that a token names. To be
    /// called once per request, because that can be done only once.
    pub(crate) fn of(
        view: BodyView<'_>,
        arena: &Arc<BodyArena>,
        take_file: impl FnOnce(u64) -> io::Result<OwnedFd>,
    ) -> io::Result<Option<Body>> {
        let (source, length) = match view {
            BodyView::None | BodyView::Socket(_) => return Ok(None),
            // Copied, so that it does not hang on the slot: it is small.
            BodyView::Inline(bytes) => (Source::Bytes(bytes.to_vec()), bytes.len() as u64),
            BodyView::Chunks(numbers, length) => {
                let numbers: Vec<u32> = numbers
                    .chunks_exact(4)
                    .map(|bytes| bytes.try_into().map(u32::from_ne_bytes))
                    .collect::<Result<_, _>>()
                    .map_err(|_| damaged())?;
                if length > (numbers.len() * CHUNK_BYTES) as u64 {
                    return Err(damaged());
                }
                (Source::Chunks { arena: Arc::clone(arena), numbers }, length)
            }
            BodyView::File(token, length) => {
                let file = File::from(take_file(token)?);
                (Source::File { file, window: Vec::new(), window_at: 0 }, length)
            }
            // Read in another way, see `stream`.
            BodyView::Stream { .. } => return Err(damaged()),
        };
        Ok(Some(Body { source, at: 0, length }))
    }

    /// Whether it lies in memory that other processes see, and that a forked child therefore has not got.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(&self.source, Source::Chunks { arena, .. } if arena.is_shared())
    }

    /// Whether nothing has to be waited for.
    pub(crate) fn is_in_memory(&self) -> bool {
        !matches!(self.source, Source::File { .. })
    }

    /// Bytes not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    /// Fills `place` from its beginning as far as the body goes; gives how much of it is written then. Memory is copied once, to where nothing has
    /// been written before.
    pub(crate) fn read(&mut self, place: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left()).unwrap_or(usize::MAX).min(place.len());
        let mut done = 0;
        while let Some(rest) = place.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let read = if let Source::File { file, .. } = &self.source {
                // Straight to its place; the window is for lines.
                rest.fill(MaybeUninit::new(0));
                // SAFETY: all of it has just been written.
                let rest = unsafe { slice::from_raw_parts_mut(rest.as_mut_ptr().cast(), rest.len()) };
                match file.read_at(rest, self.at) {
                    Ok(0) => return Err(damaged()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                }
            } else {
                let piece = self.peek()?;
                let read = piece.len().min(rest.len());
                let (Some(target), Some(piece)) = (rest.get_mut(..read), piece.get(..read)) else {
                    return Err(damaged());
                };
                // SAFETY: bytes are bytes that may not have been written.
                target.copy_from_slice(unsafe { slice::from_raw_parts(piece.as_ptr().cast(), piece.len()) });
                read
            };
            self.at += read as u64;
            done += read;
        }
        Ok(done)
    }

    /// Appends a line with its end to `line`, but at most `limit` bytes.
    pub(crate) fn read_line(&mut self, limit: usize, line: &mut Vec<u8>) -> io::Result<()> {
        let mut limit = limit;
        while limit > 0 && self.left() > 0 {
            let piece = self.peek()?;
            let piece = piece.get(..limit).unwrap_or(piece);
            let end = memchr::memchr(b'\n', piece);
            let piece = end.and_then(|end| piece.get(..=end)).unwrap_or(piece);
            memory::append(line, piece)?;
            let read = piece.len();
            self.at += read as u64;
            limit -= read;
            if end.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The next bytes that lie together: at least one, as there is something left.
    fn peek(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let piece = match &mut self.source {
            Source::Bytes(bytes) => bytes.get(self.at as usize..).unwrap_or_default(),
            Source::Chunks { arena, numbers } => {
                let (chunk, offset) = (self.at as usize / CHUNK_BYTES, self.at as usize % CHUNK_BYTES);
                let length = left.min(CHUNK_BYTES - offset);
                numbers.get(chunk).and_then(|&number| arena.read(number, offset, length)).unwrap_or_default()
            }
            Source::File { file, window, window_at } => {
                let within = |window: &[u8], window_at: u64| {
                    self.at.checked_sub(window_at).is_some_and(|offset| offset < window.len() as u64)
                };
                if !within(window, *window_at) {
                    window.resize(WINDOW.min(left), 0);
                    *window_at = self.at;
                    let read = loop {
                        match file.read_at(window, self.at) {
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            read => break read,
                        }
                    };
                    window.truncate(*read.as_ref().unwrap_or(&0));
                    read?;
                }
                window.get((self.at - *window_at) as usize..).unwrap_or_default()
            }
        };
        if piece.is_empty() { Err(damaged()) } else { Ok(piece.get(..left).unwrap_or(piece)) }
    }
}
