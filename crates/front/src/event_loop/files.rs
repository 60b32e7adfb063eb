//! Static files as responses: what is found in `static_files` goes out on a connection.
//!
//! Owns the order in which a file is looked at and its head is written, so that the head never promises what the file has not. Large
//! files leave piece by piece from `Output`, and a helper reads what only a disk has. Runs on the front's thread.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use pelton_http::Known;

use crate::connection::ConnectionId;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::ExchangeId;
use crate::notices::Level;
use crate::response::filters::{Field, Filters};
use crate::response::own::{Part, Response};
use crate::sent_file::WARM_STEP;
use crate::static_files::plan::{Body, Plan};
use crate::static_files::{FoundFile, Named};
use crate::system;
use crate::transport::tls::Step;

/// Up to here a file is copied behind its head: one system call less, and one packet, for less than the time of that.
const COPIED: u64 = 32 * 1024;
/// How often a file that is being written is looked at before the client is asked to come again.
pub(crate) const TRIES: usize = 3;

/// What a helper has done.
#[derive(Debug)]
pub(crate) enum Helped {
    /// A part of a file is in memory.
    Warm(ExchangeId),
    /// A piece of a body has passed through the filters of its response; None in their place: it was the last.
    Filtered(ExchangeId, Option<Box<Filters>>, io::Result<Vec<u8>>),
    /// A handshake has gone a step further.
    Shaken(ConnectionId, Box<Step>),
}

/// What is said of a file besides what the file itself says.
pub(crate) struct Said {
    /// What it is.
    pub(crate) media_type: Vec<u8>,
    /// Other fields; of those that the file has, too, these count.
    pub(crate) fields: Vec<Field<'static>>,
    /// Whether all of the request has been received.
    pub(crate) whole: bool,
}

impl EventLoop {
    /// Responds to the request whose head has just come if its path names a static file. False: it is the application's.
    pub(crate) fn respond_with_file(&mut self, id: ExchangeId, bytes: &[u8]) -> bool {
        let method = self.head.method.of(bytes);
        let is_read = method == b"GET" || method == b"HEAD";
        if !is_read && self.site.static_files.falls_through() {
            return false;
        }
        let head = &self.head;
        let takes_html = || {
            let fields = head.fields.iter().filter(|field| field.known == Known::Accept);
            fields.into_iter().any(|field| {
                field.value.of(bytes).windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"))
            })
        };
        let now_ns = self.clock.unix_ns();
        let path = head.path.of(bytes);
        let named =
            self.site.static_files.look_up(path, head.path_encoded, takes_html, self.clock.now_ms, now_ns);
        let keeps_connection = self.head.length.is_empty();
        let text = |status, detail: &str| Response::text(status, detail, keeps_connection);
        let with = |mut response: Response, name: &'static [u8], value: Vec<u8>| {
            response.fields.push((name.into(), value.into()));
            response
        };
        let response = match named {
            Named::NotOurs => return false,
            _ if !is_read => with(text(405, "Files can only be read."), b"Allow", b"GET, HEAD".to_vec()),
            Named::File(found) => {
                if self.send_found(id, bytes, found, keeps_connection) {
                    return true;
                }
                self.with_retry_after(text(503, "The file is being written. Try again later."))
            }
            Named::Folder => {
                let response = text(301, "The folder is here with a slash behind its name.");
                with(response, b"Location", self.with_slash(bytes))
            }
            Named::Missing => text(404, "There is no such file."),
            Named::Failed(error) => {
                self.tell_of_failure(&error);
                text(500, "The file cannot be read.")
            }
        };
        self.respond(id, response);
        true
    }

    /// Relative, so that it is right behind any proxy, and never leads to another host.
    fn with_slash(&self, bytes: &[u8]) -> Vec<u8> {
        let path = self.head.path.of(bytes);
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let query = self.head.query.of(bytes);
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        [b"./", name, b"/", mark, query].concat()
    }

    pub(crate) fn tell_of_failure(&mut self, error: &io::Error) {
        self.shared.counters.file_failures.up();
        if self.site.file_failures.since(self.clock.now_ms, &self.shared.counters.file_failures).is_some() {
            self.shared
                .notices
                .post(Level::Error, format!("a static file cannot be opened: {error}; the client gets 500"));
        }
    }

    /// Sends a file, or says that there is nothing new in it. False: it has changed whenever it was looked at.
    fn send_found(&mut self, id: ExchangeId, bytes: &[u8], mut found: FoundFile, whole: bool) -> bool {
        for _ in 0..TRIES {
            // Ranges are defined for GET only (RFC 9110 section 14.2).
            let has_ranges = self.head.method.of(bytes) == b"GET";
            let fields = self.head.fields.iter().filter(|field| has_ranges || field.known != Known::Range);
            let fields = fields.map(|field| (field.known, field.value.of(bytes)));
            let (media_type, cache_control) = self.site.static_files.described(&found);
            let plan = Plan::new(fields, &found.files, media_type, None, random);
            let cache_control = cache_control.filter(|_| plan.status < 400);
            let fields = cache_control.map(|value| (b"Cache-Control"[..].into(), value.to_vec().into()));
            let said = Said { media_type: media_type.to_vec(), fields: fields.into_iter().collect(), whole };
            if self.send_plan(id, plan, &found, &said) {
                self.shared.counters.files_sent.up();
                return true;
            }
            let now_ns = self.clock.unix_ns();
            match self.site.static_files.look_again(&found, self.clock.now_ms, now_ns) {
                Named::File(again) => found = again,
                _ => return false,
            }
        }
        false
    }

    /// False where the file is no longer what the plan was made for; nothing has been sent then.
    pub(crate) fn send_plan(&mut self, id: ExchangeId, plan: Plan, found: &FoundFile, said: &Said) -> bool {
        let Some(exchange) = self.exchanges.get_mut(id) else { return true };
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
        self.respond(
            id,
            Response { status: plan.status, fields, body, received_whole: said.whole, explains: false },
        );
        true
    }

    /// What is to be sent next lies on a disk only: a helper reads it, and the client's clock stands still meanwhile.
    pub(crate) fn warm_up(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        if let Some((file, offset, left)) = exchange.output.begin_warming() {
            self.exchange_timers.clear(id.key);
            self.shared.counters.file_reads_waited_for.up();
            self.helpers.run(move || {
                file.warm(offset, left.min(WARM_STEP));
                Helped::Warm(id)
            });
        }
        Turn::Wait
    }

    /// Goes on where helpers have done something.
    #[inline]
    pub(crate) fn follow_helpers(&mut self) {
        for helped in self.helpers.take() {
            match helped {
                Helped::Warm(id) => {
                    if let Some(exchange) = self.exchanges.get_mut(id) {
                        exchange.output.end_warming();
                        let (connection, is_http2) = (exchange.connection, exchange.stream != 0);
                        if is_http2 {
                            self.go_on_with(id);
                        }
                        self.drive(connection);
                    }
                }
                Helped::Filtered(id, filters, out) => self.filtered(id, filters, out),
                Helped::Shaken(id, step) => self.go_on_shaking(id, step),
            }
        }
    }

    /// Milliseconds until a file is to be closed that nobody asks for.
    pub(crate) fn next_file_ms(&self) -> Option<u64> {
        let [one, other] = [&self.site.static_files, &self.site.named_files]
            .map(|files| files.next_tidy_ms(self.clock.now_ms));
        one.into_iter().chain(other).min()
    }

    /// Closes files that nobody has asked for lately.
    #[inline]
    pub(crate) fn tidy_files(&mut self) {
        if !self.site.static_files.is_idle() {
            self.site.static_files.tidy(self.clock.now_ms);
        }
        if !self.site.named_files.is_idle() {
            self.site.named_files.tidy(self.clock.now_ms);
        }
    }

    /// The application's own folder for static files, known only now.
    pub(crate) fn mount(&mut self, prefix: &str, folder: &[u8]) {
        if let Err(error) = self.site.static_files.mount(prefix, folder) {
            self.shared
                .notices
                .post(Level::Warning, format!("{error}; the application sends its files itself"));
        }
    }
}

/// Nobody has to guess the boundary of a response with several parts; a failure of the system makes it only less random.
pub(crate) fn random() -> u128 {
    let mut drawn = [0u8; 16];
    system::random(&mut drawn);
    u128::from_ne_bytes(drawn)
}
