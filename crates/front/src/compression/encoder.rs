//! The three codings behind one form: bytes in, what there is of the coded stream out.
//!
//! Levels are chosen by measurement (docs/compression.md): where the next one costs more than it saves on pages and JSON. Knows no HTTP.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use brotli::enc::BrotliEncoderParams;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use pelton_http::ContentCoding;
use zstd::stream::raw::{self, CParameter, Operation};
use zstd::stream::zio;

use crate::memory;

const GZIP_LEVEL: u32 = 2;
/// Quality and window of brotli for a body whose length is known and that is small: as small as gzip makes it, at the same cost.
const BROTLI_WHOLE: (i32, i32) = (1, 16);
/// For others, and where a piece has to leave before the next one is there: the lower quality finds nothing again of former pieces.
const BROTLI_STREAM: (i32, i32) = (2, WINDOW_BITS as i32);
const ZSTD_LEVEL: i32 = 3;
/// Far below what RFC 9659 allows (8 MiB): each stream holds some multiples of it for as long as it lasts.
const WINDOW_BITS: u8 = 18;
/// With the lower quality small pieces are collected up to this, for each is compressed by itself.
const COLLECTED: usize = 16 * 1024;
/// Larger ones would repeat what is farther away than the small window.
const MOST_WHOLE: u64 = 256 * 1024;
/// No coding takes more memory than this with its window and level (zstd, the largest, 1.6 MiB).
const MOST_MEMORY: usize = 4 * 1024 * 1024;
/// What is collected before it is written on; only of brotli, whose writer has a buffer of its own.
const BUFFER: usize = 16 * 1024;
/// Tables of zstd that are kept for the next response. No more are in use at once where whole responses are compressed, one by each helper.
const MOST_SPARE: usize = 4;

/// Tables of zstd that nobody uses: to have them made by the kernel, page by page, costs as much as the compression of 100 KiB.
#[derive(Clone, Default)]
pub struct Spare(Arc<Mutex<Vec<raw::Encoder<'static>>>>);

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spare")
    }
}

impl Spare {
    fn take(&self) -> Option<raw::Encoder<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, encoder: raw::Encoder<'static>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_SPARE {
            all.push(encoder);
        }
    }
}

enum Stream {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zio::Writer<Vec<u8>, raw::Encoder<'static>>),
}

pub struct Encoder {
    coding: ContentCoding,
    length: Option<u64>,
    spare: Spare,
    /// Made with the first piece, by whoever has that: so its memory is that thread's, and only as many are there as are at work.
    stream: Option<Stream>,
    /// Bytes that the stream has not got yet; only while `brotli` is [`BROTLI_WHOLE`].
    collected: Vec<u8>,
    brotli: (i32, i32),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({})", self.coding.name())
    }
}

impl Encoder {
    /// For a body of `length` bytes, if that is known.
    pub fn new(coding: ContentCoding, length: Option<u64>, spare: Spare) -> io::Result<Self> {
        if !memory::has_room_for(MOST_MEMORY) {
            return Err(memory::refused());
        }
        let is_small = length.is_some_and(|length| length <= MOST_WHOLE);
        let brotli = if is_small { BROTLI_WHOLE } else { BROTLI_STREAM };
        Ok(Encoder { coding, length, spare, stream: None, collected: Vec::new(), brotli })
    }

    fn collects(&self) -> bool {
        self.coding == ContentCoding::Brotli && self.brotli == BROTLI_WHOLE
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.begin()?,
        };
        Ok(self.stream.insert(stream))
    }

    fn begin(&self) -> io::Result<Stream> {
        Ok(match self.coding {
            ContentCoding::Gzip => Stream::Gzip(GzEncoder::new(Vec::new(), Level::new(GZIP_LEVEL))),
            ContentCoding::Brotli => {
                let (quality, lgwin) = self.brotli;
                let parameters = BrotliEncoderParams {
                    quality,
                    lgwin,
                    size_hint: self.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                let writer = brotli::CompressorWriter::with_params(Vec::new(), BUFFER, &parameters);
                Stream::Brotli(Box::new(writer))
            }
            ContentCoding::Zstd => {
                let mut encoder = match self.spare.take() {
                    Some(encoder) => encoder,
                    None => raw::Encoder::new(ZSTD_LEVEL)?,
                };
                encoder.reinit()?;
                encoder.set_parameter(CParameter::WindowLog(u32::from(WINDOW_BITS)))?;
                // Tables are made as large as the body needs. A body of another length is broken anyway.
                encoder.set_pledged_src_size(self.length)?;
                Stream::Zstd(zio::Writer::new(Vec::new(), encoder))
            }
        })
    }

    /// One more piece; what comes out of it now is appended to `out`.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if self.collects() && (piece.len() < COLLECTED || !self.collected.is_empty()) {
            self.collected.extend_from_slice(piece);
            if self.collected.len() < COLLECTED {
                return Ok(());
            }
            self.write_collected()?;
        } else {
            self.write_on(piece)?;
        }
        self.take(out)
    }

    fn write_on(&mut self, piece: &[u8]) -> io::Result<()> {
        match self.stream()? {
            Stream::Gzip(encoder) => encoder.write_all(piece),
            Stream::Brotli(encoder) => encoder.write_all(piece),
            Stream::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    fn write_collected(&mut self) -> io::Result<()> {
        let collected = std::mem::take(&mut self.collected);
        if collected.is_empty() { Ok(()) } else { self.write_on(&collected) }
    }

    /// All that was written can be read by who has what is in `out` then.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.stream.is_none() {
            // It comes in pieces.
            self.brotli = BROTLI_STREAM;
        }
        self.write_collected()?;
        match self.stream()? {
            Stream::Gzip(encoder) => encoder.flush()?,
            Stream::Brotli(encoder) => encoder.flush()?,
            Stream::Zstd(encoder) => encoder.flush()?,
        }
        self.take(out)
    }

    /// The stream is whole.
    pub fn end(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.write_collected()?;
        self.stream()?;
        match self.stream {
            Some(Stream::Gzip(encoder)) => out.append(&mut encoder.finish()?),
            Some(Stream::Brotli(encoder)) => out.append(&mut encoder.into_inner()),
            Some(Stream::Zstd(mut encoder)) => {
                encoder.finish()?;
                let (mut rest, encoder) = encoder.into_inner();
                out.append(&mut rest);
                self.spare.keep(encoder);
            }
            None => {}
        }
        Ok(())
    }

    fn take(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let made = match self.stream()? {
            Stream::Gzip(encoder) => encoder.get_mut(),
            Stream::Brotli(encoder) => encoder.get_mut(),
            Stream::Zstd(encoder) => encoder.writer_mut(),
        };
        out.append(made);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decoded(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // What is not at its end yet gives what there is, and an error.
        let _ = match coding {
            ContentCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            ContentCoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            ContentCoding::Zstd => {
                zstd::stream::read::Decoder::new(bytes).and_then(|mut decoder| decoder.read_to_end(&mut out))
            }
        };
        out
    }

    fn text(lines: u32) -> Vec<u8> {
        (0..lines).flat_map(|number| format!("line {number} of {lines}\n").into_bytes()).collect()
    }

    #[test]
    fn what_was_written_in_any_pieces_reads_back() {
        let text = text(5000);
        for coding in ContentCoding::ALL {
            for size in [1, 7, 4096, text.len()] {
                for length in [None, Some(text.len() as u64)] {
                    let mut out = Vec::new();
                    let mut encoder = Encoder::new(coding, length, Spare::default()).unwrap();
                    for piece in text.chunks(size) {
                        encoder.write(piece, &mut out).unwrap();
                    }
                    encoder.end(&mut out).unwrap();
                    assert!(out.len() < text.len() / 3, "{coding:?} in pieces of {size}: {}", out.len());
                    assert!(decoded(coding, &out) == text, "{coding:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn after_a_flush_everything_can_be_read() {
        let events: Vec<String> = (0..20).map(|number| format!("data: {number}\n\n")).collect();
        let length = events.iter().map(String::len).sum::<usize>() as u64;
        for (coding, length) in
            ContentCoding::ALL.into_iter().flat_map(|coding| [(coding, None), (coding, Some(length))])
        {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(coding, length, Spare::default()).unwrap();
            let mut so_far = Vec::new();
            for event in &events {
                encoder.write(event.as_bytes(), &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                so_far.extend_from_slice(event.as_bytes());
                assert_eq!(decoded(coding, &out), so_far, "{coding:?}");
            }
            encoder.end(&mut out).unwrap();
            assert_eq!(decoded(coding, &out), so_far);
        }
    }

    #[test]
    fn nothing_is_a_stream_too() {
        for coding in ContentCoding::ALL {
            let mut out = Vec::new();
            Encoder::new(coding, Some(0), Spare::default()).unwrap().end(&mut out).unwrap();
            assert!(!out.is_empty() && decoded(coding, &out).is_empty());
        }
    }

    #[test]
    fn a_body_that_is_shorter_than_was_said_gives_no_whole_stream() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(ContentCoding::Zstd, Some(10), Spare::default()).unwrap();
        encoder.write(b"12345", &mut out).unwrap();
        assert!(encoder.end(&mut out).is_err());
    }

    #[test]
    fn tables_are_used_again_whatever_they_were_used_for() {
        let spare = Spare::default();
        let text = text(5000);
        // The last one has not come to its end, so it is not kept.
        let lengths = [Some(text.len() as u64), None, Some(5), Some(text.len() as u64), Some(7)];
        for length in lengths {
            let piece = length.map_or(&text[..], |length| &text[..length as usize]);
            let mut out = Vec::new();
            let mut encoder = Encoder::new(ContentCoding::Zstd, length, spare.clone()).unwrap();
            if length == Some(7) {
                encoder.write(&piece[..3], &mut out).unwrap();
                continue;
            }
            encoder.write(piece, &mut out).unwrap();
            encoder.end(&mut out).unwrap();
            assert!(decoded(ContentCoding::Zstd, &out) == piece);
            assert_eq!(spare.0.lock().unwrap().len(), 1);
        }
        assert_eq!(spare.0.lock().unwrap().len(), 0);
    }
}
