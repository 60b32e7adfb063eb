//! The three codings behind one form: bytes in, what there is of the coded stream out.
//!
//! Levels are chosen by measurement (docs/compression.md): where the next one costs more than it saves on pages and JSON. Knows no HTTP.

use std::fmt;
use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use pelton_http::ContentCoding;

use crate::memory;

const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: i32 = 2;
const ZSTD_LEVEL: i32 = 3;
/// Far below what RFC 9659 allows (8 MiB): each stream holds some multiples of it for as long as it lasts.
const WINDOW_BITS: u8 = 18;
/// No coding takes more memory than this with its window and level (zstd, the largest, 1.6 MiB).
const MOST_MEMORY: usize = 4 * 1024 * 1024;
/// What is collected before it is written on; only of brotli, whose writer has a buffer of its own.
const BUFFER: usize = 16 * 1024;

enum Kind {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// See the module's head.
pub struct Encoder(Kind);

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Gzip(_) => "Encoder(gzip)",
            Kind::Brotli(_) => "Encoder(br)",
            Kind::Zstd(_) => "Encoder(zstd)",
        })
    }
}

impl Encoder {
    /// For a body of `length` bytes, if that is known.
    pub fn new(coding: ContentCoding, length: Option<u64>) -> io::Result<Self> {
        if !memory::has_room_for(MOST_MEMORY) {
            return Err(memory::refused());
        }
        Ok(Encoder(match coding {
            ContentCoding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), Level::new(GZIP_LEVEL))),
            ContentCoding::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: i32::from(WINDOW_BITS),
                    size_hint: length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                let writer = brotli::CompressorWriter::with_params(Vec::new(), BUFFER, &parameters);
                Kind::Brotli(Box::new(writer))
            }
            ContentCoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(u32::from(WINDOW_BITS))?;
                // Tables are made as large as the body needs. A body of another length is broken anyway.
                encoder.set_pledged_src_size(length)?;
                Kind::Zstd(encoder)
            }
        }))
    }

    /// One more piece; what comes out of it now is appended to `out`.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Kind::Gzip(encoder) => encoder.write_all(piece)?,
            Kind::Brotli(encoder) => encoder.write_all(piece)?,
            Kind::Zstd(encoder) => encoder.write_all(piece)?,
        }
        self.take(out);
        Ok(())
    }

    /// All that was written can be read by who has what is in `out` then.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Kind::Gzip(encoder) => encoder.flush()?,
            Kind::Brotli(encoder) => encoder.flush()?,
            Kind::Zstd(encoder) => encoder.flush()?,
        }
        self.take(out);
        Ok(())
    }

    /// The stream is whole.
    pub fn end(self, out: &mut Vec<u8>) -> io::Result<()> {
        let rest = match self.0 {
            Kind::Gzip(encoder) => encoder.finish()?,
            Kind::Brotli(encoder) => encoder.into_inner(),
            Kind::Zstd(encoder) => encoder.finish()?,
        };
        out.extend_from_slice(&rest);
        Ok(())
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        let made = match &mut self.0 {
            Kind::Gzip(encoder) => encoder.get_mut(),
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Zstd(encoder) => encoder.get_mut(),
        };
        out.append(made);
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
                    let mut encoder = Encoder::new(coding, length).unwrap();
                    for piece in text.chunks(size) {
                        encoder.write(piece, &mut out).unwrap();
                    }
                    encoder.end(&mut out).unwrap();
                    assert!(out.len() < text.len() / 3, "{coding:?}: {}", out.len());
                    assert!(decoded(coding, &out) == text, "{coding:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn after_a_flush_everything_can_be_read() {
        for coding in ContentCoding::ALL {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(coding, None).unwrap();
            let mut so_far = Vec::new();
            for number in 0..20 {
                let event = format!("data: {number}\n\n");
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
            Encoder::new(coding, Some(0)).unwrap().end(&mut out).unwrap();
            assert!(!out.is_empty() && decoded(coding, &out).is_empty());
        }
    }

    #[test]
    fn a_body_that_is_shorter_than_was_said_gives_no_whole_stream() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(ContentCoding::Zstd, Some(10)).unwrap();
        encoder.write(b"12345", &mut out).unwrap();
        assert!(encoder.end(&mut out).is_err());
    }
}
