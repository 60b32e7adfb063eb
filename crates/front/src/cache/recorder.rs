//! What records a response on its way from the application for the cache, or puts a kept one into its place.
//!
//! Owns the decision at the head, and the copy of the body. What came of it goes to the cache's inbox, which the event loop
//! reads in the same turn; a recorder that is dropped before the end says so, too. Runs on the front's thread.

use std::sync::Arc;

use pelton_http::Known;
use pelton_http::caching::status::{CacheStatus, Forwarded, write_cache_status};
use pelton_http::caching::{
    Age, Lifetime, RequestDirectives, Response, Selection, Storable, may_store, stands_in,
    survives_validation, tags,
};
use pelton_http::conditions::{Outcome, Validators, date, evaluate};
use pelton_http::header_policy::{list_members, parse_content_length};

use crate::cache::entry::{Entry, OwnField};
use crate::cache::news::{FetchId, Inbox, News};
use crate::cache::store::EntryId;
use crate::memory;
use crate::response::filters::{Filter, Head};

/// What of a request decides about its response.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) fields: Vec<OwnField>,
    pub(crate) directives: RequestDirectives,
    pub(crate) authorized: bool,
    /// Conditions of the client's own, which the application has not seen.
    pub(crate) conditions: Vec<(Known, Box<[u8]>)>,
    pub(crate) why: Forwarded,
    pub(crate) unix_now: u64,
    pub(crate) now: u64,
    /// The value of `Date`, should the application give none.
    pub(crate) date: [u8; 29],
}

/// The kept response that is being validated, so that it can take the place of a 304 or of a failure.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: EntryId,
    pub(crate) status: u16,
    pub(crate) fields: Vec<OwnField>,
    pub(crate) body: Arc<[u8]>,
    pub(crate) lifetime: Lifetime,
    pub(crate) age: Age,
}

#[derive(Debug)]
enum State {
    Waiting,
    Recording {
        status: u16,
        storable: Storable,
        fields: Vec<OwnField>,
        body: Vec<u8>,
        length: Option<u64>,
    },
    /// The kept body is sent in the place of the application's.
    Replacing(Arc<[u8]>),
    Passing,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) inbox: Inbox,
    pub(crate) fetch: FetchId,
    pub(crate) asked: Asked,
    pub(crate) kept: Option<Kept>,
    pub(crate) most_bytes: usize,
    /// What was kept, once the application has said something else than that it is still right, and has not failed.
    outdated: Option<EntryId>,
    state: State,
    has_reported: bool,
}

impl Recorder {
    pub(crate) fn new(
        inbox: Inbox,
        fetch: FetchId,
        asked: Asked,
        kept: Option<Kept>,
        most_bytes: usize,
    ) -> Self {
        let state = State::Waiting;
        Recorder { inbox, fetch, asked, kept, most_bytes, outdated: None, state, has_reported: false }
    }

    fn tell(&mut self, news: News) {
        if !std::mem::replace(&mut self.has_reported, true) {
            self.inbox.post(news);
        }
    }

    fn not_stored(&mut self) {
        let (fetch, outdated) = (self.fetch.clone(), self.outdated);
        self.tell(News::NotStored { fetch, outdated });
    }

    fn status(&self, of_application: Option<u16>, stored: bool) -> Vec<u8> {
        let mut value = Vec::new();
        let status = CacheStatus {
            forwarded: Some(self.asked.why),
            forwarded_status: of_application,
            stored,
            ..CacheStatus::default()
        };
        write_cache_status(&mut value, &status);
        value
    }

    fn storable<'f>(
        &self,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> Option<Storable> {
        let response = Response {
            status,
            fields,
            authorized: self.asked.authorized,
            unix_now: self.asked.unix_now,
            now: self.asked.now,
        };
        may_store(&response, &self.asked.directives)
    }

    /// The application has answered 304, or has failed: what is kept takes the place.
    fn replace(&mut self, head: &mut Head<'_>, mut kept: Kept) -> bool {
        let from_application = head.status;
        let validated = from_application == 304;
        if validated {
            // A 304 without a date is of now (RFC 9110 section 6.6.1): with the old one the page would be as old as before.
            kept.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"date"));
            for (name, _) in &head.fields {
                if !survives_validation(name) {
                    kept.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
                }
            }
            for (name, value) in &head.fields {
                if !survives_validation(name) {
                    kept.fields.push((name.as_ref().into(), value.as_ref().into()));
                }
            }
            self.add_date(&mut kept.fields);
            let fields = kept.fields.iter().map(|(name, value)| (&**name, &**value));
            let fetch = self.fetch.clone();
            match self.storable(kept.status, fields) {
                Some(found) => {
                    kept.age = found.age;
                    let fields = kept.fields.clone();
                    let (lifetime, age) = (found.lifetime, found.age);
                    self.tell(News::Validated { fetch, id: kept.id, fields, lifetime, age });
                }
                None => self.not_stored(),
            }
        } else {
            self.not_stored();
        }
        let is_unchanged = is_not_modified(&kept.fields, &self.asked.conditions);
        head.status = if is_unchanged { 304 } else { kept.status };
        head.fields =
            kept.fields.iter().map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect();
        head.known_length = Some(kept.body.len() as u64);
        let age = kept.age.at(self.asked.now).to_string().into_bytes();
        head.fields.push((b"Age"[..].into(), age.into()));
        head.fields.push((b"Cache-Status"[..].into(), self.status(Some(from_application), validated).into()));
        self.state = State::Replacing(if is_unchanged { Arc::from(&b""[..]) } else { kept.body });
        true
    }

    fn add_date(&self, fields: &mut Vec<OwnField>) {
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"date")) {
            fields.push((b"Date"[..].into(), self.asked.date[..].into()));
        }
    }
}

/// Whether a client that sent these conditions has what is kept already (RFC 9110 section 13.2.2).
pub(crate) fn is_not_modified(fields: &[OwnField], conditions: &[(Known, Box<[u8]>)]) -> bool {
    if conditions.is_empty() {
        return false;
    }
    let find = |wanted: &[u8]| {
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| &**value)
    };
    let now = Validators { etag: find(b"etag"), modified: find(b"last-modified").and_then(date) };
    let conditions = conditions.iter().map(|(known, value)| (*known, &**value));
    evaluate(conditions, true, &now) == Outcome::NotModified
}

impl Filter for Recorder {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        // An interim response is not what was asked for.
        if head.status < 200 {
            return false;
        }
        if let Some(kept) = self.kept.take() {
            let age = kept.age.at(self.asked.now);
            let has_failed = matches!(head.status, 500 | 502 | 503 | 504);
            if head.status == 304 || (has_failed && stands_in(&kept.lifetime, age, &self.asked.directives)) {
                return self.replace(head, kept);
            }
            self.outdated = (head.status < 500).then_some(kept.id);
        }
        let length = head.find(b"content-length").and_then(parse_content_length);
        let is_too_large = length.is_some_and(|length| length > self.most_bytes as u64);
        let fields = head.fields.iter().map(|(name, value)| (&**name, &**value));
        let storable = self.storable(head.status, fields).filter(|_| !is_too_large);
        let is_stored = storable.is_some();
        if let Some(storable) = storable {
            // RFC 9111 section 3.1: what `Connection` names concerns this one response.
            let of_connection = |name: &[u8]| {
                let all = head.fields.iter().filter(|(one, _)| one.eq_ignore_ascii_case(b"connection"));
                all.flat_map(|(_, value)| list_members(value)).any(|one| one.eq_ignore_ascii_case(name))
            };
            let mut fields: Vec<OwnField> = head
                .fields
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length") && !of_connection(name))
                .map(|(name, value)| (name.as_ref().into(), value.as_ref().into()))
                .collect();
            self.add_date(&mut fields);
            let status = head.status;
            self.state = State::Recording { status, storable, fields, body: Vec::new(), length };
        } else {
            self.state = State::Passing;
            self.not_stored();
        }
        head.remove(b"cache-tag");
        head.fields.push((b"Cache-Status"[..].into(), self.status(None, is_stored).into()));
        is_stored
    }

    fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Replacing(_) => return,
            State::Recording { body, .. } => {
                let fits = body.len() + piece.len() <= self.most_bytes;
                if !fits || memory::append(body, piece).is_err() {
                    self.state = State::Passing;
                    self.not_stored();
                }
            }
            State::Waiting | State::Passing => {}
        }
        out.extend_from_slice(piece);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Passing) {
            State::Replacing(body) => out.extend_from_slice(&body),
            State::Recording { status, storable, mut fields, body, length } => {
                let all = |wanted: &'static [u8]| {
                    fields
                        .iter()
                        .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
                        .map(|(_, value)| &**value)
                };
                let request = self.asked.fields.iter().map(|(name, value)| (&**name, &**value));
                let selection = Selection::new(all(b"vary"), request);
                let tags = all(b"cache-tag").flat_map(tags).map(Into::into).collect();
                let is_whole = length.is_none_or(|length| length == body.len() as u64);
                if let Some(selection) = selection.filter(|_| is_whole) {
                    fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"cache-tag"));
                    let fetch = self.fetch.clone();
                    let entry = Entry {
                        target: fetch.target.clone(),
                        selection,
                        status,
                        fields,
                        body: body.into(),
                        coded: Default::default(),
                        lifetime: storable.lifetime,
                        age: storable.age,
                        tags,
                    };
                    self.tell(News::Stored { fetch, entry: Box::new(entry) });
                } else {
                    self.not_stored();
                }
            }
            State::Waiting | State::Passing => {}
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let fetch = self.fetch.clone();
        self.tell(News::Abandoned { fetch });
    }
}
