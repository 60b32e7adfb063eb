//! Parts of a kept page: which of its bytes a request wants, and what the head says then.
//!
//! Pure. Runs on the front's thread.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use pelton_http::Known;
use pelton_http::conditions::{Validators, allows_range, date};
use pelton_http::ranges::{Multipart, Wanted, wanted, write_content_range};

use crate::cache::entry::OwnField;
use crate::random::random;
use crate::response::filters::Head;
use crate::response::own::Part;

#[derive(Debug)]
pub(crate) struct PageRanges {
    /// None: there is nothing at any of the places (416).
    ranges: Vec<Range<u64>>,
    size: u64,
}

impl PageRanges {
    /// What a request with these fields wants of a page; None: all of it.
    pub(crate) fn of<'f>(
        status: u16,
        page: &[OwnField],
        size: usize,
        fields: impl Iterator<Item = (Known, &'f [u8])> + Clone,
    ) -> Option<Self> {
        let mut given = fields.clone().filter(|(known, _)| *known == Known::Range);
        let (_, value) = given.next()?;
        if status != 200 || given.next().is_some() {
            return None;
        }
        let find = |wanted: &[u8]| {
            page.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| &**value)
        };
        let now = Validators { etag: find(b"etag"), modified: find(b"last-modified").and_then(date) };
        if !allows_range(fields, &now) {
            return None;
        }
        let size = size as u64;
        match wanted(value, size) {
            Wanted::All => None,
            Wanted::None => Some(PageRanges { ranges: Vec::new(), size }),
            Wanted::Some(ranges) => Some(PageRanges { ranges, size }),
        }
    }

    /// Makes a response of them.
    pub(crate) fn apply(self, head: &mut Head<'_>, parts: &mut VecDeque<Part>, body: &Arc<[u8]>) {
        let part =
            |range: &Range<u64>| Part::Shared(Arc::clone(body), range.start as usize..range.end as usize);
        let mut content_range = Vec::new();
        head.status = 206;
        match &self.ranges[..] {
            [] => {
                head.status = 416;
                write_content_range(&mut content_range, None, self.size);
                for name in [&b"content-type"[..], b"content-encoding", b"etag", b"last-modified"] {
                    head.remove(name);
                }
                *parts = VecDeque::new();
            }
            [range] => {
                write_content_range(&mut content_range, Some(range), self.size);
                *parts = VecDeque::from([part(range)]);
            }
            several => {
                let several_parts = Multipart::new(several, self.size, head.find(b"content-type"), random());
                head.remove(b"content-type");
                head.fields.push((b"Content-Type"[..].into(), several_parts.media_type.into()));
                let heads = several_parts.heads.into_iter().map(|head| Part::Bytes(head.into()));
                let all = heads.zip(several).flat_map(|(head, range)| [head, part(range)]);
                *parts = all.chain([Part::Bytes(several_parts.tail.into())]).collect();
            }
        }
        if !content_range.is_empty() {
            head.fields.push((b"Content-Range"[..].into(), content_range.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: &str) -> Option<(u16, Option<String>, u64)> {
        let page: Vec<OwnField> = vec![(b"ETag"[..].into(), b"\"a\""[..].into())];
        let mut fields = vec![(Known::Range, range.as_bytes())];
        if !if_range.is_empty() {
            fields.push((Known::IfRange, if_range.as_bytes()));
        }
        let body: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
        let ranges = PageRanges::of(200, &page, body.len(), fields.into_iter())?;
        let mut head = Head { status: 200, fields: Vec::new(), known_length: None };
        let mut parts = VecDeque::new();
        ranges.apply(&mut head, &mut parts, &body);
        let length = parts.iter().map(|part| match part {
            Part::Shared(_, range) => range.len() as u64,
            _ => 0,
        });
        let found = head.find(b"content-range").map(|value| String::from_utf8(value.to_vec()).unwrap());
        Some((head.status, found, length.sum()))
    }

    #[test]
    fn ranges_of_a_page() {
        assert_eq!(asked("bytes=2-4", ""), Some((206, Some("bytes 2-4/10".into()), 3)));
        assert_eq!(asked("bytes=-3", "\"a\""), Some((206, Some("bytes 7-9/10".into()), 3)));
        assert_eq!(asked("bytes=2-4", "\"b\""), None);
        assert_eq!(asked("bytes=20-", ""), Some((416, Some("bytes */10".into()), 0)));
        assert_eq!(asked("lines=1-2", ""), None);
    }
}
