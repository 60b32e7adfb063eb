//! Field names that are seen often, as numbers.
//!
//! Two uses: the parser finds the fields that it must obey without comparing each name with each of them, and the
//! Python side finds the ready-made environ key for a number instead of building a string per field and request.

macro_rules! known_fields {
    ($($variant:ident $name:literal $cgi:literal,)*) => {
        /// A usual request field name.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// None of the names below.
            #[default]
            Other = 0,
            $(#[doc = $name] $variant,)*
        }

        /// Names by number; the first belongs to `Other`.
        const NAMES: &[&str] = &["", $($name),*];
        const CGI_NAMES: &[&str] = &["", $($cgi),*];
        const ALL: &[Known] = &[Known::Other, $(Known::$variant),*];
    };
}

known_fields! {
    Accept "accept" "HTTP_ACCEPT",
    AcceptCharset "accept-charset" "HTTP_ACCEPT_CHARSET",
    AcceptEncoding "accept-encoding" "HTTP_ACCEPT_ENCODING",
    AcceptLanguage "accept-language" "HTTP_ACCEPT_LANGUAGE",
    AccessControlRequestHeaders "access-control-request-headers" "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    AccessControlRequestMethod "access-control-request-method" "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    Authorization "authorization" "HTTP_AUTHORIZATION",
    CacheControl "cache-control" "HTTP_CACHE_CONTROL",
    Connection "connection" "HTTP_CONNECTION",
    ContentEncoding "content-encoding" "HTTP_CONTENT_ENCODING",
    ContentLength "content-length" "CONTENT_LENGTH",
    ContentType "content-type" "CONTENT_TYPE",
    Cookie "cookie" "HTTP_COOKIE",
    Date "date" "HTTP_DATE",
    Dnt "dnt" "HTTP_DNT",
    Expect "expect" "HTTP_EXPECT",
    Forwarded "forwarded" "HTTP_FORWARDED",
    From "from" "HTTP_FROM",
    Host "host" "HTTP_HOST",
    IfMatch "if-match" "HTTP_IF_MATCH",
    IfModifiedSince "if-modified-since" "HTTP_IF_MODIFIED_SINCE",
    IfNoneMatch "if-none-match" "HTTP_IF_NONE_MATCH",
    IfRange "if-range" "HTTP_IF_RANGE",
    IfUnmodifiedSince "if-unmodified-since" "HTTP_IF_UNMODIFIED_SINCE",
    KeepAlive "keep-alive" "HTTP_KEEP_ALIVE",
    LastEventId "last-event-id" "HTTP_LAST_EVENT_ID",
    Origin "origin" "HTTP_ORIGIN",
    Pragma "pragma" "HTTP_PRAGMA",
    Priority "priority" "HTTP_PRIORITY",
    Proxy "proxy" "HTTP_PROXY",
    ProxyAuthorization "proxy-authorization" "HTTP_PROXY_AUTHORIZATION",
    Range "range" "HTTP_RANGE",
    Referer "referer" "HTTP_REFERER",
    SecChUa "sec-ch-ua" "HTTP_SEC_CH_UA",
    SecChUaMobile "sec-ch-ua-mobile" "HTTP_SEC_CH_UA_MOBILE",
    SecChUaPlatform "sec-ch-ua-platform" "HTTP_SEC_CH_UA_PLATFORM",
    SecFetchDest "sec-fetch-dest" "HTTP_SEC_FETCH_DEST",
    SecFetchMode "sec-fetch-mode" "HTTP_SEC_FETCH_MODE",
    SecFetchSite "sec-fetch-site" "HTTP_SEC_FETCH_SITE",
    SecFetchUser "sec-fetch-user" "HTTP_SEC_FETCH_USER",
    SecGpc "sec-gpc" "HTTP_SEC_GPC",
    SecWebSocketExtensions "sec-websocket-extensions" "HTTP_SEC_WEBSOCKET_EXTENSIONS",
    SecWebSocketKey "sec-websocket-key" "HTTP_SEC_WEBSOCKET_KEY",
    SecWebSocketProtocol "sec-websocket-protocol" "HTTP_SEC_WEBSOCKET_PROTOCOL",
    SecWebSocketVersion "sec-websocket-version" "HTTP_SEC_WEBSOCKET_VERSION",
    Te "te" "HTTP_TE",
    Traceparent "traceparent" "HTTP_TRACEPARENT",
    Tracestate "tracestate" "HTTP_TRACESTATE",
    Trailer "trailer" "HTTP_TRAILER",
    TransferEncoding "transfer-encoding" "HTTP_TRANSFER_ENCODING",
    Upgrade "upgrade" "HTTP_UPGRADE",
    UpgradeInsecureRequests "upgrade-insecure-requests" "HTTP_UPGRADE_INSECURE_REQUESTS",
    UserAgent "user-agent" "HTTP_USER_AGENT",
    Via "via" "HTTP_VIA",
    XAmznTraceId "x-amzn-trace-id" "HTTP_X_AMZN_TRACE_ID",
    XCorrelationId "x-correlation-id" "HTTP_X_CORRELATION_ID",
    XCsrfToken "x-csrf-token" "HTTP_X_CSRF_TOKEN",
    XForwardedFor "x-forwarded-for" "HTTP_X_FORWARDED_FOR",
    XForwardedHost "x-forwarded-host" "HTTP_X_FORWARDED_HOST",
    XForwardedPort "x-forwarded-port" "HTTP_X_FORWARDED_PORT",
    XForwardedPrefix "x-forwarded-prefix" "HTTP_X_FORWARDED_PREFIX",
    XForwardedProto "x-forwarded-proto" "HTTP_X_FORWARDED_PROTO",
    XRealIp "x-real-ip" "HTTP_X_REAL_IP",
    XRequestId "x-request-id" "HTTP_X_REQUEST_ID",
    XRequestedWith "x-requested-with" "HTTP_X_REQUESTED_WITH",
    // Not fields of requests, and no client can send such names: what a trusted proxy says travels to the environ in
    // the fields' form.
    MountPoint "(mount point)" "SCRIPT_NAME",
    ServerPort "(server port)" "SERVER_PORT",
    // Nor this: the id that the front has given the request, or has taken over.
    RequestId "(request id)" "pelton.request_id",
    // Nor this: when the front got the request, for traces.
    Received "(received)" "pelton.received",
    // Nor these: what describes an encrypted connection. A variable has its environ key for a name.
    TlsVersion "(tls version)" "SSL_PROTOCOL",
    TlsCipher "(tls cipher)" "SSL_CIPHER",
    Variable "(variable)" "",
}

impl Known {
    /// Number of variants, `Other` included.
    pub const COUNT: usize = ALL.len();

    /// The variant for a field name in any case; `Other` if it is not a usual one.
    #[inline]
    #[allow(clippy::indexing_slicing, reason = "a slot is below 512, its content below COUNT")]
    pub fn lookup(name: &[u8]) -> Known {
        if name.len() < 2 {
            return Known::Other;
        }
        // A perfect hash: one candidate per name, then one comparison.
        let number = TABLE.slots[slot(key(name), TABLE.multiplier)] as usize;
        if same_name(name, NAMES[number].as_bytes()) { ALL[number] } else { Known::Other }
    }

    /// The variant with this number.
    #[inline]
    pub fn from_u8(number: u8) -> Option<Known> {
        ALL.get(number as usize).copied()
    }

    /// The name in lower case; empty for `Other`.
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).copied().unwrap_or("")
    }

    /// The WSGI environ key, such as `HTTP_ACCEPT` or `CONTENT_TYPE`; empty for `Other`.
    pub fn cgi_name(self) -> &'static str {
        CGI_NAMES.get(self as usize).copied().unwrap_or("")
    }

    /// All variants by number, `Other` first.
    pub fn all() -> &'static [Known] {
        ALL
    }
}

/// A hash table without collisions, found by the compiler.
struct Table {
    multiplier: u32,
    slots: [u8; 512],
}

static TABLE: Table = find_table();

/// What tells the names apart: the length and three letters. Case is folded away, which also mixes up some
/// punctuation; the comparison afterwards decides.
#[inline]
#[allow(clippy::indexing_slicing, reason = "only called with two bytes or more")]
const fn key(name: &[u8]) -> u32 {
    let length = name.len();
    (name[0] | 0x20) as u32
        | ((name[length / 2] | 0x20) as u32) << 8
        | ((name[length - 2] | 0x20) as u32) << 16
        | ((length & 0xff) as u32) << 24
}

#[inline]
const fn slot(key: u32, multiplier: u32) -> usize {
    (key.wrapping_mul(multiplier) >> 23) as usize
}

/// Whether `name` is `lower` in any case, eight bytes at a time; `lower` has lower-case letters, digits and `-` only.
#[inline]
fn same_name(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    if let (Some(name_end), Some(lower_end)) = (name.last_chunk(), lower.last_chunk()) {
        let whole = name.as_chunks::<8>().0.iter().zip(lower.as_chunks::<8>().0);
        // The last eight may overlap the chunk before; that is cheaper than a loop over what is left.
        return whole.fold(differing_bits(name_end, lower_end), |bits, (name, lower)| {
            bits | differing_bits(name, lower)
        }) == 0;
    }
    if let (Some(name_start), Some(lower_start), Some(name_end), Some(lower_end)) =
        (name.first_chunk::<4>(), lower.first_chunk::<4>(), name.last_chunk::<4>(), lower.last_chunk::<4>())
    {
        // "Host", and what else has up to seven letters.
        let both = |start: &[u8; 4], end: &[u8; 4]| {
            let ([a, b, c, d], [e, f, g, h]) = (*start, *end);
            [a, b, c, d, e, f, g, h]
        };
        return differing_bits(&both(name_start, name_end), &both(lower_start, lower_end)) == 0;
    }
    name.iter().zip(lower).all(|(name, lower)| name.to_ascii_lowercase() == *lower)
}

/// The bits in which the bytes differ by more than the case of a letter. Of the bytes that `lower` may have, letters
/// are those with bit 0x40, and the case of a letter is bit 0x20.
#[inline]
fn differing_bits(name: &[u8; 8], lower: &[u8; 8]) -> u64 {
    let (name, lower) = (u64::from_le_bytes(*name), u64::from_le_bytes(*lower));
    (name ^ lower) & !((lower & 0x4040_4040_4040_4040) >> 1)
}

/// Tries multipliers until no two names share a slot. If a new name makes this fail, the build fails.
#[allow(clippy::indexing_slicing, clippy::panic, reason = "evaluated by the compiler")]
const fn find_table() -> Table {
    let mut multiplier: u32 = 0x9e37_79b1;
    let mut attempt = 0;
    'search: while attempt < 20_000 {
        attempt += 1;
        multiplier = multiplier.wrapping_mul(0x2c92_77b5).wrapping_add(0xac56_4b06) | 1;
        let mut slots = [0u8; 512];
        let mut number = 1;
        while number < NAMES.len() {
            let at = slot(key(NAMES[number].as_bytes()), multiplier);
            if slots[at] != 0 {
                continue 'search;
            }
            slots[at] = number as u8;
            number += 1;
        }
        return Table { multiplier, slots };
    }
    panic!("no perfect hash found: choose other letters in key()");
}

#[cfg(test)]
mod tests {
    use super::{CGI_NAMES, Known, NAMES, same_name};

    #[test]
    fn finds_every_name_in_any_case() {
        for (number, name) in NAMES.iter().enumerate().skip(1) {
            let known = Known::lookup(name.as_bytes());
            assert_eq!(known as usize, number, "{name}");
            assert_eq!(Known::lookup(name.to_ascii_uppercase().as_bytes()), known);
            assert_eq!((known.name(), known.cgi_name()), (*name, CGI_NAMES[number]));
            assert_eq!(Known::from_u8(number as u8), Some(known));
        }
        assert_eq!(Known::all().len(), Known::COUNT);
        assert_eq!(Known::from_u8(Known::COUNT as u8), None);
        assert_eq!(Known::from_u8(0), Some(Known::Other));
    }

    #[test]
    fn leaves_other_names_alone() {
        for name in
            ["", "x", "zz", "hos", "hosts", "host ", "x_forwarded_for", "content_length", "h\u{6f}s\u{54}x"]
        {
            assert_eq!(Known::lookup(name.as_bytes()), Known::Other, "{name}");
        }
        assert_eq!(Known::Other.cgi_name(), "");
    }

    /// Every name with every single byte replaced by every other: only the other case is the same name.
    #[test]
    fn takes_no_look_alike() {
        for name in NAMES.iter().skip(1) {
            for at in 0..name.len() {
                for byte in 0..=255u8 {
                    let mut other = name.as_bytes().to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name.as_bytes());
                    assert_eq!(same_name(&other, name.as_bytes()), same, "{}", other.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn environ_keys_follow_the_rule() {
        let fields = NAMES.iter().zip(CGI_NAMES).skip(1).filter(|(name, _)| !name.starts_with('('));
        for (name, cgi) in fields {
            let key = name.to_ascii_uppercase().replace('-', "_");
            let want =
                if matches!(*name, "content-type" | "content-length") { key } else { format!("HTTP_{key}") };
            assert_eq!(**cgi, want);
        }
    }
}
