//! Which content coding a client is sent: `Accept-Encoding` (RFC 9110 section 12.5.3).
//!
//! Owns the codings that this server can make or find, their names, and the choice. Knows no compressor.

use crate::header_policy::list_members;

/// A content coding (section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ContentCoding {
    /// RFC 1952.
    Gzip = 0,
    /// RFC 7932.
    Brotli = 1,
    /// RFC 8878, with the window of RFC 9659.
    Zstd = 2,
}

impl ContentCoding {
    /// All of them, by number.
    pub const ALL: [ContentCoding; 3] = [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd];

    /// The name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            ContentCoding::Gzip => "gzip",
            ContentCoding::Brotli => "br",
            ContentCoding::Zstd => "zstd",
        }
    }

    /// What the name of a file has at its end that has been coded so.
    pub const fn extension(self) -> &'static [u8] {
        match self {
            ContentCoding::Gzip => b".gz",
            ContentCoding::Brotli => b".br",
            ContentCoding::Zstd => b".zst",
        }
    }

    /// The coding of this name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(ContentCoding::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// How much a client likes each coding, in thousandths; 0 is not acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    codings: [u16; 3],
    /// None where the client does not say: acceptable, and liked less than all that it names.
    identity: Option<u16>,
}

impl Accepted {
    /// Reads all lines of `Accept-Encoding`. Without any, a client gets nothing that it has not asked for, though the RFC would allow it.
    pub fn read<'f>(values: impl Iterator<Item = &'f [u8]>) -> Self {
        let mut named = [None; 3];
        let (mut identity, mut others) = (None, None);
        for member in values.flat_map(list_members) {
            let mut parts = member.split(|&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            // What is malformed is not acceptable: a client that gets it uncoded can always read it.
            let weight = match (parts.next(), parts.next()) {
                (None, _) => 1000,
                (Some(weight), None) => weight_of(weight.trim_ascii()).unwrap_or(0),
                _ => 0,
            };
            if name == b"*" {
                others = others.or(Some(weight));
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = identity.or(Some(weight));
            } else if let Some(coding) = ContentCoding::named(name)
                && let Some(place) = named.get_mut(coding as usize)
            {
                *place = place.or(Some(weight));
            }
        }
        Accepted {
            codings: named.map(|weight| weight.or(others).unwrap_or(0)),
            identity: identity.or(others.filter(|&weight| weight == 0)),
        }
    }

    /// Whether it is acceptable at all.
    pub fn accepts(&self, coding: ContentCoding) -> bool {
        self.weight(coding) > 0
    }

    fn weight(&self, coding: ContentCoding) -> u16 {
        self.codings.get(coding as usize).copied().unwrap_or(0)
    }

    /// The best of `offered`; of those that are liked equally the first one. None: as it is, which is also sent to a client that accepts
    /// nothing of what there is (section 12.5.3 leaves that to the server, and a page beats a 406).
    pub fn best(&self, offered: impl IntoIterator<Item = ContentCoding>) -> Option<ContentCoding> {
        let mut best = None;
        let mut most = 0;
        for coding in offered {
            let weight = self.weight(coding);
            if weight > most {
                (best, most) = (Some(coding), weight);
            }
        }
        if self.identity.is_some_and(|weight| weight > most) { None } else { best }
    }
}

/// `q=0.5` in thousandths (section 12.4.2).
pub(crate) fn weight_of(text: &[u8]) -> Option<u16> {
    let (name, value) = text.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (&whole, rest) = value.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let mut part = 0;
    let mut unit = 100;
    for digit in digits {
        part += u16::from(digit - b'0') * unit;
        unit /= 10;
    }
    match whole {
        b'0' => Some(part),
        b'1' if part == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::ContentCoding::{Brotli, Gzip, Zstd};
    use super::*;

    fn best(value: &str) -> Option<ContentCoding> {
        Accepted::read(std::iter::once(value.as_bytes())).best([Zstd, Brotli, Gzip])
    }

    #[test]
    fn the_client_weighs_and_the_server_breaks_ties() {
        for (value, want) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP;Q=1", Some(Gzip)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("gzip;q=0.001, zstd;q=0.000", Some(Gzip)),
            ("gzip ; q=0.5 , br ; q=0.8", Some(Brotli)),
            ("*", Some(Zstd)),
            ("*, zstd;q=0", Some(Brotli)),
            ("zstd;q=0, *;q=0.1", Some(Brotli)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some(Gzip)),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("*;q=0, gzip", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0, gzip", None),
            ("identity;q=0", None),
            ("", None),
            ("deflate", None),
            ("*;q=0", None),
            // Malformed.
            ("gzip;q", None),
            ("gzip;q=", None),
            ("gzip;q=2", None),
            ("gzip;q=1.1", None),
            ("gzip;q=0.5000", None),
            ("gzip;q=.5", None),
            ("gzip;q=-1", None),
            ("gzip;level=9", None),
            ("gzip;q=1;x=2", None),
            (";q=1", None),
            ("gzip;q=0., br;q=1.", Some(Brotli)),
            ("gzip;q=\u{661}", None),
        ] {
            assert_eq!(best(value), want, "{value:?}");
        }
    }

    #[test]
    fn without_the_field_nothing_is_coded() {
        assert_eq!(Accepted::read(std::iter::empty()).best(ContentCoding::ALL), None);
    }

    #[test]
    fn several_lines_are_one_list() {
        let accepted = Accepted::read([&b"gzip;q=0.2"[..], b"br;q=0.7"].into_iter());
        assert_eq!(accepted.best([Gzip, Brotli]), Some(Brotli));
        assert!(accepted.accepts(Gzip) && !accepted.accepts(Zstd));
    }

    #[test]
    fn names_read_back() {
        for coding in ContentCoding::ALL {
            assert_eq!(ContentCoding::named(coding.name().to_ascii_uppercase().as_bytes()), Some(coding));
        }
        assert_eq!(ContentCoding::named(b"deflate"), None);
    }
}
