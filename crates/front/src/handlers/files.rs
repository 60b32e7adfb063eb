//! Static files as responses: what is found in `static_files` goes out on a connection.
//!
//! Owns the order in which a file is looked at and its head is written, so that the head never promises what the file has not. Large
//! files leave piece by piece from `Output`, and a helper reads what only a disk has. Runs on the front's thread.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use pelton_http::Known;

use crate::connection::turn::Turn;
use crate::front::{Front, Helped};
use crate::ids::ExchangeId;
use crate::notices::Level;
use crate::random::random;
use crate::response::filters::Field;
use crate::response::own::{Part, Response};
use crate::response::respond;
use crate::sent_file::WARM_STEP;
use crate::static_files::plan::{Body, Plan};
use crate::static_files::{FoundFile, Named};

/// Up to here a file is copied behind its head: one system call less, and one packet, for less than the time of that.
const COPIED: u64 = 32 * 1024;

/// How often a file that is being written is looked at before the client is asked to come again.
pub(crate) const TRIES: usize = 3;

/// What is said of a file besides what the file itself says.
pub(crate) struct Said {
    /// What it is.
    pub(crate) media_type: Vec<u8>,
    /// Other fields; of those that the file has, too, these count.
    pub(crate) fields: Vec<Field<'static>>,
    /// Whether all of the request has been received.
    pub(crate) whole: bool,
}

/// Responds to the request whose head has just come if its path names a static file. False: it is the application's.
pub(crate) fn respond_with_file(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> bool {
    let method = front.head.method.of(bytes);
    let is_read = method == b"GET" || method == b"HEAD";
    if !is_read && front.site.static_files.falls_through() {
        return false;
    }
    let head = &front.head;
    let takes_html = || {
        let fields = head.fields.iter().filter(|field| field.known == Known::Accept);
        fields
            .into_iter()
            .any(|field| field.value.of(bytes).windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html")))
    };
    let now_ns = front.clock.unix_ns();
    let path = head.path.of(bytes);
    let named =
        front.site.static_files.look_up(path, head.path_encoded, takes_html, front.clock.now_ms, now_ns);
    let keeps_connection = front.head.length.is_empty();
    let text = |status, detail: &str| Response::text(status, detail, keeps_connection);
    let with = |mut response: Response, name: &'static [u8], value: Vec<u8>| {
        response.fields.push((name.into(), value.into()));
        response
    };
    let response = match named {
        Named::NotOurs => return false,
        _ if !is_read => with(text(405, "Files can only be read."), b"Allow", b"GET, HEAD".to_vec()),
        Named::File(found) => {
            if send_found(front, id, bytes, found, keeps_connection) {
                return true;
            }
            respond::with_retry_after(front, text(503, "The file is being written. Try again later."))
        }
        Named::Folder => {
            let response = text(301, "The folder is here with a slash behind its name.");
            with(response, b"Location", with_slash(front, bytes))
        }
        Named::Missing => text(404, "There is no such file."),
        Named::Failed(error) => {
            tell_of_failure(front, &error);
            text(500, "The file cannot be read.")
        }
    };
    respond::respond(front, id, response);
    true
}

/// Relative, so that it is right behind any proxy, and never leads to another host.
fn with_slash(front: &Front, bytes: &[u8]) -> Vec<u8> {
    let path = front.head.path.of(bytes);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let query = front.head.query.of(bytes);
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    [b"./", name, b"/", mark, query].concat()
}

pub(crate) fn tell_of_failure(front: &mut Front, error: &io::Error) {
    front.shared.counters.file_failures.up();
    if front.site.file_failures.since(front.clock.now_ms, &front.shared.counters.file_failures).is_some() {
        front
            .shared
            .notices
            .post(Level::Error, format!("a static file cannot be opened: {error}; the client gets 500"));
    }
}

/// Sends a file, or says that there is nothing new in it. False: it has changed whenever it was looked at.
fn send_found(front: &mut Front, id: ExchangeId, bytes: &[u8], mut found: FoundFile, whole: bool) -> bool {
    for _ in 0..TRIES {
        // Ranges are defined for GET only (RFC 9110 section 14.2).
        let has_ranges = front.head.method.of(bytes) == b"GET";
        let fields = front.head.fields.iter().filter(|field| has_ranges || field.known != Known::Range);
        let fields = fields.map(|field| (field.known, field.value.of(bytes)));
        let (media_type, cache_control) = front.site.static_files.described(&found);
        let plan = Plan::new(fields, &found.files, media_type, None, random);
        let cache_control = cache_control.filter(|_| plan.status < 400);
        let fields = cache_control.map(|value| (b"Cache-Control"[..].into(), value.to_vec().into()));
        let said = Said { media_type: media_type.to_vec(), fields: fields.into_iter().collect(), whole };
        if send_plan(front, id, plan, &found, &said) {
            front.shared.counters.files_sent.up();
            return true;
        }
        let now_ns = front.clock.unix_ns();
        match front.site.static_files.look_again(&found, front.clock.now_ms, now_ns) {
            Named::File(again) => found = again,
            _ => return false,
        }
    }
    false
}

/// False where the file is no longer what the plan was made for; nothing has been sent then.
pub(crate) fn send_plan(
    front: &mut Front,
    id: ExchangeId,
    plan: Plan,
    found: &FoundFile,
    said: &Said,
) -> bool {
    let Some(exchange) = front.exchanges.get_mut(id) else { return true };
    let sent = plan.file.sent();
    let is_sent = !exchange.is_head;
    let mut copy = None;
    if let Body::Part(range) = &plan.body
        && is_sent
        && range.end - range.start <= COPIED
    {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match sent.read_at_once(&mut bytes, range.start) {
            Ok(count) if count == bytes.len() => copy = Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return false,
        }
    }
    // Looked at after the reading: what has been read is what the head says.
    if !sent.is_unchanged() {
        return false;
    }
    // Of several ranges the type is another one than that of the file.
    let is_multipart = matches!(plan.body, Body::Parts(..));
    let is_said = |name: &[u8]| !is_multipart || !name.eq_ignore_ascii_case(b"content-type");
    let said_fields = said.fields.iter().filter(|(name, _)| is_said(name));
    let mut fields: Vec<Field<'static>> = Vec::with_capacity(8 + said.fields.len());
    for (name, value) in plan.fields(&found.files, &said.media_type) {
        if !said_fields.clone().any(|(one, _)| one.eq_ignore_ascii_case(name)) {
            fields.push((name.into(), value.to_vec().into()));
        }
    }
    fields.extend(said_fields.cloned());
    let part = |range: &Range<u64>| Part::File(plan.file.sent(), range.start, range.end - range.start);
    let body = match (plan.body, copy) {
        (Body::Nothing, _) => VecDeque::new(),
        (_, Some(copy)) => VecDeque::from([Part::Bytes(copy.into())]),
        (Body::Part(range), None) => VecDeque::from([part(&range)]),
        (Body::Parts(parts, ranges), None) => {
            let heads = parts.heads.into_iter().map(|head| Part::Bytes(head.into()));
            let all = heads.zip(&ranges).flat_map(|(head, range)| [head, part(range)]);
            all.chain([Part::Bytes(parts.tail.into())]).collect()
        }
    };
    respond::respond(
        front,
        id,
        Response { status: plan.status, fields, body, received_whole: said.whole, explains: false },
    );
    true
}

/// What is to be sent next lies on a disk only: a helper reads it, and the client's clock stands still meanwhile.
pub(crate) fn warm_up(front: &mut Front, id: ExchangeId) -> Turn {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    if let Some((file, offset, left)) = exchange.output.begin_warming() {
        front.exchange_timers.clear(id.key);
        front.shared.counters.file_reads_waited_for.up();
        front.helpers.run(move || {
            file.warm(offset, left.min(WARM_STEP));
            Helped::Warm(id)
        });
    }
    Turn::Wait
}

/// Milliseconds until a file is to be closed that nobody asks for.
pub(crate) fn next_file_ms(front: &Front) -> Option<u64> {
    let [one, other] = [&front.site.static_files, &front.site.named_files]
        .map(|files| files.next_tidy_ms(front.clock.now_ms));
    one.into_iter().chain(other).min()
}

/// Closes files that nobody has asked for lately.
#[inline]
pub(crate) fn tidy_files(front: &mut Front) {
    if !front.site.static_files.is_idle() {
        front.site.static_files.tidy(front.clock.now_ms);
    }
    if !front.site.named_files.is_idle() {
        front.site.named_files.tidy(front.clock.now_ms);
    }
}

/// The application's own folder for static files, known only now.
pub(crate) fn mount(front: &mut Front, prefix: &str, folder: &[u8]) {
    if let Err(error) = front.site.static_files.mount(prefix, folder) {
        front.shared.notices.post(Level::Warning, format!("{error}; the application sends its files itself"));
    }
}
