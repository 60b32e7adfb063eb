//! From settings to a configuration of rustls, made once and shared by all sessions that begin with it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use crate::Fault;
use crate::authority::verifier;
use crate::cipher;
use crate::pair::Pair;
use crate::resolver::{ACME_PROTOCOL, Resolver};
use crate::ticket::{TicketKeys, Ticketer};

/// Seconds for which a session may be resumed: keys are rotated more often.
pub const TICKET_LIFETIME: u32 = 12 * 60 * 60;

/// What is done about certificates of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Ignored,
    /// One is asked for; a bad one is refused, none is no fault.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// Everything that a configuration is made from.
#[derive(Debug, Default)]
pub struct ServerSettings {
    /// At least one; the first is for clients that name no host.
    pub pairs: Vec<Pair>,
    /// Certificates for challenges of an ACME server.
    pub challenges: Vec<Pair>,
    /// PEM of those who may sign clients' certificates.
    pub authorities: Option<Vec<u8>>,
    /// See [`ClientCertificates`].
    pub client_certificates: ClientCertificates,
    /// Whether TLS 1.2 is left out.
    pub without_12: bool,
    /// Whether TLS 1.3 is left out.
    pub without_13: bool,
    /// Names of cipher suites; empty: all.
    pub ciphers: String,
    /// Protocols that may be chosen by ALPN, the preferred one first.
    pub protocols: Vec<Vec<u8>>,
    /// Of session tickets.
    pub tickets: Arc<TicketKeys>,
}

/// A configuration that is ready for sessions.
#[derive(Clone, Debug)]
pub struct Tls {
    /// As rustls uses it.
    pub config: Arc<ServerConfig>,
    /// The pairs in it.
    pub pairs: Vec<Pair>,
    /// Words of the list of ciphers that mean nothing.
    pub unknown_ciphers: Vec<String>,
}

/// The cryptography that everything uses.
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

impl Tls {
    /// Makes it, or says what is wrong.
    pub fn new(settings: ServerSettings) -> Result<Self, Fault> {
        if settings.pairs.is_empty() {
            return Err(Fault("there is no certificate".into()));
        }
        let mut chosen = provider();
        let unknown_ciphers = match settings.ciphers.trim() {
            "" => Vec::new(),
            list => cipher::choose(&mut chosen, list)?,
        };
        let chosen = Arc::new(chosen);
        let versions: &[_] = match (settings.without_12, settings.without_13) {
            (false, false) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS13],
            (false, true) => &[&TLS12],
            (true, true) => return Err(Fault("no version of TLS is left".into())),
        };
        let verifier = verifier(settings.authorities.as_deref(), settings.client_certificates, &chosen)?;
        let mut config = ServerConfig::builder_with_provider(chosen)
            .with_protocol_versions(versions)
            .map_err(|error| Fault(format!("versions and cipher suites do not fit: {error}")))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Resolver::new(&settings.pairs, &settings.challenges)));
        config.alpn_protocols = settings.protocols;
        if !settings.challenges.is_empty() {
            config.alpn_protocols.push(ACME_PROTOCOL.to_vec());
        }
        // Sessions are in the client's ticket, which any front can open, and not in this one's memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut bound_to = vec![settings.client_certificates as u8];
        bound_to.extend_from_slice(settings.authorities.as_deref().unwrap_or_default());
        config.ticketer = Arc::new(Ticketer {
            keys: settings.tickets,
            bound_to: digest(&SHA256, &bound_to).as_ref().to_vec(),
            lifetime: TICKET_LIFETIME,
        });
        Ok(Tls { config: Arc::new(config), pairs: settings.pairs, unknown_ciphers })
    }
}
