//! Compression of the application's responses: a filter of the response's pipeline.
//!
//! Owns the decision whether a response is compressed, and what its head says then. `encoder` has the three codings. What takes long runs on
//! helper threads, which is the pipeline's business: this filter only says that it is heavy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pelton_http::header_policy::parse_content_length;
use pelton_http::{Accepted, ContentCoding};

use crate::compression::encoder::{Encoder, Spare};
use crate::response::filters::{Filter, Head};
use crate::system;

mod encoder;

/// See the settings table for the meaning of each.
#[derive(Clone, Debug, Default)]
pub struct CompressionSettings {
    /// What is offered, the preferred one first; nothing: off.
    pub codings: Vec<ContentCoding>,
    /// Media types beside those that are always worth it; `text/*` for a whole kind.
    pub types: Vec<String>,
    /// Shorter bodies stay as they are.
    pub least: u64,
    /// Whether also responses that set cookies.
    pub with_cookies: bool,
    /// Most bytes of a field of random length; 0: none.
    pub padding: usize,
    /// Responses that are being compressed at the same time.
    pub most: usize,
}

/// The field of random length.
pub const PADDING: &[u8] = b"X-Padding";

/// What all responses have in common.
#[derive(Debug)]
pub struct Compression {
    settings: CompressionSettings,
    active: AtomicUsize,
    spare: Spare,
}

impl Compression {
    /// None where it is off.
    pub fn new(settings: CompressionSettings) -> Option<Arc<Self>> {
        (!settings.codings.is_empty())
            .then(|| Arc::new(Compression { settings, active: AtomicUsize::new(0), spare: Spare::default() }))
    }

    /// For the response to a request with these lines of `Accept-Encoding`.
    pub fn filter<'f>(self: &Arc<Self>, accepted: impl Iterator<Item = &'f [u8]>) -> Box<dyn Filter> {
        let coding = self.coding(accepted);
        Box::new(Compress { common: Arc::clone(self), coding, encoder: None, is_dirty: false })
    }

    /// The coding that such a client gets where a response may be compressed.
    pub fn coding<'f>(&self, accepted: impl Iterator<Item = &'f [u8]>) -> Option<ContentCoding> {
        Accepted::read(accepted).best(self.settings.codings.iter().copied())
    }

    /// Adds the field of random length, if there is to be one.
    pub fn pad(&self, head: &mut Head<'_>) {
        if self.settings.padding > 0 {
            let count = random() as usize % (self.settings.padding + 1);
            head.fields.push((PADDING.into(), vec![b'.'; count].into()));
        }
    }

    /// Responses that are being compressed now.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    fn is_worth_it(&self, media_type: &[u8]) -> bool {
        let end = media_type.iter().position(|&byte| byte == b';').unwrap_or(media_type.len());
        let kind = media_type.get(..end).unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let named = |name: &String| match name.strip_suffix("/*") {
            Some(family) => kind.strip_prefix(family.as_bytes()).is_some_and(|rest| rest.starts_with(b"/")),
            None => kind == name.as_bytes(),
        };
        kind.starts_with(b"text/")
            || kind.ends_with(b"+json")
            || kind.ends_with(b"+xml")
            || TYPES.contains(&&kind[..])
            || self.settings.types.iter().any(named)
    }
}

/// Types that get smaller; the others that are usual (pictures, sounds, archives) are compressed already.
const TYPES: [&[u8]; 9] = [
    b"application/json",
    b"application/javascript",
    b"application/x-javascript",
    b"application/xml",
    b"application/wasm",
    b"application/x-ndjson",
    b"application/graphql",
    b"font/ttf",
    b"font/otf",
];

#[derive(Debug)]
struct Compress {
    common: Arc<Compression>,
    /// What the client wants; None: as it is.
    coding: Option<ContentCoding>,
    encoder: Option<Encoder>,
    /// Something was written since the last flush.
    is_dirty: bool,
}

impl Compress {
    /// Whether the response is one that may be compressed, whatever this client accepts.
    fn may_be_coded(&self, head: &Head<'_>) -> bool {
        let settings = &self.common.settings;
        let said = head.find(b"content-length").and_then(parse_content_length);
        let length = said.or(head.known_length);
        let is_coded = head
            .find(b"content-encoding")
            .is_some_and(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"));
        // RFC 9110 section 15: no content, a part of it, or what is no final response.
        head.status >= 200
            && !matches!(head.status, 204..=206 | 304)
            && !is_coded
            && length.is_none_or(|length| length >= settings.least)
            && head.find(b"content-type").is_some_and(|kind| self.common.is_worth_it(kind))
            && head.find(b"content-range").is_none()
            // Said of the bytes as they are.
            && DIGESTS.iter().all(|name| head.find(name).is_none())
            && !has_word(head, b"cache-control", b"no-transform")
            && (settings.with_cookies || head.find(b"set-cookie").is_none())
    }

    fn begin(&mut self, length: Option<u64>) -> bool {
        let common = &self.common;
        let Some(coding) = self.coding else { return false };
        if common.active.fetch_add(1, Ordering::Relaxed) >= common.settings.most {
            common.active.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        match Encoder::new(coding, length, common.spare.clone()) {
            Ok(encoder) => self.encoder = Some(encoder),
            Err(_) => {
                common.active.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.encoder.is_some()
    }

    fn finish(&mut self) {
        if self.encoder.take().is_some() {
            self.common.active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Fields with a digest of the content (RFC 9530 and what was before).
const DIGESTS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

fn has_word(head: &Head<'_>, name: &[u8], word: &[u8]) -> bool {
    head.fields
        .iter()
        .filter(|(one, _)| one.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(word))
}

fn add_vary(head: &mut Head<'_>) {
    if !has_word(head, b"vary", b"accept-encoding") && !has_word(head, b"vary", b"*") {
        head.fields.push((b"Vary"[..].into(), b"Accept-Encoding"[..].into()));
    }
}

/// RFC 9110 section 8.8.3: two codings of one content are not the same bytes.
fn weaken_etag(head: &mut Head<'_>) {
    for (name, value) in &mut head.fields {
        if name.eq_ignore_ascii_case(b"etag") && value.starts_with(b"\"") {
            *value = [b"W/", &**value].concat().into();
        }
    }
}

impl Filter for Compress {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        if head.status == 304 {
            // It has to say what the whole response said (RFC 9110 section 15.4.5), of which only the application knows whether it may be
            // compressed: where it may not, this harms nobody.
            add_vary(head);
            if self.coding.is_some() {
                weaken_etag(head);
            }
        }
        if !self.may_be_coded(head) {
            return false;
        }
        add_vary(head);
        let said = head.find(b"content-length").and_then(parse_content_length);
        if !self.begin(said.or(head.known_length)) {
            return false;
        }
        let Some(coding) = self.coding else { return false };
        for name in [&b"content-length"[..], b"content-encoding", b"accept-ranges"] {
            head.remove(name);
        }
        head.known_length = None;
        head.fields.push((b"Content-Encoding"[..].into(), coding.name().as_bytes().into()));
        weaken_etag(head);
        self.common.pad(head);
        true
    }

    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.is_dirty = true;
        if let Some(encoder) = &mut self.encoder
            && encoder.write(piece, out).is_err()
        {
            // What has left is no whole stream, and nothing makes it one: the client sees that.
            self.finish();
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_dirty)
            && let Some(encoder) = &mut self.encoder
            && encoder.flush(out).is_err()
        {
            self.finish();
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(encoder) = self.encoder.take() {
            self.common.active.fetch_sub(1, Ordering::Relaxed);
            // See `body`.
            let _ = encoder.end(out);
        }
    }

    fn is_heavy(&self) -> bool {
        true
    }
}

impl Drop for Compress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn random() -> u32 {
    let mut drawn = [0u8; 4];
    // Without randomness the length is always the same: no protection, but no fault either.
    system::random(&mut drawn);
    u32::from_ne_bytes(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(change: impl FnOnce(&mut CompressionSettings)) -> Arc<Compression> {
        let mut settings = CompressionSettings {
            codings: vec![ContentCoding::Zstd, ContentCoding::Brotli, ContentCoding::Gzip],
            least: 1024,
            most: 2,
            ..CompressionSettings::default()
        };
        change(&mut settings);
        Compression::new(settings).unwrap()
    }

    type Fields = [(&'static str, &'static str)];

    fn coded(common: &Arc<Compression>, accept: &str, status: u16, fields: &Fields) -> (bool, Vec<String>) {
        let mut filter = common.filter(std::iter::once(accept.as_bytes()));
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()));
        let mut head = Head { status, fields: fields.collect(), known_length: None };
        let is_coded = filter.head(&mut head);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (is_coded, head.fields.iter().map(|(name, value)| text(name) + ": " + &text(value)).collect())
    }

    const JSON: (&str, &str) = ("Content-Type", "application/json");

    #[test]
    fn the_head_says_what_was_done() {
        let fields = [
            JSON,
            ("Content-Length", "5000"),
            ("ETag", "\"a\""),
            ("Accept-Ranges", "bytes"),
            ("Vary", "Cookie"),
        ];
        let (is_coded, fields) = coded(&common(|_| {}), "gzip, br", 200, &fields);
        assert!(is_coded);
        assert_eq!(
            fields,
            [
                "Content-Type: application/json",
                "ETag: W/\"a\"",
                "Vary: Cookie",
                "Vary: Accept-Encoding",
                "Content-Encoding: br"
            ]
        );
    }

    #[test]
    fn who_accepts_nothing_gets_it_as_it_is_and_caches_learn_of_it() {
        for accept in ["", "deflate", "gzip;q=0, br;q=0, zstd;q=0", "identity, gzip;q=0.5"] {
            let (is_coded, fields) = coded(&common(|_| {}), accept, 200, &[JSON, ("ETag", "\"a\"")]);
            assert!(!is_coded);
            assert_eq!(fields, ["Content-Type: application/json", "ETag: \"a\"", "Vary: Accept-Encoding"]);
        }
    }

    #[test]
    fn what_is_never_compressed() {
        let common = common(|_| {});
        for (status, fields) in [
            (204, &[JSON][..]),
            (206, &[JSON, ("Content-Range", "bytes 0-1/2")]),
            (200, &[JSON, ("Content-Length", "1023")]),
            (200, &[JSON, ("Content-Encoding", "gzip")]),
            (200, &[JSON, ("Cache-Control", "public, No-Transform")]),
            (200, &[JSON, ("Set-Cookie", "session=x")]),
            (200, &[JSON, ("Content-Digest", "sha-256=:x:")]),
            (200, &[("Content-Type", "image/png")]),
            (200, &[("Content-Type", "textual/plain")]),
            (200, &[]),
        ] {
            let (is_coded, after) = coded(&common, "gzip", status, fields);
            assert!(!is_coded && after.len() == fields.len(), "{status} {fields:?} {after:?}");
        }
        let (_, fields) = coded(&common, "gzip", 304, &[("ETag", "\"a\"")]);
        assert_eq!(fields, ["ETag: W/\"a\"", "Vary: Accept-Encoding"]);
    }

    #[test]
    fn types_and_cookies_by_setting() {
        let types = vec!["image/bmp".to_owned(), "model/*".to_owned()];
        let common = common(|settings| (settings.types, settings.with_cookies) = (types, true));
        for kind in
            ["text/html; charset=utf-8", "IMAGE/BMP", "model/stl", "image/svg+xml", "application/ld+json"]
        {
            let kind: &'static str = kind;
            assert!(coded(&common, "gzip", 200, &[("Content-Type", kind), ("Set-Cookie", "a")]).0, "{kind}");
        }
        assert!(!coded(&common, "gzip", 200, &[("Content-Type", "modelling/x")]).0);
    }

    #[test]
    fn the_number_at_once_is_bounded() {
        let common = common(|_| {});
        let begin = || {
            let mut filter = common.filter(std::iter::once(&b"gzip"[..]));
            let fields = vec![(b"Content-Type"[..].into(), b"text/plain"[..].into())];
            let is_coded = filter.head(&mut Head { status: 200, fields, known_length: None });
            (is_coded, filter)
        };
        let (first, mut one) = begin();
        let (second, other) = begin();
        let (third, _) = begin();
        assert_eq!((first, second, third, common.active()), (true, true, false, 2));
        one.end(&mut Vec::new());
        drop(other);
        drop(one);
        assert_eq!(common.active(), 0);
        assert!(begin().0);
    }

    #[test]
    fn padding_has_a_random_length() {
        let common = common(|settings| (settings.padding, settings.most) = (64, 1000));
        let lengths: std::collections::HashSet<_> = (0..200)
            .map(|_| {
                let (_, fields) = coded(&common, "gzip", 200, &[JSON]);
                fields.iter().find(|field| field.starts_with("X-Padding: ")).unwrap().len()
            })
            .collect();
        assert!(lengths.len() > 20 && lengths.iter().all(|length| *length <= 11 + 64));
    }
}
