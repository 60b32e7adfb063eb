//! The names of cipher suites: people know OpenSSL's, RFCs have others.

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

use crate::Fault;

/// A suite, its name in OpenSSL, its name in the RFCs, and the bits of its key.
type Names = (CipherSuite, &'static str, &'static str, &'static str);

const SUITES: [Names; 9] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", "256"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "128"),
    (
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "256",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "256",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "128",
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "256",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "256",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "128",
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "256",
    ),
];

/// A suite's name as mod_ssl writes it.
pub fn name_of(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|names| names.0 == suite).map_or("", |names| names.1)
}

/// The bits of a suite's key, as text.
pub fn bits_of(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|names| names.0 == suite).map_or("", |names| names.3)
}

/// Leaves the suites of a list like OpenSSL's, in its order: names between colons, commas or spaces. As in OpenSSL, those of TLS 1.3 are
/// all there unless one of them is named. Gives the words that mean nothing here; with no suite left it is a fault.
pub fn choose(provider: &mut CryptoProvider, list: &str) -> Result<Vec<String>, Fault> {
    let words = list.split([':', ',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    let (mut chosen, mut unknown) = (Vec::new(), Vec::new());
    for word in words {
        let is_named = |names: &&Names| {
            let rustls_name = format!("{:?}", names.0);
            [names.1, names.2, &rustls_name].iter().any(|name| name.eq_ignore_ascii_case(word))
        };
        match SUITES.iter().find(is_named) {
            Some(names) => chosen.push(names.0),
            None => unknown.push(word.to_owned()),
        }
    }
    if chosen.is_empty() {
        let known: Vec<&str> = SUITES.iter().map(|names| names.1).collect();
        return Err(Fault(format!("no cipher suite of the list is known; there are {}", known.join(", "))));
    }
    let names_13 = chosen.iter().any(|suite| name_of(*suite).starts_with("TLS_"));
    let mut suites = Vec::new();
    for suite in &chosen {
        suites.extend(provider.cipher_suites.iter().find(|one| one.suite() == *suite).copied());
    }
    if !names_13 {
        suites.extend(provider.cipher_suites.iter().filter(|one| one.tls13().is_some()).copied());
    }
    provider.cipher_suites = suites;
    Ok(unknown)
}
