//! Answers that the front makes itself: refusals, a full or slow queue, what is late, a worker that fails.
//!
//! Knows which words each of them has; how they become HTTP is `pelton_http`'s, how they leave is `respond`'s.

use pelton_http::h1::encode::{PLAIN_TEXT, canned_answer};
use pelton_http::{HttpError, ResponseContext};

use crate::connection::exchange::State;
use crate::connection::table::ConnectionId;
use crate::event_loop::EventLoop;

/// An answer that the front makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// The request breaks a rule or a limit; nothing after it can be understood.
    Refused(HttpError),
    /// Its address has as many connections as it may.
    TooManyConnections,
    /// As many requests wait as may.
    Shed,
    /// This one waited too long.
    Expired,
    /// Its body cannot be kept.
    NoRoom,
    /// Its socket cannot be offered.
    NoDescriptor,
    /// The rest of its head did not come in time.
    HeadLate,
    /// The rest of its body did not come in time.
    BodyLate,
    /// What the worker wrote is not an answer.
    Damaged,
    /// The worker ended without an answer.
    Lost,
    /// The application did not answer in time.
    TimedOut,
}

impl OwnAnswer {
    fn status(self) -> u16 {
        match self {
            OwnAnswer::Refused(error) => error.status(),
            OwnAnswer::TooManyConnections => 429,
            OwnAnswer::Shed | OwnAnswer::Expired | OwnAnswer::NoRoom | OwnAnswer::NoDescriptor => 503,
            OwnAnswer::HeadLate | OwnAnswer::BodyLate => 408,
            OwnAnswer::Damaged | OwnAnswer::Lost => 502,
            OwnAnswer::TimedOut => 504,
        }
    }

    /// What an access line says.
    fn for_the_log(self) -> &'static str {
        match self {
            OwnAnswer::Refused(_) => "refused",
            OwnAnswer::TooManyConnections => "too many connections",
            OwnAnswer::Shed => "queue full",
            OwnAnswer::Expired => "queue timeout",
            OwnAnswer::NoRoom => "no room for the body",
            OwnAnswer::NoDescriptor => "no descriptor left",
            OwnAnswer::HeadLate => "head too late",
            OwnAnswer::BodyLate => "body too late",
            OwnAnswer::Damaged => "unusable answer",
            OwnAnswer::Lost => "worker lost",
            OwnAnswer::TimedOut => "request timeout",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            OwnAnswer::Refused(error) => error.detail(),
            OwnAnswer::TooManyConnections => "Too many connections from your address.",
            OwnAnswer::Shed => "Too many requests are waiting. Try again later.",
            OwnAnswer::Expired => "The request waited too long for a free thread. Try again later.",
            OwnAnswer::NoDescriptor => "The server has too many files open. Try again later.",
            OwnAnswer::NoRoom => "The server has no room for the request's body. Try again later.",
            OwnAnswer::HeadLate => "The request's head did not arrive in time.",
            OwnAnswer::BodyLate => "The request's body did not arrive in time.",
            OwnAnswer::Damaged => "The application's answer was unusable.",
            OwnAnswer::Lost => "The application ended before it had answered.",
            OwnAnswer::TimedOut => "The application did not answer in time.",
        }
    }

    /// Whether the connection can go on: the request is complete and understood.
    fn keeps_connection(self) -> bool {
        !matches!(
            self,
            OwnAnswer::Refused(_)
                | OwnAnswer::TooManyConnections
                | OwnAnswer::NoRoom
                | OwnAnswer::HeadLate
                | OwnAnswer::BodyLate
        )
    }
}

/// What an own answer consists of.
pub(crate) struct Own {
    pub status: u16,
    pub media_type: &'static [u8],
    /// One line.
    pub detail: String,
    /// Whether all of the request has been received.
    pub keeps_connection: bool,
}

impl Own {
    pub(crate) fn text(status: u16, detail: &str, keeps_connection: bool) -> Self {
        Own { status, media_type: PLAIN_TEXT, detail: detail.to_owned(), keeps_connection }
    }
}

impl EventLoop {
    /// Makes and begins to send an answer of the front's own. The caller drives the connection on.
    pub(crate) fn answer(&mut self, id: ConnectionId, own: OwnAnswer) {
        if matches!(own, OwnAnswer::Refused(_)) {
            self.shared.counters.requests_refused.up();
        }
        if self.notes_ends {
            self.note_own(id, own.for_the_log());
        }
        self.send_own(id, &Own::text(own.status(), own.detail(), own.keeps_connection()));
    }

    /// See [`EventLoop::answer`].
    pub(crate) fn send_own(&mut self, id: ConnectionId, own: &Own) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let exchange = &mut connection.exchange;
        if let Some(mut pending) = exchange.pending.take() {
            pending.body.discard(&mut self.dispatch.bodies);
        }
        // Of a body that is still coming nothing more will be received.
        let keeps_connection = own.keeps_connection && exchange.upload.take().is_none();
        let retry_after = self.settings.retry_after_seconds.to_string();
        let extra = [(&b"Retry-After"[..], retry_after.as_bytes())];
        let extra = if matches!(own.status, 429 | 503) { &extra[..] } else { &[] };
        let context = ResponseContext {
            version: exchange.version,
            is_head: exchange.is_head,
            keep_alive: keeps_connection && exchange.keep_alive && !self.draining,
            date: self.date.render(self.unix_seconds),
            known_length: None,
            timing: None,
        };
        self.wire.clear();
        let encoded = canned_answer(&mut self.wire, own.status, own.media_type, &own.detail, extra, &context);
        exchange.become_state(State::Responding);
        exchange.received_whole = keeps_connection;
        exchange.coding = Some(encoded.coding);
        // With the line end.
        exchange.passed = own.detail.len() as u64 + 1;
        exchange.keep_alive = encoded.keep_alive;
        if let Some(record) = &mut exchange.record {
            record.status = own.status;
        }
        connection.output.push(&self.wire);
        connection.head_begun = false;
        self.begin_write_window(id);
    }
}
