//! A certificate with its chain, and its key: read, and proved to belong together.

use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use crate::Fault;
use crate::certificate::{Facts, facts, parse, read_chain};
use crate::key::read_key;
use crate::ocsp::Ocsp;

/// A certificate with its chain, its key, and what is known of its revocation.
#[derive(Clone)]
pub struct Pair {
    /// As rustls uses it.
    pub certified: Arc<CertifiedKey>,
    /// What the certificates say, the server's own first.
    pub chain: Vec<Facts>,
    /// What the OCSP response says that was given. It is sent along only if it is good and not out of date.
    pub ocsp: Option<Ocsp>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Pair {
    /// Reads a pair from PEM. `ocsp`: an OCSP response in DER, to be stapled, and what time it is (seconds since 1970).
    pub fn read(
        certificates: &[u8],
        key: &[u8],
        pass_phrase: Option<&[u8]>,
        ocsp: Option<(&[u8], i64)>,
        provider: &CryptoProvider,
    ) -> Result<Self, Fault> {
        let chain = read_chain(certificates)?;
        let key = read_key(key, pass_phrase)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| Fault(format!("the private key cannot be used: {error}")))?;
        let facts = chain.iter().map(facts).collect::<Result<Vec<_>, _>>()?;
        let mut certified = CertifiedKey::new(chain, key);
        // Other errors are those of a client that would not accept the certificate, such as one for an ACME challenge.
        if let Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = certified.keys_match() {
            return Err(Fault(format!(
                "the private key does not belong to the first certificate ({}); the server's own \
                 certificate has to be the first one of its file",
                facts.first().map_or("", |first| &first.subject)
            )));
        }
        let ocsp = match (ocsp, certified.cert.first()) {
            (Some((der, now)), Some(own)) => {
                let status = Ocsp::read(der, &parse(own)?)?;
                certified.ocsp = (status.is_good && status.until > now).then(|| der.to_vec());
                Some(status)
            }
            _ => None,
        };
        Ok(Pair { certified: Arc::new(certified), chain: facts, ocsp })
    }

    /// What the server's own certificate says.
    pub fn facts(&self) -> Option<&Facts> {
        self.chain.first()
    }

    /// The names that it is for.
    pub fn names(&self) -> &[String] {
        self.facts().map_or(&[], |facts| &facts.names)
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    /// Why it is no good at a time (seconds since 1970), if it is not.
    pub fn fault_at(&self, now: i64) -> Option<Fault> {
        let facts = self.facts()?;
        if facts.not_after < now {
            return Some(Fault(format!("the certificate of {} has expired", facts.subject)));
        }
        if facts.not_before > now {
            return Some(Fault(format!("the certificate of {} is not valid yet", facts.subject)));
        }
        None
    }
}
