//! What may happen to a response between its source and its framing.
//!
//! A handler or a rule of the settings puts filters into the exchange before its response begins ([`Filters::add`]). Each sees the head as a value
//! that it may change, and then the body in pieces, in order. Framing comes afterwards, so a filter never sees chunks, and may change the length: then
//! it takes `Content-Length` out, and how the end is marked is decided as for any other response. Without filters nothing of this is on the way.
//!
//! Must not know sockets, workers or protocols. Runs on the front's thread: what computes for long does so a piece at a time.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::sent_file::SentFile;

/// A field of a head that is still being decided.
pub type Field<'h> = (Cow<'h, [u8]>, Cow<'h, [u8]>);

/// The head of a response as filters see it.
#[derive(Debug)]
pub struct Head<'h> {
    /// The status.
    pub status: u16,
    /// All fields of the source, in order, without those that the framing decides.
    pub fields: Vec<Field<'h>>,
    /// How long the body is, if the source knows it without having said so in a field.
    pub known_length: Option<u64>,
}

#[allow(dead_code, reason = "for filters, of which the first ones are still to come")]
impl Head<'_> {
    /// The value of the first field with a name.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Takes all fields with a name out.
    pub fn remove(&mut self, name: &[u8]) {
        self.fields.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
    }
}

/// One thing that is done to a response.
pub trait Filter: fmt::Debug + Send {
    /// The head is there. False: the body may pass as it is.
    fn head(&mut self, head: &mut Head<'_>) -> bool;

    /// A piece of the body; what becomes of it is appended to `out`, now or later.
    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(piece);
    }

    /// The body is whole; what is still kept back is appended to `out`.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// Bytes of a file that are filtered at once.
const FILE_STEP: u64 = 64 * 1024;

/// A file of which the rest is to be filtered.
#[derive(Debug)]
struct FilePart {
    file: Arc<SentFile>,
    offset: u64,
    left: u64,
}

/// The filters of one exchange, and what lies between them. The first one that was added sees the response first.
#[derive(Debug, Default)]
pub struct Filters {
    all: Vec<Box<dyn Filter>>,
    /// Those whose head said that the body is to pass through them.
    active: Vec<bool>,
    file: Option<FilePart>,
    /// Between one filter and the next; reused.
    between: [Vec<u8>; 2],
}

impl Filters {
    /// One more, behind the others.
    #[allow(dead_code, reason = "the first filters are still to come")]
    pub fn add(&mut self, filter: Box<dyn Filter>) {
        self.all.push(filter);
        self.active.push(false);
    }

    /// Shows the head to all of them.
    pub fn head(&mut self, head: &mut Head<'_>) {
        for (filter, active) in self.all.iter_mut().zip(&mut self.active) {
            *active = filter.head(head);
        }
    }

    /// Whether the body has to pass through any of them.
    pub fn take_body(&self) -> bool {
        self.active.contains(&true)
    }

    /// Appends to `out` what becomes of a piece of the body.
    pub fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.through(0, piece, out);
    }

    fn through(&mut self, from: usize, piece: &[u8], out: &mut Vec<u8>) {
        let [mut current, mut next] = std::mem::take(&mut self.between);
        current.clear();
        current.extend_from_slice(piece);
        for (filter, active) in self.all.iter_mut().zip(&self.active).skip(from) {
            if *active {
                next.clear();
                filter.body(&current, &mut next);
                std::mem::swap(&mut current, &mut next);
            }
        }
        out.extend_from_slice(&current);
        self.between = [current, next];
    }

    /// Appends what they have kept back; the body is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        for index in 0..self.all.len() {
            let mut rest = Vec::new();
            if let (Some(filter), Some(true)) = (self.all.get_mut(index), self.active.get(index)) {
                filter.end(&mut rest);
            }
            if !rest.is_empty() {
                self.through(index + 1, &rest, out);
            }
        }
    }

    /// A part of a file is to be filtered, before whatever follows it.
    pub fn begin_file(&mut self, file: Arc<SentFile>, offset: u64, left: u64) {
        self.file = Some(FilePart { file, offset, left }).filter(|part| part.left > 0);
    }

    /// Whether a part of a file is still to be filtered.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Appends what becomes of the next piece of the file. A file that ends too early is an error.
    pub fn file_piece(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(part) = &mut self.file else { return Ok(()) };
        let mut piece = vec![0; part.left.min(FILE_STEP) as usize];
        part.file.read_exact(&mut piece, part.offset)?;
        part.offset += piece.len() as u64;
        part.left -= piece.len() as u64;
        if part.left == 0 {
            self.file = None;
        }
        self.body(&piece, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Writes each byte as often as it says, and a dot at the end.
    #[derive(Debug)]
    struct Repeat(usize);

    impl Filter for Repeat {
        fn head(&mut self, head: &mut Head<'_>) -> bool {
            head.remove(b"content-length");
            head.fields.push((b"X-Repeat"[..].into(), self.0.to_string().into_bytes().into()));
            self.0 != 1
        }

        fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
            out.extend(piece.iter().flat_map(|byte| std::iter::repeat_n(*byte, self.0)));
        }

        fn end(&mut self, out: &mut Vec<u8>) {
            out.push(b'.');
        }
    }

    fn filters(counts: &[usize]) -> Filters {
        let mut filters = Filters::default();
        for count in counts {
            filters.add(Box::new(Repeat(*count)));
        }
        let fields = vec![(b"Content-Length"[..].into(), b"3"[..].into())];
        let mut head = Head { status: 200, fields, known_length: None };
        filters.head(&mut head);
        let has_length = head.find(b"content-length").is_some();
        assert_eq!((has_length, head.fields.len()), (counts.is_empty(), counts.len().max(1)));
        filters
    }

    #[test]
    fn the_body_passes_through_those_that_want_it_and_the_end_through_those_behind() {
        for (counts, expected) in
            [(&[][..], "ab"), (&[1], "ab"), (&[2], "aabb."), (&[2, 1, 3], "aaaaaabbbbbb....")]
        {
            let (mut filters, mut out) = (filters(counts), Vec::new());
            filters.body(b"a", &mut out);
            filters.body(b"b", &mut out);
            filters.end(&mut out);
            assert_eq!(out, expected.as_bytes(), "{counts:?}");
        }
    }

    #[test]
    fn a_file_is_filtered_a_piece_at_a_time_and_must_be_as_long_as_was_said() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        file.write_all(&bytes).unwrap();
        let (mut filters, mut out, mut steps) = (filters(&[2]), Vec::new(), 0);
        let sent = Arc::new(SentFile::of_application(file.into()));
        filters.begin_file(Arc::clone(&sent), 5, 150_000);
        while filters.has_file() {
            filters.file_piece(&mut out).unwrap();
            steps += 1;
        }
        let expected: Vec<u8> = bytes[5..150_005].iter().flat_map(|byte| [*byte, *byte]).collect();
        assert!(out == expected && steps == 3);
        filters.begin_file(sent, 199_990, 11);
        assert_eq!(filters.file_piece(&mut out).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
