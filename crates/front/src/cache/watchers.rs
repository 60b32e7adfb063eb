//! Smaller watchers of responses: what invalidates, what says why the cache had no part, what nobody reads, what comes out of the compression.
//!
//! What they find out goes to the cache's inbox. Runs on the front's thread.

use std::os::fd::OwnedFd;

use pelton_http::ContentCoding;
use pelton_http::caching::status::{CacheStatus, Forwarded, write_cache_status};

use crate::cache::entry::{Coded, OwnField};
use crate::cache::news::{Inbox, News};
use crate::cache::store::EntryId;
use crate::compression::PADDING;
use crate::response::filters::{Filter, Head};

/// Watches the response to a request that changes something: if it succeeds, what is kept is wrong (RFC 9111 section 4.4).
#[derive(Debug)]
pub(crate) struct Invalidator {
    pub(crate) inbox: Inbox,
    pub(crate) target: Box<[u8]>,
    /// Scheme and authority, as keys begin.
    pub(crate) origin: Box<[u8]>,
}

impl Filter for Invalidator {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        if head.status < 200 {
            return false;
        }
        say_forwarded(head, Forwarded::Method);
        if (200..400).contains(&head.status) {
            let mut targets = vec![self.target.clone()];
            for name in [&b"location"[..], b"content-location"] {
                if let Some(path) = head.find(name).and_then(|value| self.path_of(value)) {
                    targets.push([&*self.origin, path].concat().into());
                }
            }
            self.inbox.post(News::Changed { targets });
        }
        false
    }
}

impl Invalidator {
    /// The path of a reference to the same origin; others are none of this request's business.
    fn path_of<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let path = value.strip_prefix(&*self.origin).unwrap_or(value);
        (path.starts_with(b"/") && !path.starts_with(b"//")).then_some(path)
    }
}

/// Says why the cache had no part in a response, and hides what is meant for it only.
#[derive(Debug)]
pub(crate) struct Bypass(pub(crate) Forwarded);

impl Filter for Bypass {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        if head.status >= 200 {
            say_forwarded(head, self.0);
        }
        false
    }
}

fn say_forwarded(head: &mut Head<'_>, why: Forwarded) {
    let mut value = Vec::new();
    write_cache_status(&mut value, &CacheStatus { forwarded: Some(why), ..CacheStatus::default() });
    head.remove(b"cache-tag");
    head.fields.push((b"Cache-Status"[..].into(), value.into()));
}

/// Lets nothing of a body pass: nobody reads it. `Recorder` stands before it.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The other end of the connection; closed with the exchange.
    pub(crate) _other_end: OwnedFd,
}

impl Filter for Unread {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        head.remove(b"content-length");
        head.known_length = None;
        true
    }

    fn body(&mut self, _piece: &[u8], _out: &mut Vec<u8>) {}
}

/// Watches a kept response on its way through the compression, so that the next client gets what comes out of it now.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) inbox: Inbox,
    pub(crate) id: EntryId,
    pub(crate) coding: ContentCoding,
    pub(crate) most_bytes: usize,
    pub(crate) fields: Vec<OwnField>,
    /// None once it is too large.
    pub(crate) body: Option<Vec<u8>>,
}

impl Filter for Capture {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        let is_coded = head.find(b"content-encoding") == Some(self.coding.name().as_bytes());
        if !is_coded || head.status == 304 {
            return false;
        }
        // What is another one for each response.
        let kept = head.fields.iter().filter(|(name, _)| {
            [&b"age"[..], b"cache-status", PADDING].iter().all(|one| !name.eq_ignore_ascii_case(one))
        });
        self.fields = kept.map(|(name, value)| (name.as_ref().into(), value.as_ref().into())).collect();
        true
    }

    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.body {
            Some(body) if body.len() + piece.len() <= self.most_bytes => body.extend_from_slice(piece),
            _ => self.body = None,
        }
        out.extend_from_slice(piece);
    }

    fn end(&mut self, _out: &mut Vec<u8>) {
        if let Some(body) = self.body.take() {
            let coded = Coded { fields: std::mem::take(&mut self.fields), body: body.into() };
            self.inbox.post(News::Coded { id: self.id, coding: self.coding, coded });
        }
    }
}
