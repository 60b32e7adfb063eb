//! HTTP/2 on one connection: the session, and which exchange belongs to which stream.
//!
//! A stream is an exchange that lives as long as the stream. How a connection begins is in [`preface`], how bytes become frames in [`frames`] and those
//! exchanges in [`streams`], how responses become frames in [`send`], how streams and the connection end in [`ends`]. Streams that become WebSockets are
//! in `websockets`. Runs on the front's thread.

use pelton_http::h2;

use crate::exchange::spool::Spool;
use crate::ids::ExchangeId;
use crate::websockets::tunnel::Tunnel;

pub(crate) mod ends;
pub(crate) mod frames;
pub(crate) mod idle;
pub(crate) mod preface;
pub(crate) mod send;
pub(crate) mod stalls;
pub(crate) mod stream_bodies;
pub(crate) mod streams;
pub(crate) mod time_outs;
pub(crate) mod wire;

/// Bytes of frames that are made before the socket has taken those before. More would only wait in another place, and be in the way of a more
/// urgent stream.
pub(crate) const WIRE: usize = 64 * 1024;
/// Frames that the client makes us send (acknowledgements, windows) wait in the same buffer: with more than this nothing is received before the
/// client reads.
pub(crate) const MOST_WIRE: usize = 128 * 1024;

pub struct Http2 {
    /// What the frames mean. Its output is what is to be sent.
    pub(crate) session: h2::Connection,
    /// Bytes of the output that have been sent.
    pub(crate) sent: usize,
    /// Bytes that have ever been sent.
    pub(crate) sent_in_all: u64,
    /// No stream is left, but what the client has to take: how much it had taken when this window began, and when it ends.
    pub(crate) write_window: Option<(u64, u64)>,
    /// Received and not consumed: a part of a frame.
    pub(crate) input: Vec<u8>,
    /// `input` holds bytes that have not been looked at.
    pub(crate) unseen: bool,
    /// The exchange of each stream that has one.
    pub(crate) streams: Vec<(u32, ExchangeId)>,
    /// Our end of each stream whose socket a worker is offered.
    pub(crate) offers: Vec<(u32, Box<Tunnel>)>,
    /// The relay of each stream that a worker has taken.
    pub(crate) tunnels: Vec<(u32, usize)>,
    /// For responses that their client does not take; None before there is one.
    pub(crate) spool: Option<Spool>,
    /// Exchanges that have got a response of the front's own, and have not been looked at since.
    pub(crate) responded: Vec<ExchangeId>,
    /// A part of a frame or of a header block has come: its clock runs.
    pub(crate) head_begun: bool,
    /// What is to be sent is all that will be: then the connection ends.
    pub(crate) ending: bool,
}

impl std::fmt::Debug for Http2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2").field("streams", &self.streams).field("ending", &self.ending).finish()
    }
}

impl Http2 {
    /// Before the preface. `input` is what has been received of it.
    pub fn new(session: h2::Connection, input: Vec<u8>) -> Self {
        let unseen = !input.is_empty();
        Http2 {
            session,
            sent: 0,
            sent_in_all: 0,
            write_window: None,
            input,
            unseen,
            streams: Vec::new(),
            offers: Vec::new(),
            tunnels: Vec::new(),
            spool: None,
            responded: Vec::new(),
            head_begun: false,
            ending: false,
        }
    }

    /// See `Connection::is_between_requests`.
    pub fn is_between_requests(&self) -> bool {
        self.is_idle() && self.unsent() == 0
    }

    /// Whether there is no stream. Frames of the last ones may still wait for the socket.
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.session.is_idle()
    }

    /// Whether a worker is offered the socket of a stream.
    #[inline]
    pub fn offers(&self, stream: u32) -> bool {
        self.offers.iter().any(|(number, _)| *number == stream)
    }

    fn offer_mut(&mut self, stream: u32) -> Option<&mut Tunnel> {
        self.offers.iter_mut().find(|(number, _)| *number == stream).map(|(_, tunnel)| &mut **tunnel)
    }

    /// Whether no stream has anything behind it: an exchange or a WebSocket.
    fn is_quiet(&self) -> bool {
        self.streams.is_empty() && self.tunnels.is_empty()
    }

    /// Whether nobody waits for a response, and there are WebSockets.
    pub fn has_only_websockets(&self) -> bool {
        self.streams.is_empty() && !self.tunnels.is_empty()
    }

    /// Whether nothing has been received that was not understood.
    pub fn has_no_input(&self) -> bool {
        self.input.is_empty()
    }

    /// An exchange has a response of the front's own.
    pub fn has_response(&mut self, exchange: ExchangeId) {
        self.responded.push(exchange);
    }

    /// The exchanges of all streams.
    pub fn exchanges(&self) -> Vec<ExchangeId> {
        self.streams.iter().map(|(_, exchange)| *exchange).collect()
    }

    pub(crate) fn exchange_of(&self, stream: u32) -> Option<ExchangeId> {
        self.streams.iter().rfind(|(number, _)| *number == stream).map(|(_, exchange)| *exchange)
    }

    /// The exchange of a stream is over.
    pub(crate) fn release(&mut self, stream: u32) {
        self.streams.retain(|(number, _)| *number != stream);
        self.offers.retain(|(number, _)| *number != stream);
        self.session.release(stream);
    }

    /// Whether the client has so much to read first that what could be left out should be.
    pub fn is_behind(&self) -> bool {
        self.unsent() > WIRE
    }

    pub(crate) fn unsent(&self) -> usize {
        self.session.output_len() - self.sent
    }
}
