//! A request body while it is collected: in arena chunks, then in a file.
//!
//! A body moves to a file when it outgrows the memory allowed to one, or when the arena is empty; so memory is bounded whatever
//! clients do. Received bytes land where the worker will read them: there is no copy in between.

use std::io::{self, IoSliceMut};

use pelton_link::{BodyPool, CHUNK_BYTES};

use crate::exchange::spool::{Spool, SpoolFile};

/// Chunks that are received into with one call: fewer calls cost less, for both ends, and more memory would wait for its bytes.
const AT_ONCE: usize = 4;

/// Chunks must be given back by [`Body::discard`] or handed on; dropping the value would leak them.
#[derive(Debug, Default)]
pub struct Body {
    chunks: Vec<u32>,
    file: Option<SpoolFile>,
    len: u64,
}

impl Body {
    /// Bytes collected.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is in a file.
    pub fn is_spooled(&self) -> bool {
        self.file.is_some()
    }

    /// The room behind the last byte, for receiving straight into it; None when the body is (or has to go) in a file.
    pub fn room<'p>(&mut self, pool: &'p mut BodyPool, memory: u64) -> Option<&'p mut [u8]> {
        if self.file.is_some() || self.len >= memory {
            return None;
        }
        let (at, used) = self.end();
        if at == self.chunks.len() {
            self.chunks.push(pool.take()?);
        }
        pool.bytes_mut(*self.chunks.get(at)?).get_mut(used..)
    }

    /// Which chunk the next byte comes into, and where.
    fn end(&self) -> (usize, usize) {
        let chunk = CHUNK_BYTES as u64;
        ((self.len / chunk) as usize, (self.len % chunk) as usize)
    }

    /// As [`Body::room`], but for `wanted` bytes over several chunks, as far as there are some and no more than a few: for receiving with one call
    /// from a client that keeps up. Empty where `room` gives nothing.
    pub fn rooms<'p>(
        &'p mut self,
        pool: &'p mut BodyPool,
        memory: u64,
        wanted: usize,
    ) -> Vec<IoSliceMut<'p>> {
        let mut rooms = Vec::new();
        if self.room(pool, memory).is_none() {
            return rooms;
        }
        let (at, used) = self.end();
        let wanted = wanted.min(usize::try_from(memory - self.len).unwrap_or(usize::MAX));
        let count = (used + wanted).div_ceil(CHUNK_BYTES).clamp(1, AT_ONCE);
        while self.chunks.len() < at + count
            && let Some(chunk) = pool.take()
        {
            self.chunks.push(chunk);
        }
        let chunks = self.chunks.get(at..self.chunks.len().min(at + count)).unwrap_or_default();
        let mut left = wanted;
        let mut start = used;
        for bytes in pool.all_bytes_mut(chunks) {
            let end = CHUNK_BYTES.min(start + left);
            left -= end - start;
            rooms.push(IoSliceMut::new(bytes.get_mut(start..end).unwrap_or_default()));
            start = 0;
        }
        rooms
    }

    /// Of `count` bytes behind the last one, which were received into [`Body::room`] or [`Body::rooms`] and not yet accounted for, those that lie
    /// together.
    pub fn received<'p>(&self, pool: &'p mut BodyPool, count: usize) -> &'p [u8] {
        let (at, used) = self.end();
        match self.chunks.get(at) {
            Some(&chunk) => {
                pool.bytes_mut(chunk).get(used..CHUNK_BYTES.min(used + count)).unwrap_or_default()
            }
            None => &[],
        }
    }

    /// Accounts for `count` bytes received into [`Body::room`].
    pub fn advance(&mut self, count: usize) {
        self.len += count as u64;
        debug_assert!(self.len <= self.chunks.len() as u64 * CHUNK_BYTES as u64);
    }

    /// Appends a copy of `bytes`.
    pub fn push(
        &mut self,
        pool: &mut BodyPool,
        mut bytes: &[u8],
        memory: u64,
        spool: &Spool,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.room(pool, memory) {
                Some(room) => {
                    let n = room.len().min(bytes.len());
                    let (now, later) = bytes.split_at(n);
                    if let Some(place) = room.get_mut(..n) {
                        place.copy_from_slice(now);
                    }
                    self.len += n as u64;
                    bytes = later;
                }
                None => {
                    self.spool(pool, spool)?.append(bytes)?;
                    self.len += bytes.len() as u64;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn spool(&mut self, pool: &mut BodyPool, spool: &Spool) -> io::Result<&mut SpoolFile> {
        if self.file.is_none() {
            let mut file = spool.file()?;
            let mut left = self.len;
            for &chunk in &self.chunks {
                let n = left.min(CHUNK_BYTES as u64) as usize;
                file.append(pool.bytes_mut(chunk).get(..n).unwrap_or_default())?;
                left -= n as u64;
            }
            pool.put_back(self.chunks.drain(..));
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// The body is complete: what to hand on.
    pub fn into_parts(self) -> (Vec<u32>, Option<SpoolFile>, u64) {
        (self.chunks, self.file, self.len)
    }

    /// Gives everything back.
    pub fn discard(&mut self, pool: &mut BodyPool) {
        pool.put_back(self.chunks.drain(..));
        self.file = None;
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_link::BodyArena;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    fn bytes_of(body: Body, arena: &BodyArena) -> Vec<u8> {
        let (chunks, file, len) = body.into_parts();
        let mut out = Vec::new();
        if let Some(file) = file {
            out.resize(file.len() as usize, 0);
            file.file().read_exact_at(&mut out, 0).unwrap();
        }
        let mut left = len as usize - out.len();
        for chunk in chunks {
            let n = left.min(CHUNK_BYTES);
            out.extend_from_slice(arena.read(chunk, 0, n).unwrap());
            left -= n;
        }
        out
    }

    #[test]
    fn bodies_of_every_size_and_cut_come_out_whole() {
        let data: Vec<u8> = (0..300_000_u32).map(|i| (i / 3) as u8).collect();
        let spool = Spool::new(std::env::temp_dir(), 0);
        for memory in [0, 1, 1000, CHUNK_BYTES as u64, 200_000, 1 << 20] {
            for len in [0, 1, 999, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 300_000] {
                for piece in [1000, 65_536, 70_000] {
                    let arena = Arc::new(BodyArena::private(8).unwrap());
                    let mut pool = BodyPool::new(Arc::clone(&arena));
                    let mut body = Body::default();
                    for part in data[..len].chunks(piece) {
                        body.push(&mut pool, part, memory, &spool).unwrap();
                    }
                    assert_eq!(body.len(), len as u64);
                    assert!(body.file.is_none() || pool.free() == 8);
                    assert!(bytes_of(body, &arena) == data[..len], "{memory} {len} {piece}");
                }
            }
        }
    }

    #[test]
    fn what_is_received_into_several_chunks_at_once_comes_out_whole() {
        let data: Vec<u8> = (0..700_000_u32).map(|i| (i / 3) as u8).collect();
        // So many bytes come with each call; and so much memory a body may have, so that the rest goes elsewhere.
        for come in [1000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1 << 20] {
            for (chunks, memory) in [(16, 1 << 20), (16, 200_000), (3, 1 << 20)] {
                let arena = Arc::new(BodyArena::private(chunks).unwrap());
                let mut pool = BodyPool::new(Arc::clone(&arena));
                let mut body = Body::default();
                let mut at = 0;
                while at < data.len() {
                    let rest = &data[at..data.len().min(at + come)];
                    let mut count = 0;
                    let rooms = body.rooms(&mut pool, memory, data.len() - at);
                    assert!(rooms.len() <= AT_ONCE && rooms.iter().all(|room| !room.is_empty()));
                    for mut room in rooms {
                        let piece = room.len().min(rest.len() - count);
                        room[..piece].copy_from_slice(&rest[count..count + piece]);
                        count += piece;
                    }
                    if count == 0 {
                        break;
                    }
                    let mut left = count;
                    while left > 0 {
                        let piece = body.received(&mut pool, left);
                        assert!(!piece.is_empty() && piece == &data[at..at + piece.len()]);
                        let piece = piece.len();
                        body.advance(piece);
                        (left, at) = (left - piece, at + piece);
                    }
                }
                let most = (chunks as u64 * CHUNK_BYTES as u64).min(memory).min(data.len() as u64);
                assert_eq!(body.len(), most, "{come} {chunks} {memory}");
                assert!(bytes_of(body, &arena) == data[..most as usize]);
            }
        }
    }

    #[test]
    fn an_empty_arena_sends_the_body_to_a_file() {
        let arena = Arc::new(BodyArena::private(2).unwrap());
        let mut pool = BodyPool::new(Arc::clone(&arena));
        let data = vec![7; 200_000];
        let mut body = Body::default();
        body.push(&mut pool, &data, 1 << 30, &Spool::new(std::env::temp_dir(), 0)).unwrap();
        assert!(body.file.is_some() && pool.free() == 2);
        assert!(bytes_of(body, &arena) == data);
    }
}
