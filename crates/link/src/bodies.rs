//! The body arena: request bodies that are too big for the record and small enough for memory.
//!
//! One arena belongs to one front and is seen by all its workers, because a body is received before it is known which worker will
//! run the request. Only the front takes and returns chunks and writes into them; workers read chunks named by a record while its
//! slot runs. Chunks of a body that is complete are not written any more then; those of a streamed one are, beyond what the worker knows of
//! (see `streaming`). No allocator is shared: the free list is the front's own memory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::ARENA_CHUNKS;
use crate::region::Region;
use crate::system;
use crate::trim::Ages;
use crate::wake::Sharing;

/// Bytes of one chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;

const ARENA_BYTES: usize = ARENA_CHUNKS as usize * CHUNK_BYTES;

/// The memory, as both ends see it.
#[derive(Debug)]
pub struct BodyArena {
    region: Region,
    chunks: u32,
}

impl BodyArena {
    /// An arena for this process only; pages are touched as bodies arrive.
    pub fn private(chunks: u32) -> io::Result<Self> {
        Ok(BodyArena { region: Region::private(chunks as usize * CHUNK_BYTES)?, chunks })
    }

    /// A file for the bodies of one front and all its workers.
    pub(crate) fn file() -> io::Result<File> {
        Region::shareable(c"pelton-bodies", ARENA_BYTES)
    }

    /// The arena in a file of [`body_memory`](crate::body_memory), for the one front that fills it. From now on nobody else can
    /// get write access: a broken worker cannot change a body that another one reads.
    pub fn shared_for_front(file: &File) -> io::Result<Self> {
        let region = Region::shared(file, ARENA_BYTES, true)?;
        system::forbid_new_writers(file)?;
        Ok(BodyArena { region, chunks: ARENA_CHUNKS })
    }

    /// The arena in a file of [`body_memory`](crate::body_memory), for a worker: to be read only.
    pub fn shared_for_worker(file: &File) -> io::Result<Self> {
        Ok(BodyArena { region: Region::shared(file, ARENA_BYTES, false)?, chunks: ARENA_CHUNKS })
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Whether other processes see it.
    pub fn is_shared(&self) -> bool {
        self.region.sharing() == Sharing::Shared
    }

    /// Up to `len` bytes from `offset` of a chunk, for the worker that runs the request; None when there is no such place.
    pub fn read(&self, chunk: u32, offset: usize, len: usize) -> Option<&[u8]> {
        if chunk >= self.chunks || offset > CHUNK_BYTES || len > CHUNK_BYTES - offset {
            return None;
        }
        // SAFETY: in range; between submitting and releasing a request the front writes nothing to its chunks, or, where they are the window of
        // a streamed body, only bytes that it has not published, which callers do not ask for.
        Some(unsafe { self.region.bytes(chunk as usize * CHUNK_BYTES + offset, len) })
    }
}

/// The front's side: who holds which chunk.
#[derive(Debug)]
pub struct BodyPool {
    pub(crate) arena: Arc<BodyArena>,
    /// Last returned, first taken: its pages are still in the cache.
    pub(crate) free: Vec<u32>,
    pub(crate) ages: Ages,
}

impl BodyPool {
    /// The only pool of `arena`, which must be the front's.
    pub fn new(arena: Arc<BodyArena>) -> Self {
        assert!(arena.region.is_writable(), "a worker's view of the arena has no pool");
        let free = (0..arena.chunks).rev().collect();
        BodyPool { ages: Ages::new(arena.chunks as usize), arena, free }
    }

    /// A chunk, or None when all are in use: the body goes to a file then.
    pub fn take(&mut self) -> Option<u32> {
        let chunk = self.free.pop()?;
        self.ages.use_one(chunk);
        Some(chunk)
    }

    /// Gives chunks back. The request that named them is over.
    pub fn put_back(&mut self, chunks: impl IntoIterator<Item = u32>) {
        self.free.extend(chunks);
        debug_assert!(self.free.len() <= self.arena.chunks as usize, "a chunk was returned twice");
    }

    /// Chunks that are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Chunks in all.
    pub fn capacity(&self) -> usize {
        self.arena.chunks as usize
    }

    /// The bytes of a chunk that this front holds and has not submitted.
    pub fn bytes_mut(&mut self, chunk: u32) -> &mut [u8] {
        assert!(chunk < self.arena.chunks);
        // SAFETY: in range; the pool is borrowed mutably, and workers only read chunks of submitted requests.
        unsafe { self.arena.region.bytes_mut(chunk as usize * CHUNK_BYTES, CHUNK_BYTES) }
    }

    /// The same of several chunks at once; no two of them may be the same.
    pub fn all_bytes_mut<'p>(&'p mut self, chunks: &'p [u32]) -> impl Iterator<Item = &'p mut [u8]> {
        let is_twice = |at: usize| chunks.get(..at).is_some_and(|before| before.contains(&chunks[at]));
        assert!(!(0..chunks.len()).any(is_twice) && chunks.iter().all(|chunk| *chunk < self.arena.chunks));
        let arena = &self.arena;
        chunks.iter().map(|chunk| {
            // SAFETY: in range, and each of them once; the pool is borrowed mutably as long as any of them, and workers only read chunks of submitted
            // requests.
            unsafe { arena.region.bytes_mut(*chunk as usize * CHUNK_BYTES, CHUNK_BYTES) }
        })
    }

    /// A part of a chunk of a window whose other parts a worker may be reading.
    pub(crate) fn part_mut(&mut self, chunk: u32, offset: usize, len: usize) -> &mut [u8] {
        assert!(chunk < self.arena.chunks && offset <= CHUNK_BYTES && len <= CHUNK_BYTES - offset);
        // SAFETY: in range; the pool is borrowed mutably, and the caller's window says that no worker reads just these bytes.
        unsafe { self.arena.region.bytes_mut(chunk as usize * CHUNK_BYTES + offset, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_and_run_out() {
        let arena = Arc::new(BodyArena::private(3).unwrap());
        let mut pool = BodyPool::new(Arc::clone(&arena));
        let taken: Vec<u32> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken.len(), 3);
        pool.bytes_mut(taken[1])[10..13].copy_from_slice(b"abc");
        assert_eq!(arena.read(taken[1], 10, 3), Some(&b"abc"[..]));
        pool.put_back(taken);
        assert_eq!(pool.free(), 3);
    }

    #[test]
    fn a_worker_cannot_read_outside() {
        let arena = BodyArena::private(2).unwrap();
        assert!(arena.read(2, 0, 1).is_none());
        assert!(arena.read(1, CHUNK_BYTES, 1).is_none());
        assert!(arena.read(1, 1, CHUNK_BYTES).is_none());
        assert!(arena.read(0, usize::MAX, 2).is_none());
        assert_eq!(arena.read(1, CHUNK_BYTES, 0).map(<[u8]>::len), Some(0));
    }

    #[test]
    fn workers_see_what_the_front_wrote_and_cannot_write() {
        let file = BodyArena::file().unwrap();
        let mut pool = BodyPool::new(Arc::new(BodyArena::shared_for_front(&file).unwrap()));
        let view = BodyArena::shared_for_worker(&file).unwrap();
        let chunk = pool.take().unwrap();
        pool.bytes_mut(chunk)[7..10].copy_from_slice(b"abc");
        assert_eq!(view.read(chunk, 7, 3), Some(&b"abc"[..]));
        assert!(BodyArena::shared_for_front(&file).is_err(), "a worker got a writable mapping");
        assert!(std::os::unix::fs::FileExt::write_at(&file, b"x", 0).is_err());
        assert!(file.set_len(0).is_err());
    }
}
