//! What a certificate says, for people and for the choice by name.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use crate::Fault;

/// The parts of a certificate that people ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is for, as RFC 2253 writes it.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// In hexadecimal digits.
    pub serial: String,
    /// Seconds since 1970 from which on it is valid.
    pub not_before: i64,
    /// The last second of its validity.
    pub not_after: i64,
    /// Names of hosts, with `*.` where they stand for several, and addresses.
    pub names: Vec<String>,
    /// The kind and the size of its key.
    pub key: String,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether it is signed by the name that it bears.
    pub is_self_issued: bool,
}

/// The certificates of a PEM file, in its order; at least one.
pub fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| Fault(format!("the certificate cannot be read: {error}")))?;
    if found.is_empty() {
        return Err(Fault("there is no certificate in the file (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(found)
}

/// Parses one certificate.
pub fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Fault> {
    match x509_parser::parse_x509_certificate(der.as_ref()) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(Fault(format!("the certificate cannot be understood: {error}"))),
    }
}

/// What a certificate says.
pub fn facts(der: &CertificateDer<'_>) -> Result<Facts, Fault> {
    let certificate = parse(der)?;
    Ok(Facts {
        subject: name(certificate.subject()),
        issuer: name(certificate.issuer()),
        serial: serial(&certificate),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        names: names(&certificate),
        key: key(&certificate),
        is_authority: certificate.is_ca(),
        is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
    })
}

/// The serial number in hexadecimal digits, without leading zeros.
pub fn serial(certificate: &X509Certificate<'_>) -> String {
    let digits: String = certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size()),
        _ => "another kind".to_owned(),
    }
}

/// The names of attributes that have a short one, by their object identifiers.
const ATTRIBUTES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "T"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The attributes of a name with their short names, in the order of the certificate.
pub fn attributes(name: &X509Name<'_>) -> Vec<(String, String)> {
    let one = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let identifier = attribute.attr_type().to_id_string();
        let known = ATTRIBUTES.iter().find(|(oid, _)| *oid == identifier);
        let value = match attribute.as_str() {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
        };
        (known.map_or(identifier, |(_, short)| (*short).to_owned()), value)
    };
    name.iter_attributes().map(one).collect()
}

/// A name as RFC 2253 writes it: the last attribute first.
pub fn name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        attributes(name).iter().map(|(short, value)| format!("{short}={}", escaped(value))).collect();
    parts.reverse();
    parts.join(",")
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, letter) in value.chars().enumerate() {
        let at_an_end = letter == ' ' && (at == 0 || at == last) || letter == '#' && at == 0;
        if at_an_end || matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        match letter {
            // A value of an environ and of a log line: what is no text is written as RFC 2253 writes octets.
            control if control.is_control() => out.push_str(&format!("\\{:02X}", control as u32)),
            letter => out.push(letter),
        }
    }
    out
}
