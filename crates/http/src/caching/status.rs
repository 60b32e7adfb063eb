//! The `Cache-Status` field (RFC 9211): what the cache did with a request, for whoever looks for a reason.

use std::io::Write;

/// Why a request went on to the application (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache does not keep such requests.
    Bypass,
    /// The method is none that it keeps.
    Method,
    /// Nothing is kept under this target.
    UriMiss,
    /// Something is, but the request selects other fields.
    VaryMiss,
    /// It was stale.
    Stale,
    /// The request wanted it to be asked.
    Request,
}

impl Forwarded {
    const fn token(self) -> &'static str {
        match self {
            Forwarded::Bypass => "bypass",
            Forwarded::Method => "method",
            Forwarded::UriMiss => "uri-miss",
            Forwarded::VaryMiss => "vary-miss",
            Forwarded::Stale => "stale",
            Forwarded::Request => "request",
        }
    }
}

/// What became of a request in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// None: it was answered from the cache.
    pub forwarded: Option<Forwarded>,
    /// The application's status where it is another one than the client's.
    pub forwarded_status: Option<u16>,
    /// Seconds for which it is still fresh; negative: for which it has been stale.
    pub ttl: Option<i64>,
    /// Whether the response is kept now.
    pub stored: bool,
    /// Whether it waited for another request's response.
    pub collapsed: bool,
}

/// Appends the field's value.
pub fn write_cache_status(out: &mut Vec<u8>, status: &CacheStatus) {
    out.extend_from_slice(b"pelton");
    // Writing to a vector cannot fail.
    let _ = match status.forwarded {
        None => write!(out, "; hit"),
        Some(why) => write!(out, "; fwd={}", why.token()),
    };
    if let Some(number) = status.forwarded_status {
        let _ = write!(out, "; fwd-status={number}");
    }
    if let Some(ttl) = status.ttl {
        let _ = write!(out, "; ttl={ttl}");
    }
    if status.stored {
        out.extend_from_slice(b"; stored");
    }
    if status.collapsed {
        out.extend_from_slice(b"; collapsed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: CacheStatus) -> String {
        let mut out = Vec::new();
        write_cache_status(&mut out, &status);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values() {
        let hit = CacheStatus { ttl: Some(-5), ..CacheStatus::default() };
        assert_eq!(text(hit), "pelton; hit; ttl=-5");
        let validated = CacheStatus {
            forwarded: Some(Forwarded::Stale),
            forwarded_status: Some(304),
            stored: true,
            collapsed: true,
            ttl: None,
        };
        assert_eq!(text(validated), "pelton; fwd=stale; fwd-status=304; stored; collapsed");
    }
}
