//! What a request for a file is answered with: which representation, status, which of its bytes.
//!
//! Pure: looks at a request's fields and at what is known of the file. Owns no descriptor and sends nothing.

use std::ops::Range;
use std::sync::Arc;

use pelton_http::conditions::{Outcome, Validators, allows_range, evaluate};
use pelton_http::ranges::{Multipart, Wanted, wanted, write_content_range};
use pelton_http::{Accepted, ContentCoding, Known};

use crate::static_files::open_files::{OpenFile, Representations};

/// Which bytes of the file are sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// None of them: 304, 412, 416.
    Nothing,
    /// These.
    Part(Range<u64>),
    /// Several, with text between them.
    Parts(Multipart, Vec<Range<u64>>),
}

#[derive(Debug)]
pub struct Plan {
    /// 200, 206, 304, 412 or 416.
    pub status: u16,
    /// What is sent.
    pub body: Body,
    /// From which file.
    pub file: Arc<OpenFile>,
    /// How that is coded.
    pub coding: Option<ContentCoding>,
    /// Value of `Content-Range`.
    pub content_range: Option<Vec<u8>>,
}

impl Plan {
    /// For a GET or HEAD with `fields`. `media_type` is what the parts of several ranges are said to be; `said`: what somebody else
    /// says of the file's state, in the place of what it says itself.
    pub fn new<'f>(
        fields: impl Iterator<Item = (Known, &'f [u8])> + Clone,
        files: &Representations,
        media_type: &[u8],
        said: Option<&Validators<'_>>,
        random: impl FnOnce() -> u128,
    ) -> Self {
        let coding = if files.varies() {
            let accepted = fields.clone().filter(|(known, _)| *known == Known::AcceptEncoding);
            Accepted::read(accepted.map(|(_, value)| value)).best(files.codings())
        } else {
            None
        };
        let coded = coding.and_then(|coding| files.coded.get(coding as usize)?.as_ref());
        let file = Arc::clone(coded.unwrap_or(&files.plain));
        let own = Validators {
            etag: Some(&file.etag),
            modified: file.modified.as_ref().map(|(_, seconds)| *seconds),
        };
        let now = said.unwrap_or(&own);
        let size = file.size();
        let mut content_range = None;
        let (status, body) = match evaluate(fields.clone(), true, now) {
            Outcome::NotModified => (304, Body::Nothing),
            Outcome::Failed => (412, Body::Nothing),
            Outcome::Proceed => match only_range(fields, now).map(|value| wanted(value, size)) {
                None | Some(Wanted::All) => (200, Body::Part(0..size)),
                Some(Wanted::None) => {
                    content_range = Some(content_range_of(None, size));
                    (416, Body::Nothing)
                }
                Some(Wanted::Some(ranges)) => match &ranges[..] {
                    [range] => {
                        content_range = Some(content_range_of(Some(range), size));
                        (206, Body::Part(range.clone()))
                    }
                    several => {
                        let parts = Multipart::new(several, size, Some(media_type), random());
                        (206, Body::Parts(parts, ranges))
                    }
                },
            },
        };
        Plan { status, body, file, coding, content_range }
    }

    /// What the head says beside its length. `files` are all representations, of which one is sent.
    pub fn fields<'a>(
        &'a self,
        files: &Representations,
        media_type: &'a [u8],
    ) -> impl Iterator<Item = (&'static [u8], &'a [u8])> {
        // RFC 9110 section 15.4.5: a 304 has what tells a cache how to go on, and nothing of the content; 412 and 416 have no content.
        let has_content = self.status < 300;
        let media_type = match &self.body {
            Body::Parts(parts, _) => &parts.media_type[..],
            _ => media_type,
        };
        let modified = self.file.modified.as_ref().map(|(text, _)| &text[..]);
        let is_current = has_content || self.status == 304;
        let fields: [(&'static [u8], Option<&[u8]>); 7] = [
            (b"Content-Type", has_content.then_some(media_type)),
            (b"Content-Encoding", self.coding.filter(|_| has_content).map(|coding| coding.name().as_bytes())),
            (b"Content-Range", self.content_range.as_deref()),
            (b"Accept-Ranges", has_content.then_some(b"bytes")),
            (b"ETag", is_current.then_some(&self.file.etag)),
            (b"Last-Modified", modified.filter(|_| is_current)),
            (b"Vary", files.varies().then_some(b"Accept-Encoding")),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The value of `Range`, if there is one and it applies.
fn only_range<'f>(
    fields: impl Iterator<Item = (Known, &'f [u8])> + Clone,
    now: &Validators<'_>,
) -> Option<&'f [u8]> {
    let mut given = fields.clone().filter(|(known, _)| *known == Known::Range);
    let (_, value) = given.next()?;
    (given.next().is_none() && allows_range(fields, now)).then_some(value)
}

fn content_range_of(range: Option<&Range<u64>>, size: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(32);
    write_content_range(&mut value, range, size);
    value
}
