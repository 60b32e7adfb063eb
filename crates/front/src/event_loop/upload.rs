//! A body that is passed on while it comes, apart from its bytes: which bodies are, how they end, and their clients' clock.
//!
//! Runs on the front's thread. How the bytes get to the worker is in `streaming`.
//!
//! # What ends a body too early
//! | | the response has not begun | it has |
//! |---|---|---|
//! | it breaks a rule or a limit | 400, 413; reading raises | reading raises; the connection ends after the response |
//! | the client is too slow | 408; the same | the same |
//! | the client closes its side | reading raises; what the application answers is still sent | the same |
//! | nobody waits any more (504, 502, reset) | reading raises | reading raises |
//!
//! A request that no thread has started is taken back and never runs. Where a response begins before its body has come, and not more than
//! [`UNREAD_BYTES`] are missing, what the application does not read of them is read and thrown away. Where more is missing, or nobody knows how
//! much, the response says that the connection ends: nothing of a body can ever be taken for a request, and no request for a body.

use pelton_http::HttpError;
use pelton_http::target::percent_decode;
use pelton_link::{BodyEnd, Why};

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::Turn;
use crate::exchange::{ExchangeId, State};
use crate::response::own::OwnResponse;

/// Of a body that is missing when the response begins: what is received in any case, so that the connection can be used again.
const UNREAD_BYTES: u64 = 64 * 1024;

/// Which requests are handed on before their bodies are complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// None.
    #[default]
    Never,
    /// Those with a path in or below one of these.
    Below(Vec<Vec<u8>>),
    /// All.
    Always,
}

impl Streams {
    pub(crate) fn include(&self, path: &[u8]) -> bool {
        match self {
            Streams::Never => false,
            Streams::Always => true,
            Streams::Below(prefixes) if path.contains(&b'%') => {
                let mut decoded = Vec::new();
                percent_decode(path, &mut decoded);
                is_below(prefixes, &decoded)
            }
            Streams::Below(prefixes) => is_below(prefixes, path),
        }
    }
}

fn is_below(prefixes: &[Vec<u8>], path: &[u8]) -> bool {
    prefixes.iter().any(|prefix| lies_below(prefix, path))
}

/// Whether a decoded path is `prefix` or lies below it.
pub(crate) fn lies_below(prefix: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    // `/up` is not meant by `/upload`.
    rest.is_some_and(|rest| prefix.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"))
}

/// A body that is still coming; of one that is complete nothing is left.
#[derive(Debug)]
pub struct Upload {
    /// Bytes that the client has announced and not sent; None where it sends chunks.
    pub(crate) left: Option<u64>,
    /// The client sends nothing before it gets leave to (100).
    pub(crate) waits_for_leave: bool,
    /// When the client is late; None while it is not its turn.
    pub(crate) late_at: Option<u64>,
    /// Bytes that came in the present window of its clock.
    pub(crate) moved: u64,
    /// HTTP/2: what has come and has no room in the window; not more than the stream's own window.
    pub(crate) held: Vec<u8>,
    /// HTTP/2: all of it has come.
    pub(crate) ended: bool,
    /// In the list of those on the clock.
    pub(crate) is_listed: bool,
    /// Unlike those of all others, so that the list can name it.
    pub(crate) number: u64,
}

impl Upload {
    /// Whether another request can follow on the connection whether or not the application reads the rest.
    pub fn may_be_followed(&self) -> bool {
        !self.waits_for_leave && self.left.is_some_and(|left| left <= UNREAD_BYTES)
    }
}

/// All that are being received.
#[derive(Debug, Default)]
pub struct Uploads {
    /// Those that have been on the clock since the last look.
    listed: Vec<(ExchangeId, u64)>,
    look_at: Option<u64>,
    pub(crate) numbers: u64,
}

impl EventLoop {
    /// The body has ended, one way or the other.
    pub(crate) fn end_upload(&mut self, id: ExchangeId, how: BodyEnd) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.upload.take().is_none() {
            return;
        }
        if how == BodyEnd::Complete {
            exchange.received_whole = true;
        } else {
            // What follows on the connection cannot be understood.
            exchange.keep_alive = false;
            self.shared.counters.bodies_broken.up();
        }
        if let Some(place) = exchange.slot
            && let Some((end, window, _)) = self.dispatch.stream(place, id)
        {
            window.end(how);
            end.publish_body(u32::from(place.slot), window);
        }
    }

    /// The body ends too early by the client's fault. Whoever waits for a response of the application gets one of ours; one that has begun goes on.
    fn fail_upload(&mut self, id: ExchangeId, how: BodyEnd, own: OwnResponse) -> Turn {
        self.end_upload(id, how);
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        if exchange.state() != State::Running {
            return Turn::Wait;
        }
        if let Some(place) = exchange.slot.take() {
            self.dispatch.abandon(place, Why::Gone, self.clock.now_ms);
        }
        self.respond_itself(id, own);
        // What could not be received is not to be kept for the next request either.
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.keep_alive = false;
            exchange.received_whole = false;
        }
        Turn::Again
    }

    pub(crate) fn refuse_upload(&mut self, id: ExchangeId, error: HttpError) -> Turn {
        let how = if error == HttpError::BodyTooLarge { BodyEnd::TooLarge } else { BodyEnd::Malformed };
        self.fail_upload(id, how, OwnResponse::Refused(error))
    }

    /// The client has closed its side before the end of its body.
    pub(crate) fn cut_upload(&mut self, id: ExchangeId) -> Turn {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Turn::Closed };
        if exchange.state() == State::Running
            && let Some(place) = exchange.slot
            && self.dispatch.discard(place)
        {
            exchange.slot = None;
            self.shared.counters.bodies_broken.up();
            self.close_exchange(id, CloseReason::ByClientEarly);
            return Turn::Closed;
        }
        self.end_upload(id, BodyEnd::Gone);
        self.client_left(id);
        Turn::Wait
    }

    /// The application has answered, and its response has left. None: so has the rest of the request come, or the connection will end.
    pub(crate) fn finish_upload(&mut self, id: ExchangeId) -> Option<Turn> {
        let exchange = self.exchanges.get(id)?;
        if exchange.keep_alive && !exchange.broken {
            self.exchange_timers.clear(id.key);
            if self.stream_in(id) == Turn::Closed {
                return Some(Turn::Closed);
            }
            let upload = self.exchanges.get(id)?.upload.as_deref()?;
            if upload.may_be_followed() {
                return Some(Turn::Wait);
            }
        }
        self.end_upload(id, BodyEnd::Abandoned);
        None
    }

    /// It is the client's turn: within each window of its clock it has to send a quota (see `slow_clients`).
    pub(crate) fn wait_for_client(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(upload) = exchange.upload.as_deref_mut() else { return };
        if upload.waits_for_leave || upload.late_at.is_some() {
            return;
        }
        let late_at = self.clock.now_ms + self.settings.body_idle_time.as_millis() as u64;
        upload.late_at = Some(late_at);
        upload.moved = 0;
        if !std::mem::replace(&mut upload.is_listed, true) {
            self.uploads.listed.push((id, upload.number));
        }
        self.uploads.look_at = Some(self.uploads.look_at.map_or(late_at, |look_at| look_at.min(late_at)));
    }

    pub(crate) fn upload_progress(&mut self, id: ExchangeId, count: usize) {
        let quota = self.body_quota();
        if let Some(exchange) = self.exchanges.get_mut(id)
            && let Some(upload) = exchange.upload.as_deref_mut()
        {
            upload.moved += count as u64;
            if upload.moved >= quota {
                // The next wait begins another window.
                upload.late_at = None;
            }
        }
    }

    /// Milliseconds until a client may be late with its body.
    pub(crate) fn next_upload_ms(&self) -> Option<u64> {
        self.uploads.look_at.map(|look_at| look_at.saturating_sub(self.clock.now_ms))
    }

    /// Ends the bodies of clients that are late.
    pub(crate) fn end_late_uploads(&mut self) {
        if self.uploads.look_at.is_none_or(|look_at| self.clock.now_ms < look_at) {
            return;
        }
        self.uploads.look_at = None;
        let mut next: Option<u64> = None;
        for (id, number) in std::mem::take(&mut self.uploads.listed) {
            let Some(exchange) = self.exchanges.get_mut(id) else { continue };
            let is_queued = exchange.state() == State::Queued;
            let Some(upload) = exchange.upload.as_deref_mut() else { continue };
            if upload.number != number {
                continue;
            }
            if is_queued {
                // It came back from a worker: nothing is received until another one has it.
                upload.late_at = None;
            }
            match upload.late_at {
                None => upload.is_listed = false,
                Some(late_at) if late_at > self.clock.now_ms => {
                    next = Some(next.map_or(late_at, |next| next.min(late_at)));
                    self.uploads.listed.push((id, number));
                }
                Some(_) => {
                    self.shared.counters.bodies_late.up();
                    self.fail_upload(id, BodyEnd::Late, OwnResponse::BodyLate);
                    self.drive_exchange(id);
                }
            }
        }
        // Driving others may have set an earlier time.
        self.uploads.look_at = match (self.uploads.look_at, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_slashes() {
        let streams = Streams::Below(vec![b"/upload".to_vec(), b"/a/".to_vec(), b"/\xc3\xa9".to_vec()]);
        for path in ["/upload", "/upload/", "/upload/x", "/a/", "/a/b", "/%61/b", "/%c3%a9/x", "/uploa%64"] {
            assert!(streams.include(path.as_bytes()), "{path}");
        }
        for path in ["/", "/up", "/uploads", "/a", "/x/upload", "//upload", "*", ""] {
            assert!(!streams.include(path.as_bytes()), "{path}");
        }
        assert!(Streams::Always.include(b"/") && !Streams::Never.include(b"/"));
    }
}
