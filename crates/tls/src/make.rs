//! Certificates that are made here: self-signed ones for development, and answers to challenges.

use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};

use crate::Fault;

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Clocks of others may be late by so much.
const SKEW: u64 = 60 * 60;

/// A certificate for these names and addresses, signed with its own key; `now` and `lifetime` in seconds.
pub fn self_signed(names: &[String], now: u64, lifetime: i64) -> Result<Made, Fault> {
    make(names, now, lifetime, None)
}

/// What answers a challenge TLS-ALPN-01 for a name (RFC 8737 section 3).
pub fn challenge(name: &str, digest: &[u8; 32], now: u64) -> Result<Made, Fault> {
    let extension = CustomExtension::new_acme_identifier(digest);
    make(&[name.to_owned()], now, 7 * 24 * 60 * 60, Some(extension))
}

fn make(
    names: &[String],
    now: u64,
    lifetime: i64,
    extension: Option<CustomExtension>,
) -> Result<Made, Fault> {
    let fault = |error: rcgen::Error| Fault(format!("a certificate cannot be made: {error}"));
    let mut params = CertificateParams::new(names.to_vec()).map_err(fault)?;
    let first = names.first().map_or("pelton", String::as_str);
    params.distinguished_name.push(DnType::CommonName, first);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(SKEW));
    params.not_after = epoch + Duration::from_secs(now.saturating_add_signed(lifetime));
    params.custom_extensions.extend(extension);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}
