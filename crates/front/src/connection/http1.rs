//! HTTP/1 on one connection: what has been received and not understood, and the exchange at hand.
//!
//! One exchange at a time, which lives as long as the connection and is renewed for each request (pipelined ones wait in `input`).
//! How bytes become requests is in `event_loop::receive`. Runs on the front's thread.

use pelton_http::Receiver;

use crate::exchange::{Exchanges, State};
use crate::ids::ExchangeId;

#[derive(Debug)]
pub struct Http1 {
    /// The request at hand.
    pub exchange: ExchangeId,
    /// Where its parsing stands.
    pub receiver: Receiver,
    /// Received and not consumed: the beginning of a head, or a pipelined request.
    pub input: Vec<u8>,
    /// `input` holds bytes that the receiver has not looked at.
    pub unseen: bool,
    /// A part of a head has come: its clock runs.
    pub head_begun: bool,
}

impl Http1 {
    /// Before the first request.
    pub fn new(exchange: ExchangeId) -> Self {
        Http1 { exchange, receiver: Receiver::new(), input: Vec::new(), unseen: false, head_begun: false }
    }

    /// See `Connection::is_between_requests`.
    pub fn is_between_requests(&self, exchanges: &Exchanges) -> bool {
        exchanges.get(self.exchange).is_some_and(|exchange| exchange.state() == State::Receiving)
            && self.receiver.is_between_requests()
    }

    /// Forgets what has been consumed of the input. An idle connection keeps no buffer.
    pub fn consume(&mut self, mut input: Vec<u8>, consumed: usize) {
        if consumed < input.len() {
            input.drain(..consumed);
            self.input = input;
        }
    }

    /// Makes ready for the next request.
    #[inline]
    pub fn next_request(&mut self, exchange: ExchangeId) {
        self.exchange = exchange;
        self.receiver.next_request();
        self.unseen = !self.input.is_empty();
        self.head_begun = false;
    }
}
