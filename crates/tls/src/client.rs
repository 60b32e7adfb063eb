//! What an application learns of an encrypted connection: the variables of mod_ssl, which CGI programs know.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

use crate::certificate::{attributes, name, parse, serial};

/// A variable's name and its value.
pub type Variable = (String, String);

/// The variables about a client's certificate; `chain` begins with the client's own. Without one, only that there is none.
pub fn client_variables(chain: &[CertificateDer<'_>]) -> Vec<Variable> {
    let Some(first) = chain.first() else {
        return vec![("SSL_CLIENT_VERIFY".into(), "NONE".into())];
    };
    let mut out: Vec<Variable> = vec![("SSL_CLIENT_VERIFY".into(), "SUCCESS".into())];
    if let Ok(certificate) = parse(first) {
        describe(&certificate, &mut out);
    }
    out.push(("SSL_CLIENT_CERT".into(), pem(first)));
    for (at, one) in chain.iter().skip(1).enumerate() {
        out.push((format!("SSL_CLIENT_CERT_CHAIN_{at}"), pem(one)));
    }
    out
}

fn describe(certificate: &X509Certificate<'_>, out: &mut Vec<Variable>) {
    let mut add = |name: String, value: String| out.push((name, value));
    add("SSL_CLIENT_M_VERSION".into(), (certificate.version().0 + 1).to_string());
    add("SSL_CLIENT_M_SERIAL".into(), serial(certificate));
    add("SSL_CLIENT_V_START".into(), date(certificate.validity().not_before));
    add("SSL_CLIENT_V_END".into(), date(certificate.validity().not_after));
    for (prefix, subject) in [("S", certificate.subject()), ("I", certificate.issuer())] {
        add(format!("SSL_CLIENT_{prefix}_DN"), name(subject));
        let mut seen: Vec<String> = Vec::new();
        for (short, value) in attributes(subject) {
            let short = if short == "emailAddress" { "Email".to_owned() } else { short };
            if short.contains('.') {
                continue;
            }
            let before = seen.iter().filter(|one| **one == short).count();
            // mod_ssl numbers those that are there more than once: CN, CN_1, CN_2.
            let number = if before == 0 { String::new() } else { format!("_{before}") };
            add(format!("SSL_CLIENT_{prefix}_DN_{short}{number}"), without_controls(&value));
            seen.push(short);
        }
    }
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return };
    let (mut hosts, mut mails) = (0, 0);
    for one in &extension.value.general_names {
        match one {
            GeneralName::DNSName(host) => {
                add(format!("SSL_CLIENT_SAN_DNS_{hosts}"), without_controls(host));
                hosts += 1;
            }
            GeneralName::RFC822Name(mail) => {
                add(format!("SSL_CLIENT_SAN_Email_{mails}"), without_controls(mail));
                mails += 1;
            }
            _ => {}
        }
    }
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// As OpenSSL prints it: `Jan  5 09:34:43 2027 GMT`.
fn date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (hour, minute, second) = time.to_hms();
    let month = MONTHS.get(usize::from(u8::from(time.month())) - 1).copied().unwrap_or_default();
    format!("{month} {:2} {hour:02}:{minute:02}:{second:02} {} GMT", time.day(), time.year())
}

fn pem(der: &CertificateDer<'_>) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.as_ref().chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for at in 0..4 {
                let letter = LETTERS.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
                out.push(if at <= group.len() { letter as char } else { '=' });
            }
        }
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
