//! Files that the application names instead of sending them: `X-Accel-Redirect` and `X-Sendfile`, below mapped folders only.
//!
//! Owns what becomes of the worker's response: its head is taken over, the rest is thrown away, and its thread is free at once. Names are resolved
//! as those of static files are, so nothing outside of the folders is ever sent. Runs on the front's thread.

use std::io;

use pelton_http::conditions::{Validators, date};
use pelton_link::{HeadView, Progress, Why, fine_us};

use crate::event_loop::EventLoop;
use crate::event_loop::files::{Said, TRIES, random};
use crate::event_loop::receive::Turn;
use crate::exchange::ExchangeId;
use crate::notices::Level;
use crate::response::filters::{Field, Head};
use crate::response::own::Response;
use crate::scheduling::dispatch::Place;
use crate::static_files::plan::Plan;
use crate::static_files::{FoundFile, Named};

/// A path of the server's own, as nginx has it, and a path of the file system, as Apache has it.
const REDIRECT: &[u8] = b"x-accel-redirect";
const SENDFILE: &[u8] = b"x-sendfile";
/// Said by the front, of what it sends.
const REPLACED: [&[u8]; 5] =
    [b"content-length", b"content-range", b"accept-ranges", b"transfer-encoding", b"content-md5"];

/// The head of an application's response that names a file.
#[derive(Debug)]
pub(crate) struct NamedFile {
    /// A path of the file system, and no path of requests.
    is_path: bool,
    name: Vec<u8>,
    head: Head<'static>,
    started_ms: u64,
}

/// What a worker's head names, if it does.
#[cold]
pub(crate) fn named_file(head: &HeadView<'_>, started_ms: u64) -> Option<Box<NamedFile>> {
    // A response without content has none of a file either (an interim one, a 304 of the application's own, a redirect).
    if matches!(head.status, 0..200 | 204 | 300..=399) {
        return None;
    }
    let find = |wanted: &[u8]| head.fields().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (is_path, (_, name)) =
        find(REDIRECT).map(|found| (false, found)).or_else(|| find(SENDFILE).map(|found| (true, found)))?;
    let kept = head.fields().filter(|(name, _)| {
        !name.eq_ignore_ascii_case(REDIRECT)
            && !name.eq_ignore_ascii_case(SENDFILE)
            && !REPLACED.iter().any(|one| name.eq_ignore_ascii_case(one))
    });
    let fields = kept.map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect();
    let name = name.trim_ascii().to_vec();
    let head = Head { status: head.status, fields, known_length: None };
    Some(Box::new(NamedFile { is_path, name, head, started_ms }))
}

impl EventLoop {
    /// The application has named a file: the worker is let go of, and the file is sent.
    pub(crate) fn send_named(&mut self, id: ExchangeId, place: Place, named: NamedFile) -> Turn {
        if !self.keep_socket(id) {
            return Turn::Closed;
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        exchange.slot = None;
        if let Some(record) = &mut exchange.record {
            let now_us = fine_us() - self.clock.started_us;
            record.begins_response(named.head.status, now_us, named.started_ms);
            if let Some(log) = &self.recording.access_log {
                let fields = named.head.fields.iter().map(|(name, value)| (&**name, &**value));
                record.keep_response(log.format(), fields);
            }
        }
        // Whatever follows the head, nobody reads it.
        let is_over = self.dispatch.worker(place.seat).is_some_and(|worker| {
            worker.discard(place.slot);
            worker.end.response(u32::from(place.slot)).1 != Progress::Open
        });
        if is_over {
            self.dispatch.let_go(place, self.clock.now_ms);
        } else {
            self.dispatch.abandon(place, Why::Gone, self.clock.now_ms);
        }
        let now_ns = self.clock.unix_ns();
        let found = if named.is_path {
            self.site.named_files.look_up_file(&named.name, self.clock.now_ms, now_ns)
        } else {
            let path = named.name.split(|&byte| byte == b'?').next().unwrap_or_default();
            self.site.named_files.look_up(path, true, || false, self.clock.now_ms, now_ns)
        };
        match found {
            Named::File(found) => self.send_named_file(id, &named, found),
            Named::Failed(error) => {
                self.tell_of_failure(&error);
                self.respond(id, Response::text(500, "The file cannot be read.", true));
            }
            Named::NotOurs | Named::Folder | Named::Missing => {
                self.tell_of_missing(&named.name);
                self.respond(id, Response::text(404, "There is no such file.", true));
            }
        }
        Turn::Again
    }

    fn tell_of_missing(&mut self, name: &[u8]) {
        self.shared.counters.file_failures.up();
        if self.site.file_failures.since(self.clock.now_ms, &self.shared.counters.file_failures).is_some() {
            let name = String::from_utf8_lossy(name);
            self.shared.notices.post(
                Level::Warning,
                format!(
                    "the application has named the file {name:?}, which is not below --sendfile-root or cannot \
                     be read; the client gets 404"
                ),
            );
        }
    }

    fn send_named_file(&mut self, id: ExchangeId, named: &NamedFile, mut found: FoundFile) {
        let head = &named.head;
        // What the application says of the file's state goes first: it is what its own conditions are about.
        let says = head.find(b"etag").is_some() || head.find(b"last-modified").is_some();
        let validators =
            Validators { etag: head.find(b"etag"), modified: head.find(b"last-modified").and_then(date) };
        let is_success = matches!(head.status, 200..=299);
        for _ in 0..TRIES {
            let Some(exchange) = self.exchanges.get(id) else { return };
            let asked = exchange.asked.as_deref().filter(|_| is_success);
            let conditions = asked.map_or(&[][..], |asked| &asked.conditions);
            let conditions = conditions.iter().map(|(known, value)| (*known, &value[..]));
            let (of_name, _) = self.site.named_files.described(&found);
            let media_type = head.find(b"content-type").unwrap_or(of_name).to_vec();
            let now = says.then_some(&validators);
            let mut plan = Plan::new(conditions, &found.files, &media_type, now, random);
            if !is_success || (plan.status == 200 && head.status != 206) {
                plan.status = head.status;
            }
            let fields: Vec<Field<'static>> = head
                .fields
                .iter()
                .filter(|(name, _)| plan.status != 304 || !name.eq_ignore_ascii_case(b"content-type"))
                .cloned()
                .collect();
            let said = Said { media_type, fields, whole: true };
            if self.send_plan(id, plan, &found, &said) {
                self.shared.counters.files_sent.up();
                return;
            }
            let now_ns = self.clock.unix_ns();
            match self.site.named_files.look_again(&found, self.clock.now_ms, now_ns) {
                Named::File(again) => found = again,
                _ => break,
            }
        }
        let error = io::Error::other("it changes while it is read");
        self.tell_of_failure(&error);
        let response = Response::text(503, "The file is being written. Try again later.", true);
        self.respond(id, self.with_retry_after(response));
    }
}
