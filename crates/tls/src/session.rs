//! One client's session: records in, plain bytes out, and the other way round.
//!
//! Owns the state of rustls and the beginning of a record that is not complete yet. The unbuffered interface of rustls is used: its
//! callers' buffers hold what comes and goes, so an idle session owns none, and records are opened where they were received.
//! What is to be sent is appended to a buffer of the caller, who sends it in that order.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::cipher;
use crate::client::{Variable, client_variables};
use crate::config::Tls;
use crate::resolver::ACME_PROTOCOL;

/// Most plain bytes of one record.
pub const RECORD: usize = 16 * 1024;
/// What a record adds to them, at most.
const OVERHEAD: usize = 64;

/// The first byte of a record with a message of the handshake, and the bytes before its content.
const HANDSHAKE_RECORD: u8 = 22;
const RECORD_HEADER: usize = 5;

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer speaks HTTP and not TLS.
    PlainHttp,
    /// The peer breaks the protocol, or nothing can be agreed on.
    Tls(String),
}

/// One client's session: records in, plain bytes out, and the other way round.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// Received and not processed: less than a record, or than a message of the handshake.
    pub(crate) incoming: Vec<u8>,
    has_begun: bool,
    is_established: bool,
    peer_closed: bool,
    is_closed: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("is_established", &self.is_established).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that waits for its client's first message.
    pub fn new(tls: &Tls) -> Result<Self, Failure> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&tls.config))
            .map_err(|error| Failure::Tls(error.to_string()))?;
        Ok(Session {
            connection,
            incoming: Vec::new(),
            has_begun: false,
            is_established: false,
            peer_closed: false,
            is_closed: false,
        })
    }

    /// Whether the handshake is complete.
    #[inline]
    pub fn is_established(&self) -> bool {
        self.is_established
    }

    /// Whether `bytes` complete a message that the private key may be needed for: the next step takes so long that others should not wait for it.
    pub fn is_costly(&self, bytes: &[u8]) -> bool {
        // Until the server's first message; once more after it has asked the client to begin again.
        let is_answered =
            matches!(self.connection.handshake_kind(), Some(HandshakeKind::Full | HandshakeKind::Resumed));
        if is_answered || self.incoming.first().or(bytes.first()) != Some(&HANDSHAKE_RECORD) {
            return false;
        }
        let byte = |place: usize| {
            let after = place.checked_sub(self.incoming.len());
            let found = after.map_or_else(|| self.incoming.get(place), |after| bytes.get(after));
            found.copied().map(usize::from)
        };
        let length = byte(3).zip(byte(4)).map(|(high, low)| RECORD_HEADER + (high << 8 | low));
        length.is_some_and(|length| self.incoming.len() + bytes.len() >= length)
    }

    /// Whether the client has said that it sends nothing more.
    #[inline]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Processes bytes of the client, in place; gives plain bytes to `plain` and appends to `out` what is to be sent, also after a failure.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        mut plain: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        if self.peer_closed {
            return Ok(());
        }
        if !self.has_begun
            && let Some(first) = bytes.first()
        {
            self.has_begun = true;
            if first.is_ascii_alphabetic() {
                (self.is_closed, self.peer_closed) = (true, true);
                return Err(Failure::PlainHttp);
            }
        }
        if self.incoming.is_empty() {
            let used = self.process(bytes, out, &mut plain)?;
            self.incoming.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut incoming = std::mem::take(&mut self.incoming);
        incoming.extend_from_slice(bytes);
        let used = self.process(&mut incoming, out, &mut plain)?;
        if used < incoming.len() {
            incoming.drain(..used);
            self.incoming = incoming;
        }
        Ok(())
    }

    fn process(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        plain: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut at = 0;
        loop {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(rest);
            let mut used = discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        used += record.discard;
                        plain(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.is_established = true;
                    return Ok(at + used);
                }
                Ok(ConnectionState::Closed) => {
                    self.peer_closed = true;
                    return Ok(at + used);
                }
                Ok(ConnectionState::BlockedHandshake) => return Ok(at + used),
                // Early data are never agreed to.
                Ok(_) => return Err(Failure::Tls("unexpected early data".into())),
                Err(error) => {
                    // Nothing is said and nothing understood any more.
                    (self.is_closed, self.peer_closed) = (true, true);
                    self.take_alert(bytes.get_mut(at + used..).unwrap_or_default(), out);
                    return Err(Failure::Tls(error.to_string()));
                }
            }
            at += used;
        }
    }

    /// After a failure: the alert that tells the peer of it, and what there was to say before. `bytes`: those behind what was being processed; they are
    /// not looked at, or there would be another failure and another alert.
    fn take_alert(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) {
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.connection.process_tls_records(bytes).state
        {
            encode(&mut data, out);
        }
    }

    /// Appends plain bytes to `out` as records. An error where the handshake is not complete, or the session has ended.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        if self.is_closed {
            return Err(Failure::Tls("the session has ended".into()));
        }
        let mut room = plain.len() + (plain.len() / RECORD + 1) * OVERHEAD;
        loop {
            // What has come of a message is to be shown again, although nothing can come of it: rustls counts on it.
            match self.connection.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = out.len();
                    out.resize(start + room, 0);
                    let written = traffic.encrypt(plain, out.get_mut(start..).unwrap_or_default());
                    out.truncate(start + written.as_ref().map_or(0, |count| *count));
                    match written {
                        Ok(_) => return Ok(()),
                        Err(EncryptError::InsufficientSize(size)) => {
                            room = size.required_size;
                        }
                        Err(error) => return Err(Failure::Tls(error.to_string())),
                    }
                }
                // A message that the peer's last one called for.
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) => return Err(Failure::Tls("the session takes nothing".into())),
                Err(error) => return Err(Failure::Tls(error.to_string())),
            }
        }
    }

    /// Appends the alert that says that nothing more will be sent; once.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_closed, true) || !self.is_established {
            return;
        }
        while let Ok(state) = self.connection.process_tls_records(&mut self.incoming).state {
            match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = out.len();
                    out.resize(start + OVERHEAD, 0);
                    let written = traffic.queue_close_notify(out.get_mut(start..).unwrap_or_default());
                    out.truncate(start + written.unwrap_or(0));
                    return;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => return,
            }
        }
    }

    /// What was agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Whether the client only looks for the certificate of a challenge.
    pub fn is_challenge(&self) -> bool {
        self.protocol() == Some(ACME_PROTOCOL)
    }

    /// Whether it goes on with an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The version, as mod_ssl writes it.
    pub fn version(&self) -> &'static str {
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        }
    }

    /// What the application learns of the session; `asks_for_certificates`: also where the client has none.
    pub fn variables(&self, asks_for_certificates: bool) -> Vec<Variable> {
        let suite = self.connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let mut out: Vec<Variable> = vec![
            ("SSL_PROTOCOL".into(), self.version().into()),
            ("SSL_CIPHER".into(), suite.map_or("", cipher::name_of).into()),
        ];
        let chain = self.connection.peer_certificates().unwrap_or_default();
        if asks_for_certificates || !chain.is_empty() {
            out.push(("SSL_CIPHER_USEKEYSIZE".into(), suite.map_or("", cipher::bits_of).into()));
            out.extend(client_variables(chain));
        }
        out
    }
}

/// Appends a message of the handshake.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match data.encode(out.get_mut(start..).unwrap_or_default()) {
            Ok(count) => return out.truncate(start + count),
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size
            }
            Err(_) => return out.truncate(start),
        }
    }
}
