//! Files that the application names instead of sending them: `X-Accel-Redirect` and `X-Sendfile`, below mapped folders only.
//!
//! Owns what becomes of the worker's response: its head is taken over, the rest is thrown away, and its thread is free at once. Names are resolved
//! as those of static files are, so nothing outside of the folders is ever sent. Runs on the front's thread.

use std::io;

use pelton_http::conditions::{Validators, date};
use pelton_link::{Progress, Why, fine_us};

use crate::connection::turn::Turn;
use crate::front::Front;
use crate::handlers::files;
use crate::handlers::files::{Said, TRIES};
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::notices::Level;
use crate::random::random;
use crate::response::filters::Field;
use crate::response::own::Response;
use crate::response::respond;
use crate::static_files::named::NamedFile;
use crate::static_files::plan::Plan;
use crate::static_files::{FoundFile, Named};
use crate::websockets::socket_offers;

/// The application has named a file: the worker is let go of, and the file is sent.
pub(crate) fn send_named(front: &mut Front, id: ExchangeId, place: Place, named: NamedFile) -> Turn {
    if !socket_offers::keep_socket(front, id) {
        return Turn::Closed;
    }
    let Some(exchange) = front.exchanges.get_mut(id) else { return Turn::Closed };
    exchange.slot = None;
    if let Some(record) = &mut exchange.record {
        let now_us = fine_us() - front.clock.started_us;
        record.begins_response(named.head.status, now_us, named.started_ms);
        if let Some(log) = &front.recording.access_log {
            let fields = named.head.fields.iter().map(|(name, value)| (&**name, &**value));
            record.keep_response(log.format(), fields);
        }
    }
    // Whatever follows the head, nobody reads it.
    let is_over = front.dispatch.worker(place.seat).is_some_and(|worker| {
        worker.discard(place.slot);
        worker.end.response(u32::from(place.slot)).1 != Progress::Open
    });
    if is_over {
        front.dispatch.let_go(place, front.clock.now_ms);
    } else {
        front.dispatch.abandon(place, Why::Gone, front.clock.now_ms);
    }
    let now_ns = front.clock.unix_ns();
    let found = if named.is_path {
        front.site.named_files.look_up_file(&named.name, front.clock.now_ms, now_ns)
    } else {
        let path = named.name.split(|&byte| byte == b'?').next().unwrap_or_default();
        front.site.named_files.look_up(path, true, || false, front.clock.now_ms, now_ns)
    };
    match found {
        Named::File(found) => send_named_file(front, id, &named, found),
        Named::Failed(error) => {
            files::tell_of_failure(front, &error);
            respond::respond(front, id, Response::text(500, "The file cannot be read.", true));
        }
        Named::NotOurs | Named::Folder | Named::Missing => {
            tell_of_missing(front, &named.name);
            respond::respond(front, id, Response::text(404, "There is no such file.", true));
        }
    }
    Turn::Again
}

fn tell_of_missing(front: &mut Front, name: &[u8]) {
    front.shared.counters.file_failures.up();
    if front.site.file_failures.since(front.clock.now_ms, &front.shared.counters.file_failures).is_some() {
        let name = String::from_utf8_lossy(name);
        front.shared.notices.post(
            Level::Warning,
            format!(
                "the application has named the file {name:?}, which is not below --sendfile-root or cannot \
                 be read; the client gets 404"
            ),
        );
    }
}

fn send_named_file(front: &mut Front, id: ExchangeId, named: &NamedFile, mut found: FoundFile) {
    let head = &named.head;
    // What the application says of the file's state goes first: it is what its own conditions are about.
    let says = head.find(b"etag").is_some() || head.find(b"last-modified").is_some();
    let validators =
        Validators { etag: head.find(b"etag"), modified: head.find(b"last-modified").and_then(date) };
    let is_success = matches!(head.status, 200..=299);
    for _ in 0..TRIES {
        let Some(exchange) = front.exchanges.get(id) else { return };
        let asked = exchange.asked.as_deref().filter(|_| is_success);
        let conditions = asked.map_or(&[][..], |asked| &asked.conditions);
        let conditions = conditions.iter().map(|(known, value)| (*known, &value[..]));
        let (of_name, _) = front.site.named_files.described(&found);
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
        if files::send_plan(front, id, plan, &found, &said) {
            front.shared.counters.files_sent.up();
            return;
        }
        let now_ns = front.clock.unix_ns();
        match front.site.named_files.look_again(&found, front.clock.now_ms, now_ns) {
            Named::File(again) => found = again,
            _ => break,
        }
    }
    let error = io::Error::other("it changes while it is read");
    files::tell_of_failure(front, &error);
    let response = Response::text(503, "The file is being written. Try again later.", true);
    respond::respond(front, id, respond::with_retry_after(front, response));
}
