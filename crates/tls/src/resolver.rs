//! Which certificate a client gets: by the name that it asks for (SNI), and by what it can verify.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pair::Pair;

/// The protocol of ACME's challenge TLS-ALPN-01 (RFC 8737).
pub const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

type Candidates = Vec<Arc<CertifiedKey>>;

/// Chooses the certificate for the name that a client asks for.
pub struct Resolver {
    exact: HashMap<String, Candidates>,
    /// By what stands behind `*.`.
    wildcards: HashMap<String, Candidates>,
    /// For clients that ask for no name or for an unknown one: the first pair, and those for the same names.
    default: Candidates,
    /// Certificates that answer a challenge, by name.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// For these pairs, the first of which is the default.
    pub fn new(pairs: &[Pair], challenges: &[Pair]) -> Self {
        let mut made = Resolver {
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            default: Vec::new(),
            challenges: HashMap::new(),
        };
        let first_names = pairs.first().map_or(&[][..], Pair::names);
        for (at, pair) in pairs.iter().enumerate() {
            for name in pair.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut made.wildcards, rest),
                    None => (&mut made.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(Arc::clone(&pair.certified));
            }
            if at == 0 || pair.names() == first_names {
                made.default.push(Arc::clone(&pair.certified));
            }
        }
        for pair in challenges {
            for name in pair.names() {
                made.challenges.insert(name.clone(), Arc::clone(&pair.certified));
            }
        }
        made
    }

    /// Those for a name; `*.` stands for one label (RFC 6125 section 6.4.3).
    fn candidates(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.default };
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Some(found) = self.exact.get(name) {
            return found;
        }
        match name.split_once('.').and_then(|(_, rest)| self.wildcards.get(rest)) {
            Some(found) => found,
            None => &self.default,
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.any(|protocol| protocol == ACME_PROTOCOL) && !self.challenges.is_empty() {
            return self.challenges.get(&hello.server_name()?.to_ascii_lowercase()).cloned();
        }
        let candidates = self.candidates(hello.server_name());
        let usable = candidates.iter().find(|one| one.key.choose_scheme(hello.signature_schemes()).is_some());
        usable.or(candidates.first()).cloned()
    }
}
