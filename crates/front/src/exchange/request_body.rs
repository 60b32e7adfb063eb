//! A request body while it is collected: in arena chunks, then in a file.
//!
//! A body moves to a file when it outgrows the memory allowed to one, or when the arena is empty; so memory is bounded whatever
//! clients do. Received bytes land where the worker will read them: there is no copy in between.

use std::io;

use pelton_link::{BodyPool, CHUNK_BYTES};

use crate::exchange::spool::{Spool, SpoolFile};

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
        let used = (self.len % CHUNK_BYTES as u64) as usize;
        if self.chunks.len() as u64 * CHUNK_BYTES as u64 == self.len {
            self.chunks.push(pool.take()?);
        }
        pool.bytes_mut(*self.chunks.last()?).get_mut(used..)
    }

    /// The bytes behind the last one, which were received into [`Body::room`] and not yet accounted for.
    pub fn received<'p>(&self, pool: &'p mut BodyPool, count: usize) -> &'p [u8] {
        let used = (self.len % CHUNK_BYTES as u64) as usize;
        match self.chunks.last() {
            Some(&last) => pool.bytes_mut(last).get(used..used + count).unwrap_or_default(),
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
