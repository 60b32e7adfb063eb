//! The body arena: request bodies that are too big for the record and small enough for memory.
//!
//! One arena belongs to one front and is seen by all its workers, because a body is received before it is known which worker will
//! run the request. Only the front takes and returns chunks and writes into them; workers read chunks named by a record while its
//! slot runs. No allocator is shared: the free list is the front's own memory.

use std::io;
use std::sync::Arc;

use crate::region::Region;

/// Bytes of one chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;

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

    /// Up to `len` bytes from `offset` of a chunk, for the worker that runs the request; None when there is no such place.
    pub fn read(&self, chunk: u32, offset: usize, len: usize) -> Option<&[u8]> {
        if chunk >= self.chunks || offset > CHUNK_BYTES || len > CHUNK_BYTES - offset {
            return None;
        }
        // SAFETY: in range; the front does not write a chunk between submitting and releasing the request that names it.
        Some(unsafe { self.region.bytes(chunk as usize * CHUNK_BYTES + offset, len) })
    }
}

/// The front's side: who holds which chunk.
#[derive(Debug)]
pub struct BodyPool {
    arena: Arc<BodyArena>,
    /// Last returned, first taken: its pages are still in the cache.
    free: Vec<u32>,
}

impl BodyPool {
    /// The only pool of `arena`.
    pub fn new(arena: Arc<BodyArena>) -> Self {
        let free = (0..arena.chunks).rev().collect();
        BodyPool { arena, free }
    }

    /// A chunk, or None when all are in use: the body goes to a file then.
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop()
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
}
