//! What Python needs of TLS: it reads the files and watches them, and makes the objects that the front serves with.
//!
//! Nothing here is called for a connection or a byte of one.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pelton_tls::certificate::{Facts, facts, read_chain};
use pelton_tls::config::provider;
use pelton_tls::make::{challenge, self_signed};
use pelton_tls::{ClientCertificates, Fault, Pair, ServerSettings};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

fn value_error(fault: &Fault) -> PyErr {
    PyValueError::new_err(fault.0.clone())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The keys of session tickets. Several `Tls` share one, so that clients resume their sessions after a change of certificates.
#[pyclass(frozen, module = "pelton._engine")]
#[derive(Default)]
pub struct TicketKeys {
    keys: Arc<pelton_tls::TicketKeys>,
}

#[pymethods]
impl TicketKeys {
    #[new]
    fn new() -> Self {
        TicketKeys::default()
    }

    /// Use these keys (48 bytes each) from now on: the first for new tickets, all for old ones. None: no tickets.
    fn replace(&self, keys: Vec<Vec<u8>>) -> PyResult<()> {
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        if self.keys.replace(&keys) {
            return Ok(());
        }
        Err(PyValueError::new_err("a ticket key is not 48 bytes"))
    }
}

/// What a certificate says.
#[pyclass(frozen, get_all, module = "pelton._engine")]
#[derive(Clone)]
pub struct Certificate {
    subject: String,
    issuer: String,
    serial: String,
    /// Seconds since 1970.
    not_before: i64,
    /// The same; the last second of its validity.
    not_after: i64,
    names: Vec<String>,
    key: String,
    is_authority: bool,
    is_self_issued: bool,
}

impl From<&Facts> for Certificate {
    fn from(facts: &Facts) -> Self {
        let Facts {
            subject,
            issuer,
            serial,
            not_before,
            not_after,
            names,
            key,
            is_authority,
            is_self_issued,
        } = facts.clone();
        Certificate {
            subject,
            issuer,
            serial,
            not_before,
            not_after,
            names,
            key,
            is_authority,
            is_self_issued,
        }
    }
}

/// One certificate with its key, in PEM: certificates, key, pass phrase, OCSP response (DER).
type PairBytes = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn pairs_from(pairs: &[PairBytes]) -> PyResult<Vec<Pair>> {
    let provider = provider();
    let mut out = Vec::with_capacity(pairs.len());
    for (at, (certificates, key, pass_phrase, ocsp)) in pairs.iter().enumerate() {
        let ocsp = ocsp.as_deref().map(|der| (der, now() as i64));
        let pair = Pair::read(certificates, key, pass_phrase.as_deref(), ocsp, &provider);
        // Which one it is, so that the caller can name the file.
        out.push(pair.map_err(|fault| PyValueError::new_err((fault.0, at)))?);
    }
    Ok(out)
}

/// A configuration of TLS, checked and ready to serve with.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Tls {
    pub(crate) tls: pelton_tls::Tls,
    pub(crate) asks_for_certificates: bool,
}

#[pymethods]
impl Tls {
    /// Raises ValueError: what is wrong, and where it is about a pair, the pair's place.
    #[new]
    #[pyo3(signature = (
        pairs, tickets, *, challenges=Vec::new(), ca_certs=None, cert_reqs="none", versions="1.2,1.3", ciphers="",
        protocols=Vec::new()
    ))]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "keywords of Python")]
    fn new(
        pairs: Vec<PairBytes>,
        tickets: &Bound<'_, TicketKeys>,
        challenges: Vec<PairBytes>,
        ca_certs: Option<Vec<u8>>,
        cert_reqs: &str,
        versions: &str,
        ciphers: &str,
        protocols: Vec<String>,
    ) -> PyResult<Self> {
        let client_certificates = match cert_reqs {
            "none" => ClientCertificates::Ignored,
            "optional" => ClientCertificates::Optional,
            "required" => ClientCertificates::Required,
            other => return Err(PyValueError::new_err(format!("cert_reqs cannot be {other:?}"))),
        };
        let settings = ServerSettings {
            pairs: pairs_from(&pairs)?,
            challenges: pairs_from(&challenges)?,
            authorities: ca_certs,
            client_certificates,
            without_12: !versions.contains("1.2"),
            without_13: !versions.contains("1.3"),
            ciphers: ciphers.to_owned(),
            protocols: protocols.into_iter().map(String::into_bytes).collect(),
            tickets: Arc::clone(&tickets.get().keys),
        };
        let tls = pelton_tls::Tls::new(settings).map_err(|fault| value_error(&fault))?;
        Ok(Tls { tls, asks_for_certificates: client_certificates != ClientCertificates::Ignored })
    }

    /// What the certificates of each pair say, the server's own first.
    #[getter]
    fn chains(&self) -> Vec<Vec<Certificate>> {
        self.tls.pairs.iter().map(|pair| pair.chain.iter().map(Certificate::from).collect()).collect()
    }

    /// Of each pair's OCSP response, if it has one: whether it says that the certificate is in order, until when (seconds since 1970), and
    /// whether it is sent along.
    #[getter]
    fn ocsp(&self) -> Vec<Option<(bool, i64, bool)>> {
        let described = |pair: &Pair| {
            let is_sent = pair.certified.ocsp.is_some();
            pair.ocsp.map(|ocsp| (ocsp.is_good, ocsp.until, is_sent))
        };
        self.tls.pairs.iter().map(described).collect()
    }

    /// Words of the list of ciphers that mean nothing.
    #[getter]
    fn unknown_ciphers(&self) -> Vec<String> {
        self.tls.unknown_ciphers.clone()
    }

    /// The cipher suites that are left, by OpenSSL's names.
    #[getter]
    fn cipher_suites(&self) -> Vec<&'static str> {
        let suites = &self.tls.config.crypto_provider().cipher_suites;
        suites.iter().map(|suite| pelton_tls::cipher::name_of(suite.suite())).collect()
    }
}

/// What the certificates of a PEM file say. Raises ValueError.
#[pyfunction]
pub fn read_certificates(pem: Vec<u8>) -> PyResult<Vec<Certificate>> {
    let chain = read_chain(&pem).map_err(|fault| value_error(&fault))?;
    let described = chain.iter().map(|one| facts(one).map(|facts| Certificate::from(&facts)));
    described.collect::<Result<_, _>>().map_err(|fault| value_error(&fault))
}

/// A self-signed certificate for `names` and its key, both in PEM; `lifetime` in seconds.
#[pyfunction]
pub fn make_certificate(names: Vec<String>, lifetime: i64) -> PyResult<(String, String)> {
    let made = self_signed(&names, now(), lifetime).map_err(|fault| value_error(&fault))?;
    Ok((made.certificate, made.key))
}

/// What answers an ACME server's challenge TLS-ALPN-01 for `name`: certificate and key in PEM. `digest`: SHA-256 of the key authorization.
#[pyfunction]
pub fn make_challenge_certificate(name: &str, digest: [u8; 32]) -> PyResult<(String, String)> {
    let made = challenge(name, &digest, now()).map_err(|fault| value_error(&fault))?;
    Ok((made.certificate, made.key))
}
