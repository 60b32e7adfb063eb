//! An OCSP response as a file: about which certificate, what it says, and until when (RFC 6960 section 4.2.1).
//!
//! Its signature is not looked at: whoever wrote the file also wrote the certificate's, and clients verify it. What is looked at are the mistakes that
//! make clients go away: a response for another certificate, a bad one, and one that is out of date.

use x509_parser::asn1_rs::{FromDer, GeneralizedTime};
use x509_parser::prelude::X509Certificate;

use crate::Fault;

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const INTEGER: u8 = 0x02;
const TIME: u8 = 0x18;
/// Numbered, with parts of its own.
const FIRST: u8 = 0xa0;
/// The one choice of a status that is good.
const GOOD: u8 = 0x80;

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ocsp {
    /// Whether the certificate is in order; otherwise it is revoked, or the responder does not know it.
    pub is_good: bool,
    /// Seconds since 1970 until which that holds.
    pub until: i64,
}

impl Ocsp {
    /// Reads a response in DER about `certificate`.
    pub fn read(der: &[u8], certificate: &X509Certificate<'_>) -> Result<Self, Fault> {
        let unreadable = || Fault("the OCSP response cannot be read; it has to be in DER".into());
        let mut whole = der;
        let mut response = part(&mut whole, SEQUENCE).ok_or_else(unreadable)?;
        let status = part(&mut response, ENUMERATED).ok_or_else(unreadable)?;
        if status != [0] {
            return Err(Fault("the OCSP responder has refused to answer".into()));
        }
        let singles = singles(response).ok_or_else(unreadable)?;
        let mut rest = singles;
        while !rest.is_empty() {
            let single = part(&mut rest, SEQUENCE).and_then(one).ok_or_else(unreadable)?;
            if number(single.serial) == number(certificate.raw_serial()) {
                return Ok(Ocsp { is_good: single.is_good, until: single.until });
            }
        }
        Err(Fault("the OCSP response is about another certificate".into()))
    }
}

/// An integer without the zeros in front that its encoding may have.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// The statements of a response, behind its status.
fn singles(mut response: &[u8]) -> Option<&[u8]> {
    let mut bytes = part(&mut part(&mut response, FIRST)?, SEQUENCE)?;
    part(&mut bytes, OBJECT)?;
    let mut basic = part(&mut part(&mut bytes, OCTETS)?, SEQUENCE)?;
    let mut data = part(&mut basic, SEQUENCE)?;
    if data.first() == Some(&FIRST) {
        // The version.
        part(&mut data, FIRST)?;
    }
    // Whose response it is, a name or a key.
    any(&mut data)?;
    part(&mut data, TIME)?;
    part(&mut data, SEQUENCE)
}

struct Single<'a> {
    serial: &'a [u8],
    is_good: bool,
    until: i64,
}

/// What is said of one certificate.
fn one(mut single: &[u8]) -> Option<Single<'_>> {
    let mut about = part(&mut single, SEQUENCE)?;
    part(&mut about, SEQUENCE)?;
    part(&mut about, OCTETS)?;
    part(&mut about, OCTETS)?;
    let serial = part(&mut about, INTEGER)?;
    let (status, _) = any(&mut single)?;
    part(&mut single, TIME)?;
    // Without a next one, newer information is always there, and clients think as they like.
    let until = match single.first() {
        Some(&FIRST) => {
            let next = part(&mut single, FIRST)?;
            let (_, time) = GeneralizedTime::from_der(next).ok()?;
            time.utc_datetime().ok()?.unix_timestamp()
        }
        _ => i64::MAX,
    };
    Some(Single { serial, is_good: status == GOOD, until })
}

/// The content of what comes next, if it has this tag.
fn part<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    any(rest).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Tag and content of what comes next (X.690 section 8.1).
fn any<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut after) = rest.split_first_chunk::<2>()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, behind) = after.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        after = behind;
    }
    let (content, behind) = after.split_at_checked(length)?;
    *rest = behind;
    Some((tag, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::parse;
    use crate::make::self_signed;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = content.len();
        let head: Vec<u8> = match length {
            0..128 => vec![tag, length as u8],
            128..256 => vec![tag, 0x81, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [head, content].concat()
    }

    fn response(serials: &[&[u8]], status: u8, next: Option<&[u8]>) -> Vec<u8> {
        let single = |serial: &&[u8]| {
            let about = tagged(
                SEQUENCE,
                &[
                    &tagged(SEQUENCE, &[&tagged(OBJECT, &[b"\x2b\x0e\x03\x02\x1a"])]),
                    &tagged(OCTETS, &[&[1; 20]]),
                    &tagged(OCTETS, &[&[2; 20]]),
                    &tagged(INTEGER, &[serial]),
                ],
            );
            let next = next.map(|time| tagged(FIRST, &[&tagged(TIME, &[time])])).unwrap_or_default();
            tagged(SEQUENCE, &[&about, &tagged(status, &[]), &tagged(TIME, &[b"20300102030405Z"]), &next])
        };
        let all: Vec<u8> = serials.iter().flat_map(single).collect();
        let data = tagged(
            SEQUENCE,
            &[&tagged(0xa2, &[&[3; 20]]), &tagged(TIME, &[b"20300102030405Z"]), &tagged(SEQUENCE, &[&all])],
        );
        let basic = tagged(SEQUENCE, &[&data, &tagged(SEQUENCE, &[]), &tagged(0x03, &[b"\0signature"])]);
        let bytes = tagged(SEQUENCE, &[&tagged(OBJECT, &[b"\x2b\x06"]), &tagged(OCTETS, &[&basic])]);
        tagged(SEQUENCE, &[&tagged(ENUMERATED, &[&[0]]), &tagged(FIRST, &[&bytes])])
    }

    #[test]
    fn what_a_response_says() {
        let made = self_signed(&["example.com".to_owned()], 1_900_000_000, 86_400).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let certificate = parse(&der).unwrap();
        let own = certificate.raw_serial();
        let read = |bytes: &[u8]| Ocsp::read(bytes, &certificate);
        let good = response(&[b"\x05", own], GOOD, Some(b"20300103030405Z"));
        assert_eq!(read(&good), Ok(Ocsp { is_good: true, until: 1_893_639_845 }));
        let revoked = response(&[own], 0xa1, None);
        assert_eq!(read(&revoked), Ok(Ocsp { is_good: false, until: i64::MAX }));
        let other = read(&response(&[b"\x05"], GOOD, None)).unwrap_err();
        assert!(other.0.contains("another certificate"), "{other:?}");
        let refused = read(&tagged(SEQUENCE, &[&tagged(ENUMERATED, &[&[6]])])).unwrap_err();
        assert!(refused.0.contains("refused"), "{refused:?}");
        for cut in 0..good.len() {
            assert!(read(good.get(..cut).unwrap()).is_err(), "cut at {cut}");
        }
        assert!(read(b"-----BEGIN OCSP RESPONSE-----").is_err());
        assert!(read(b"\x30\x85\xff\xff\xff\xff\xff").is_err());
    }
}
