//! Version 2: binary (PP section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Header, LONGEST_HEADER, Malformed, Parsed, begins_with};
use crate::forwarded::plain;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length of the rest.
const FIXED: usize = 16;

/// PP section 2.2.3: a checksum over the whole header.
const TLV_CRC32C: u8 = 0x03;
/// PP section 2.2.6: how the client's TLS was.
const TLV_SSL: u8 = 0x20;
/// The client connected over TLS.
const CLIENT_SSL: u8 = 0x01;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if !begins_with(bytes, SIGNATURE)? {
        return Ok(Parsed::NeedMore);
    }
    // Each field is checked as soon as it is there: a peer that is wrong need not be waited for.
    let local = match bytes.get(12) {
        None => return Ok(Parsed::NeedMore),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed),
    };
    let read = match bytes.get(13) {
        None => return Ok(Parsed::NeedMore),
        Some(0x11) => tcp4,
        Some(0x21) => tcp6,
        Some(0x31) => unix,
        // PP: unspecified, the addresses are to be ignored.
        Some(0x00) => unspecified,
        // What is said with LOCAL is to be ignored, too, but it must be something.
        Some(0x12 | 0x22 | 0x32) if local => unspecified,
        // Datagrams do not come by a stream.
        Some(_) => return Err(Malformed),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(Parsed::NeedMore) };
    let consumed = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if consumed > LONGEST_HEADER {
        return Err(Malformed);
    }
    let Some(header) = bytes.get(..consumed) else { return Ok(Parsed::NeedMore) };
    let mut rest = header.get(FIXED..).ok_or(Malformed)?;
    if local {
        // PP section 2.2: "discards the protocol block".
        return Ok(Parsed::Header(Header { source: None, destination: None, consumed, tls: false }));
    }
    let (source, destination) = read(&mut rest).ok_or(Malformed)?;
    let tls = extensions(header, rest)?;
    Ok(Parsed::Header(Header { source, destination, consumed, tls }))
}

type Ends = (Option<(IpAddr, u16)>, Option<(IpAddr, u16)>);

/// Takes the first `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn tcp4(rest: &mut &[u8]) -> Option<Ends> {
    let mut address = || take(rest).map(|octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets)));
    let (source, destination) = (address()?, address()?);
    ports(rest, source, destination)
}

fn tcp6(rest: &mut &[u8]) -> Option<Ends> {
    let mut address = || take(rest).map(|octets: [u8; 16]| plain(IpAddr::V6(Ipv6Addr::from(octets))));
    let (source, destination) = (address()?, address()?);
    ports(rest, source, destination)
}

fn ports(rest: &mut &[u8], source: IpAddr, destination: IpAddr) -> Option<Ends> {
    let source_port = u16::from_be_bytes(take(rest)?);
    let destination_port = u16::from_be_bytes(take(rest)?);
    Some((Some((source, source_port)), Some((destination, destination_port))))
}

/// Two paths of 108 bytes, which say nothing about the client.
fn unix(rest: &mut &[u8]) -> Option<Ends> {
    take::<216>(rest)?;
    Some((None, None))
}

/// How long the addresses are is not known, so what follows cannot be distinguished from them.
fn unspecified(rest: &mut &[u8]) -> Option<Ends> {
    *rest = &[];
    Some((None, None))
}

/// Goes over the additional vectors (PP section 2.2.1) and gives whether one of them says TLS.
fn extensions(header: &[u8], mut rest: &[u8]) -> Result<bool, Malformed> {
    let mut tls = false;
    while !rest.is_empty() {
        let at = header.len() - rest.len();
        let (kind, value) = vector(&mut rest)?;
        match kind {
            TLV_CRC32C => {
                let sum: [u8; 4] = value.try_into().map_err(|_| Malformed)?;
                if u32::from_be_bytes(sum) != checksum(header, at + 3) {
                    return Err(Malformed);
                }
            }
            TLV_SSL => {
                let mut value = value;
                let [client, ..] = take::<5>(&mut value).ok_or(Malformed)?;
                tls = client & CLIENT_SSL != 0;
                while !value.is_empty() {
                    vector(&mut value)?;
                }
            }
            _ => {}
        }
    }
    Ok(tls)
}

/// Takes one: type, length, value.
fn vector<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Malformed> {
    let [kind, high, low] = take(rest).ok_or(Malformed)?;
    let (value, after) =
        rest.split_at_checked(usize::from(u16::from_be_bytes([high, low]))).ok_or(Malformed)?;
    *rest = after;
    Ok((kind, value))
}

/// CRC32C of the header with zeros in place of the sum, which stands at `at`. Bit by bit: it is done once per
/// connection, if at all.
fn checksum(header: &[u8], at: usize) -> u32 {
    let bytes = header.iter().enumerate().map(|(i, &byte)| if (at..at + 4).contains(&i) { 0 } else { byte });
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| {
                if sum & 1 == 0 { sum >> 1 } else { (sum >> 1) ^ 0x82f6_3b78 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, payload].concat()
    }

    fn header(bytes: &[u8]) -> Result<Header, Malformed> {
        for length in 0..bytes.len() {
            // Broken ones may be refused before they are complete.
            if let Ok(parsed) = super::super::parse(&bytes[..length]) {
                assert_eq!(parsed, Parsed::NeedMore, "cut at {length}");
            }
        }
        match super::super::parse(&[bytes, b"GET /"].concat())? {
            Parsed::Header(header) => {
                assert_eq!(header.consumed, bytes.len());
                Ok(header)
            }
            Parsed::NeedMore => panic!("complete"),
        }
    }

    const TCP4: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0x1f, 0x90, 0, 80];

    #[test]
    fn addresses() {
        let found = header(&wire(0x21, 0x11, &TCP4)).unwrap();
        assert_eq!(found.source, Some(([1, 2, 3, 4].into(), 8080)));
        assert_eq!(found.destination, Some(([5, 6, 7, 8].into(), 80)));
        assert!(!found.tls);
        let mut tcp6 = [0; 36];
        tcp6[15] = 1;
        tcp6[26..32].copy_from_slice(&[0xff, 0xff, 1, 2, 3, 4]);
        tcp6[33] = 7;
        let found = header(&wire(0x21, 0x21, &tcp6)).unwrap();
        assert_eq!(found.source, Some(("::1".parse().unwrap(), 7)));
        assert_eq!(found.destination, Some(([1, 2, 3, 4].into(), 0)));
    }

    #[test]
    fn nobody_in_particular() {
        for (command, family, payload) in [
            (0x20, 0x00, &b""[..]),
            (0x20, 0x11, &TCP4),
            (0x20, 0x11, b"x"),
            (0x20, 0x12, b""),
            (0x21, 0x00, b""),
            (0x21, 0x00, b"whatever it is"),
            (0x21, 0x31, &[b'/'; 216]),
        ] {
            let found = header(&wire(command, family, payload)).unwrap();
            assert_eq!(
                (found.source, found.destination, found.tls),
                (None, None, false),
                "{command} {family}"
            );
        }
    }

    #[test]
    fn malformed() {
        let long = [&TCP4[..], &[0; LONGEST_HEADER]].concat();
        for (command, family, payload) in [
            (0x11, 0x11, &TCP4[..]),
            (0x22, 0x11, &TCP4),
            (0x2f, 0x11, &TCP4),
            (0x21, 0x12, &TCP4),
            (0x21, 0x41, &TCP4),
            (0x21, 0x10, &TCP4),
            (0x20, 0xff, &TCP4),
            (0x21, 0x11, &TCP4[..11]),
            (0x21, 0x21, &TCP4),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x11, &long),
        ] {
            assert_eq!(header(&wire(command, family, payload)), Err(Malformed), "{command} {family}");
        }
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\r\nGET", b"\r\n\r\n\0\r\nQUIT\r", b"\0"] {
            assert_eq!(super::super::parse(bytes), Err(Malformed));
        }
    }

    fn with_vectors(vectors: &[u8]) -> Result<bool, Malformed> {
        header(&wire(0x21, 0x11, &[&TCP4[..], vectors].concat())).map(|header| header.tls)
    }

    #[test]
    fn vectors() {
        for (vectors, tls) in [
            (&b""[..], false),
            (b"\x04\0\0", false),
            (b"\x04\0\x02ab\x01\0\x02h2", false),
            (b"\x20\0\x05\x01\0\0\0\0", true),
            (b"\x20\0\x05\x06\0\0\0\0", false),
            (b"\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3\x01\0\0", true),
        ] {
            assert_eq!(with_vectors(vectors), Ok(tls), "{}", vectors.escape_ascii());
        }
        for vectors in [
            &b"\x04"[..],
            b"\x04\0",
            b"\x04\0\x01",
            b"\x04\xff\xffa",
            b"\x20\0\x04\x01\0\0\0",
            b"\x20\0\x06\x01\0\0\0\0\x21",
            b"\x20\0\x08\x01\0\0\0\0\x21\0\x01",
            b"\x03\0\x03abc",
        ] {
            assert_eq!(with_vectors(vectors), Err(Malformed), "{}", vectors.escape_ascii());
        }
    }

    #[test]
    fn checksums() {
        // The test vector of RFC 3720 appendix B.4: 32 bytes of zeros.
        assert_eq!(checksum(&[0; 32], 28), 0x8a91_36aa);
        let mut bytes = wire(0x21, 0x11, &[&TCP4[..], b"\x03\0\x04\0\0\0\0\x04\0\x01n"].concat());
        let sum = checksum(&bytes, 31);
        bytes[31..35].copy_from_slice(&sum.to_be_bytes());
        assert!(header(&bytes).is_ok());
        bytes[20] ^= 1;
        assert_eq!(header(&bytes), Err(Malformed));
    }
}
