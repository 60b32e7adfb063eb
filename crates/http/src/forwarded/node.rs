//! One participant of a request's way, as a proxy names it: an address, `unknown`, or a made-up name.

use std::net::IpAddr;

use super::trusted::plain;

/// Whom a proxy got a request from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// An address; an IPv4 one is never in its IPv6 form.
    Address(IpAddr),
    /// `unknown`, or a name that begins with `_` (RFC 7239 section 6.3): the proxy does not tell.
    Hidden(&'a [u8]),
}

/// A participant and its port, if that is known.
pub type Node<'a> = (Client<'a>, Option<u16>);

/// A node of RFC 7239 section 6. `bare_ipv6`: also without brackets, as X-Forwarded-For has them (no port then).
pub(super) fn parse_node(text: &[u8], bare_ipv6: bool) -> Option<Node<'_>> {
    if bare_ipv6 && let Some(address) = address(text) {
        return Some((Client::Address(address), None));
    }
    if let Some(rest) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest)?;
        let address =
            address(rest.get(..end)?).filter(|_| rest.get(..end).is_some_and(|a| a.contains(&b':')))?;
        return Some((Client::Address(address), parse_port(rest.get(end + 1..)?)?));
    }
    let (name, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
    let port = parse_port(port)?;
    if name.eq_ignore_ascii_case(b"unknown") || is_obfuscated(name) {
        return Some((Client::Hidden(name), port));
    }
    Some((Client::Address(address(name)?), port))
}

fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok().map(plain)
}

/// Nothing, or a colon and a port. An obfuscated port is a port that is not known.
fn parse_port(text: &[u8]) -> Option<Option<u16>> {
    let Some((colon, port)) = text.split_first() else { return Some(None) };
    if *colon != b':' {
        return None;
    }
    if is_obfuscated(port) { Some(None) } else { port_number(port).map(Some) }
}

/// One to five digits, at most 65535.
pub(super) fn port_number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// RFC 7239 section 6.3.
fn is_obfuscated(name: &[u8]) -> bool {
    name.len() > 1
        && name.first() == Some(&b'_')
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        for (text, bare, want, port) in [
            ("1.2.3.4", false, "1.2.3.4", None),
            ("1.2.3.4:80", false, "1.2.3.4", Some(80)),
            ("1.2.3.4:_p", false, "1.2.3.4", None),
            ("[::1]", false, "::1", None),
            ("[2001:DB8::1]:65535", false, "2001:db8::1", Some(65535)),
            ("[::ffff:1.2.3.4]", false, "1.2.3.4", None),
            ("::1", true, "::1", None),
            ("::ffff:1.2.3.4", true, "1.2.3.4", None),
        ] {
            let want = (Client::Address(want.parse().unwrap()), port);
            assert_eq!(parse_node(text.as_bytes(), bare), Some(want), "{text}");
        }
        for (text, name) in [("unknown", "unknown"), ("UNKNOWN:1", "UNKNOWN"), ("_a.B-9_", "_a.B-9_")] {
            let node = parse_node(text.as_bytes(), false);
            assert_eq!(node.map(|(client, _)| client), Some(Client::Hidden(name.as_bytes())), "{text}");
        }
    }

    #[test]
    fn no_nodes() {
        for text in [
            "",
            ":",
            ":80",
            "a",
            "_",
            "_a b",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "1.2.3.4:000080",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[]",
            "[::1]:",
            "::1",
            "[::1%eth0]",
            "1.2.3.4 ",
            "1.2.3.4:80:80",
            "localhost",
            "unknown2",
        ] {
            assert_eq!(parse_node(text.as_bytes(), false), None, "{text}");
        }
    }
}
