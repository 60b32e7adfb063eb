//! How a connection comes to speak HTTP/2: by what was agreed on during the handshake, or by its first bytes. Runs on the front's thread.

use pelton_http::h2;

use crate::connection::close::CloseReason;
use crate::connection::{ConnectionId, Driver};
use crate::event_loop::EventLoop;

impl EventLoop {
    /// A connection that speaks HTTP/2 from its first byte on; `input` is what of it has come.
    pub(crate) fn http2_driver(&self, input: Vec<u8>) -> Driver {
        let session = h2::Connection::new(self.settings.http2.clone(), &self.limits, self.clock.now_ms);
        self.shared.counters.http2_connections.up();
        Driver::Http2(Box::new(super::Http2::new(session, input)))
    }

    /// What the client of an encrypted connection has agreed on is known now.
    pub(crate) fn follow_agreement(&mut self, id: ConnectionId) {
        if !self.connections.get(id).is_some_and(|connection| connection.transport.has_agreed_on(b"h2")) {
            return;
        }
        let driver = self.http2_driver(Vec::new());
        self.change_driver(id, driver);
    }

    fn change_driver(&mut self, id: ConnectionId, driver: Driver) {
        if let Some(connection) = self.connections.get_mut(id)
            && let Driver::Http1(http1) = std::mem::replace(&mut connection.driver, driver)
        {
            self.exchanges.remove(http1.exchange);
        }
    }

    /// The first bytes of a connection that may speak either version (RFC 9113 section 3.3): whether they are HTTP/2's; None where that cannot be
    /// said yet.
    pub(crate) fn look_for_preface(&mut self, id: ConnectionId, input: &[u8]) -> Option<bool> {
        let seen = input.len().min(h2::PREFACE.len());
        let is_like = input.get(..seen) == h2::PREFACE.get(..seen);
        if is_like && seen < h2::PREFACE.len() {
            return None;
        }
        if !is_like && is_neither(input) {
            // Which of the two would be understood, nobody knows: the connection ends without a word (section 3.4).
            self.shared.counters.http2_faults.up();
            self.close(id, CloseReason::ByClientEarly);
            return Some(true);
        }
        self.connections.get_mut(id)?.may_be_http2 = false;
        if is_like {
            let driver = self.http2_driver(input.to_vec());
            self.change_driver(id, driver);
        }
        Some(is_like)
    }
}

/// Whether the first bytes of a connection have a whole line that is no request of HTTP/1 either, in form.
fn is_neither(input: &[u8]) -> bool {
    let line = input.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    line.ends_with(b"\n") && line.is_ascii() && line.len() > 2 && !line.windows(6).any(|six| six == b" HTTP/")
}
