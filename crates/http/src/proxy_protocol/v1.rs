//! Version 1: one line of text (PP section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use super::{Header, Malformed, Parsed, begins_with};
use crate::forwarded::plain;

/// PP section 2.1: with the line end, whatever the protocol.
const LONGEST_LINE: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if !begins_with(bytes, b"PROXY ")? {
        return Ok(Parsed::NeedMore);
    }
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = memchr(b'\n', window) else {
        return if window.len() == LONGEST_LINE { Err(Malformed) } else { Ok(Parsed::NeedMore) };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed)?;
    let (source, destination) = addresses(line.get(b"PROXY ".len()..).ok_or(Malformed)?)?;
    Ok(Parsed::Header(Header { source, destination, consumed: end + 1, tls: false }))
}

type Ends = (Option<(IpAddr, u16)>, Option<(IpAddr, u16)>);

/// `TCP4` or `TCP6`, both addresses, both ports, one space between each; or `UNKNOWN` and anything behind it.
fn addresses(line: &[u8]) -> Result<Ends, Malformed> {
    if line.contains(&b'\r') {
        return Err(Malformed);
    }
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok((None, None));
    }
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut parts = text.split(' ');
    let mut next = || parts.next().ok_or(Malformed);
    let read: fn(&str) -> Option<IpAddr> = match next()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(|address| plain(IpAddr::V6(address))),
        _ => return Err(Malformed),
    };
    let source = read(next()?).ok_or(Malformed)?;
    let destination = read(next()?).ok_or(Malformed)?;
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if parts.next().is_some() {
        return Err(Malformed);
    }
    Ok((Some((source, source_port)), Some((destination, destination_port))))
}

/// A number from 0 to 65535 without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> Result<Header, Malformed> {
        for length in 0..line.len() {
            assert_eq!(parse(&line.as_bytes()[..length]), Ok(Parsed::NeedMore), "{line:?} cut at {length}");
        }
        match parse(format!("{line}GET / HTTP/1.1\r\n").as_bytes())? {
            Parsed::Header(header) => Ok(header),
            Parsed::NeedMore => panic!("{line:?} is complete"),
        }
    }

    fn end(address: &str, port: u16) -> Option<(IpAddr, u16)> {
        Some((address.parse().unwrap(), port))
    }

    #[test]
    fn well_formed() {
        for (line, source, destination) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 56324 443\r\n", end("1.2.3.4", 56324), end("5.6.7.8", 443)),
            (
                "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
                end("255.255.255.255", 65535),
                end("0.0.0.0", 0),
            ),
            ("PROXY TCP6 ::1 2001:DB8::2 1 2\r\n", end("::1", 1), end("2001:db8::2", 2)),
            ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", end("1.2.3.4", 1), end("::1", 2)),
            ("PROXY UNKNOWN\r\n", None, None),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None, None),
        ] {
            let want = Header { source, destination, consumed: line.len(), tls: false };
            assert_eq!(header(line), Ok(want), "{line:?}");
        }
    }

    #[test]
    fn malformed() {
        for line in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
            "PROXY UNKNOWN a\rb\r\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n",
            "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n",
            "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY \u{fc}\r\n",
            "PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "POST / HTTP/1.1\r\n",
        ] {
            assert_eq!(super::super::parse(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }

    #[test]
    fn the_longest_line() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert!(matches!(parse(line(107).as_bytes()), Ok(Parsed::Header(Header { consumed: 107, .. }))));
        assert_eq!(parse(line(108).as_bytes()), Err(Malformed));
        assert_eq!(parse(&line(108).as_bytes()[..106]), Ok(Parsed::NeedMore));
        assert_eq!(parse(&line(108).as_bytes()[..107]), Err(Malformed));
    }
}
