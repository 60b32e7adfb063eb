//! Which bytes may stand in field names, values and reason phrases, whatever the protocol and direction.

use crate::words;

/// What becomes of a request field whose name has an underscore.
///
/// WSGI turns `-` into `_`, so `X_Forwarded_For` would arrive under the key of `X-Forwarded-For` and could override
/// what a proxy in front has vouched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscorePolicy {
    /// The field is left out; the request goes on. What nginx does.
    #[default]
    Drop,
    /// The request is refused with 400.
    Refuse,
    /// The field is passed on, for clients that cannot be changed.
    Allow,
}

/// RFC 9110 section 5.6.2: `tchar`.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// RFC 9110 section 5.5: HTAB, SP, VCHAR and obs-text; no other control character.
#[inline]
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// A table of the bytes of a kind, made by the compiler.
macro_rules! table_of {
    ($is_of_kind:ident) => {{
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
            {
                table[byte] = $is_of_kind(byte as u8);
            }
            byte += 1;
        }
        table
    }};
}

static TOKEN: [bool; 256] = table_of!(is_token_byte);
static REG_NAME: [bool; 256] = table_of!(is_reg_name_byte);

/// Whether this is a token (RFC 9110 section 5.6.2), which methods and field names must be.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a byte cannot exceed a table of 256")]
pub fn valid_name(name: &[u8]) -> bool {
    // Nearly all names are letters and hyphens, and longer than a word.
    if words::any(name, words::has_other_than_letters_and_hyphens) == Some(false) {
        return true;
    }
    !name.is_empty() && name.iter().all(|&byte| TOKEN[byte as usize])
}

/// Whether this may be a field value (RFC 9110 section 5.5). Bytes from 0x80 on are allowed, as latin-1 in WSGI.
#[inline]
pub fn valid_value(value: &[u8]) -> bool {
    if words::any(value, |word| words::has_less(word, 0x20) | words::has(word, 0x7f)) == Some(false) {
        return true;
    }
    value.iter().all(|&byte| is_value_byte(byte))
}

/// Whether this may be a reason phrase (RFC 9112 section 4); may be empty.
#[inline]
pub fn valid_reason(reason: &[u8]) -> bool {
    valid_value(reason)
}

/// Whether this valid name is Content-Length, in any case.
#[inline]
pub fn is_content_length(name: &[u8]) -> bool {
    is_named(name, b"content-length")
}

/// Compares as `eq_ignore_ascii_case` does, but for a length known to the compiler, which makes a few wide comparisons of it. One bit less is
/// looked at, so that CR passes for `-`: a name that is passed on has to be a valid one besides.
#[inline]
pub(crate) fn is_named<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        let differences = name.iter().zip(lower).fold(0, |all, (&byte, &want)| all | ((byte | 0x20) ^ want));
        differences == 0
    })
}

/// Whether this is the value of one Content-Length: digits only (RFC 9110 section 8.6), and countable.
///
/// Neither a sign nor a list: recipients disagree on them, and that is what smuggling lives on.
#[inline]
pub fn parse_content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { sum.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// The members of a comma-separated list without white space around them; empty members are left out, as
/// RFC 9110 section 5.6.1.2 asks of recipients.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The last member of such a list; None if it has no member.
pub(crate) fn last_member(value: &[u8]) -> Option<&[u8]> {
    value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii).find(|member| !member.is_empty())
}

/// RFC 3986 section 3.3: `pchar`, of which the percent sign needs two digits behind it.
pub(crate) const fn is_pchar(byte: u8) -> bool {
    is_reg_name_byte(byte) || matches!(byte, b':' | b'@')
}

/// RFC 3986 section 3.2.2: what a `reg-name` consists of, percent sign included.
const fn is_reg_name_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'%')
}

/// Whether this is `host[:port]` (RFC 9110 section 7.2, RFC 3986 section 3.2).
///
/// Empty is valid: RFC 9112 section 3.2 tells clients to send an empty Host for a target without authority. User
/// information and raw non-ASCII are not.
pub(crate) fn valid_authority(authority: &[u8]) -> bool {
    let (host, after) = if authority.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', authority) else { return false };
        let (literal, after) = authority.split_at(end);
        let address = literal.get(1..).and_then(|text| std::str::from_utf8(text).ok());
        if address.is_none_or(|text| text.parse::<std::net::Ipv6Addr>().is_err()) {
            return false;
        }
        (&[][..], after.get(1..).unwrap_or(&[]))
    } else {
        authority.split_at(authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()))
    };
    valid_reg_name(host) && valid_port(after)
}

#[allow(clippy::indexing_slicing, reason = "a byte cannot exceed a table of 256")]
fn valid_reg_name(host: &[u8]) -> bool {
    let mut is_encoded = false;
    let valid = host.iter().all(|&byte| {
        is_encoded |= byte == b'%';
        REG_NAME[byte as usize]
    });
    valid && (!is_encoded || valid_percent_encoding(host))
}

/// Whether each percent sign has two digits behind it.
#[cold]
fn valid_percent_encoding(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'%');
    // What stands before the first sign.
    parts.next();
    parts.all(|part| part.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// `""`, `":"` or `":port"` with a port that exists.
fn valid_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', [])) => true,
        Some((b':', digits)) => parse_content_length(digits).is_some_and(|port| port <= 65_535),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens() {
        for name in [&b"x"[..], b"Content-Type", b"X_Y", b"!#$%&'*+-.^_`|~09azAZ"] {
            assert!(valid_name(name), "{name:?}");
        }
        for name in [
            &b""[..],
            b"a b",
            b"Content\rType",
            b"Content:Type",
            b"a:",
            b"a\r",
            b"a\n",
            b"\0",
            b"(",
            b"\xc3\xbc",
            b"a\t",
            b"\"a\"",
            b"a/b",
        ] {
            assert!(!valid_name(name), "{name:?}");
        }
    }

    #[test]
    fn values_have_no_controls_but_tab() {
        assert!(valid_value(b"") && valid_value(b"a\tb c\x80\xff") && valid_reason(b"Not Found"));
        for byte in (0..0x20u8).chain([0x7f]).filter(|&byte| byte != b'\t') {
            for position in [0, 7, 8, 20, 39] {
                let mut value = [b'v'; 40];
                value[position] = byte;
                assert!(!valid_value(&value), "{byte} at {position}");
            }
            assert!(!valid_value(&[byte]) && !valid_value(&[b'v', byte]));
        }
    }

    #[test]
    fn content_length_is_digits_only() {
        assert_eq!(parse_content_length(b"0"), Some(0));
        assert_eq!(parse_content_length(b"007"), Some(7));
        assert_eq!(parse_content_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"-1", b"1,1", b"1 1", b"0x1", b"1_0", b"18446744073709551616", b"\xb2"]
        {
            assert_eq!(parse_content_length(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn authorities() {
        for good in [
            "",
            "a",
            "example.org",
            "example.org:",
            "a_b:80",
            "1.2.3.4:65535",
            "[::1]",
            "[::1]:8000",
            "a%20b",
        ] {
            assert!(valid_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:65536",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[zz]",
            "[::1]:x",
            "a%2",
            "a?b",
            "a#b",
            "ü",
            "a\\b",
            "<a>",
            "[::1%eth0]",
            "a:+80",
        ] {
            assert!(!valid_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn lists_skip_empty_members() {
        let members: Vec<_> = list_members(b" a ,, b\t,c,").collect();
        assert_eq!(members, [b"a", b"b", b"c"]);
    }
}
