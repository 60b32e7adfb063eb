//! What a shared cache may keep and reuse: RFC 9111, with RFC 5861 (stale responses) and RFC 9211 (`Cache-Status`).
//!
//! Owns the decisions. Knows no memory, no clock and no connection: the caller brings heads and the time, and keeps what may be
//! kept. This cache stands directly before the origin, so it is stricter than the RFC has to be in three points: it keeps only
//! what says for how long (no heuristics), never a response that sets a cookie, and never one whose Vary is `*`.

pub mod directives;
pub mod freshness;
pub mod status;
pub mod vary;

pub use directives::{RequestDirectives, ResponseDirectives};
pub use freshness::{Age, Lifetime, Response, Reuse, Storable, may_store, reuse, stands_in};
pub use status::{CacheStatus, Forwarded, write_cache_status};
pub use vary::Selection;

/// Whether a method makes what is kept under its target wrong (RFC 9111 section 4.4): any that is not known to be safe.
pub fn invalidates(method: &[u8]) -> bool {
    !matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

/// Whether a 304 leaves a stored field as it is (RFC 9111 section 3.2): what describes the stored body, and what concerns one
/// connection only.
pub fn survives_validation(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 7] = [
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
    ];
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
}

/// Tags under which a response can be purged: the members of its `Cache-Tag` fields, separated by commas or white space.
pub fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| matches!(byte, b',' | b' ' | b'\t')).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_and_unknown_methods_invalidate() {
        for method in [&b"POST"[..], b"PUT", b"DELETE", b"PATCH", b"PURGE", b"get"] {
            assert!(invalidates(method), "{}", String::from_utf8_lossy(method));
        }
        for method in [&b"GET"[..], b"HEAD", b"OPTIONS", b"TRACE"] {
            assert!(!invalidates(method));
        }
    }

    #[test]
    fn tags_are_split_at_commas_and_spaces() {
        assert_eq!(tags(b"a,b  c, ,d").collect::<Vec<_>>(), [b"a", b"b", b"c", b"d"]);
        assert_eq!(tags(b" ,").count(), 0);
    }

    #[test]
    fn a_304_does_not_change_what_describes_the_body() {
        assert!(survives_validation(b"Content-Type") && survives_validation(b"content-length"));
        assert!(!survives_validation(b"Cache-Control") && !survives_validation(b"ETag"));
    }
}
