//! The answers that the front makes itself: what it refuses, sheds, gives up waiting for, or cannot use.
//!
//! Owns which status and which words each of them has; how they become HTTP is `penstock_http`'s, how they leave is `respond`'s.

use penstock_http::h1::encode::canned_answer;
use penstock_http::{HttpError, ResponseContext};

use crate::connection_table::ConnectionId;
use crate::event_loop::EventLoop;
use crate::exchange::State;

/// An answer that the front makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnAnswer {
    /// The request breaks a rule or a limit; nothing after it can be understood.
    Refused(HttpError),
    /// As many requests wait as may.
    Shed,
    /// This one waited too long.
    Expired,
    /// Its body cannot be kept.
    NoRoom,
    /// The rest of its head did not come in time.
    HeadLate,
    /// The rest of its body did not come in time.
    BodyLate,
    /// What the worker wrote is not an answer.
    Damaged,
}

impl OwnAnswer {
    fn status(self) -> u16 {
        match self {
            OwnAnswer::Refused(error) => error.status(),
            OwnAnswer::Shed | OwnAnswer::Expired | OwnAnswer::NoRoom => 503,
            OwnAnswer::HeadLate | OwnAnswer::BodyLate => 408,
            OwnAnswer::Damaged => 502,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            OwnAnswer::Refused(error) => error.detail(),
            OwnAnswer::Shed => "Too many requests are waiting. Try again later.",
            OwnAnswer::Expired => "The request waited too long for a free thread. Try again later.",
            OwnAnswer::NoRoom => "The server has no room for the request's body. Try again later.",
            OwnAnswer::HeadLate => "The request's head did not arrive in time.",
            OwnAnswer::BodyLate => "The request's body did not arrive in time.",
            OwnAnswer::Damaged => "The application's answer was unusable.",
        }
    }

    /// Whether the connection can go on: the request is complete and understood.
    fn keeps_connection(self) -> bool {
        matches!(self, OwnAnswer::Shed | OwnAnswer::Expired | OwnAnswer::Damaged)
    }
}

impl EventLoop {
    /// Makes and begins to send an answer of the front's own. The caller drives the connection on.
    pub(crate) fn answer(&mut self, id: ConnectionId, own: OwnAnswer) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let exchange = &mut connection.exchange;
        if let Some(mut pending) = exchange.pending.take() {
            pending.body.discard(&mut self.dispatch.bodies);
        }
        let retry_after = self.settings.retry_after_seconds.to_string();
        let extra = [(&b"Retry-After"[..], retry_after.as_bytes())];
        let extra = if own.status() == 503 { &extra[..] } else { &[] };
        let context = ResponseContext {
            version: exchange.version,
            is_head: exchange.is_head,
            keep_alive: own.keeps_connection() && exchange.keep_alive && !self.draining,
            date: self.date.render(self.unix_seconds),
            known_length: None,
        };
        self.wire.clear();
        let encoded = canned_answer(&mut self.wire, own.status(), own.detail(), extra, &context);
        exchange.become_state(State::Responding);
        exchange.received_whole = own.keeps_connection();
        exchange.coding = Some(encoded.coding);
        exchange.keep_alive = encoded.keep_alive;
        if let Some(record) = &mut exchange.record {
            record.status = own.status();
        }
        if matches!(own, OwnAnswer::Refused(_)) {
            self.shared.counters.requests_refused.up();
        }
        connection.output.push(&self.wire);
        connection.head_begun = false;
        self.set_deadline(id, self.settings.write_idle_time);
    }
}
