//! Who is believed, and what comes of what they say.

use super::*;

const TRUSTED: &str = "10.0.0.0/8,unix";

/// What a peer 10.0.0.1 is taken to say.
fn said<'a>(fields: &[(&str, &'a str)]) -> Result<Option<Resolved<'a>>, HttpError> {
    said_to(TRUSTED, Some("10.0.0.1"), fields)
}

fn said_to<'a>(
    trusted: &str,
    peer: Option<&str>,
    fields: &[(&str, &'a str)],
) -> Result<Option<Resolved<'a>>, HttpError> {
    let trusted = TrustedProxies::parse(trusted).unwrap();
    let peer = peer.map(|address| (address.parse().unwrap(), 1234));
    let fields = fields.iter().map(|(name, value)| (Known::lookup(name.as_bytes()), value.as_bytes()));
    resolve(&trusted, peer, fields)
}

fn client(fields: &[(&str, &str)]) -> Result<String, HttpError> {
    let resolved = said(fields)?.unwrap_or_default();
    Ok(match resolved.client {
        None => "nobody".to_owned(),
        Some((Client::Address(address), None)) => address.to_string(),
        Some((Client::Address(address), Some(port))) => format!("{address} {port}"),
        Some((Client::Hidden(name), _)) => String::from_utf8(name.to_vec()).unwrap(),
    })
}

const FOR: &str = "X-Forwarded-For";

#[test]
fn the_first_from_the_right_who_is_no_hop() {
    for (value, want) in [
        ("1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("6.6.6.6,1.2.3.4,10.0.0.2, 10.0.0.3", "1.2.3.4"),
        ("rubbish, 1.2.3.4", "1.2.3.4"),
        ("rubbish, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("6.6.6.6, unknown", "unknown"),
        ("6.6.6.6, unknown, 10.0.0.2", "unknown"),
        ("1.2.3.4:5678", "1.2.3.4 5678"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1 80"),
        ("::ffff:10.0.0.2", "10.0.0.2"),
        ("1.2.3.4, ::ffff:10.0.0.2", "1.2.3.4"),
        (" , 1.2.3.4 ,, ", "1.2.3.4"),
        ("", "nobody"),
    ] {
        assert_eq!(client(&[(FOR, value)]).as_deref(), Ok(want), "{value}");
    }
    assert_eq!(client(&[(FOR, "6.6.6.6"), ("Host", "a"), (FOR, "1.2.3.4")]).as_deref(), Ok("1.2.3.4"));
    assert_eq!(client(&[(FOR, "1.2.3.4"), (FOR, "10.0.0.2")]).as_deref(), Ok("1.2.3.4"));
}

#[test]
fn what_counts_must_be_well_formed() {
    for value in ["rubbish", "1.2.3.4, rubbish", "rubbish, 10.0.0.2", "1.2.3.4:", "\"1.2.3.4\"", "1.2.3.4 5"]
    {
        assert_eq!(client(&[(FOR, value)]), Err(HttpError::ForwardedInvalid), "{value}");
    }
}

#[test]
fn only_trusted_peers_are_listened_to() {
    let fields = [(FOR, "1.2.3.4"), ("Forwarded", "for=rubbish=")];
    for (trusted, peer) in
        [("", Some("10.0.0.1")), ("", None), ("10.0.0.0/8", Some("11.0.0.1")), ("10.0.0.0/8", None)]
    {
        assert_eq!(said_to(trusted, peer, &fields), Ok(None), "{trusted} {peer:?}");
    }
    let fields = [(FOR, "6.6.6.6, 1.2.3.4")];
    for (trusted, peer) in
        [("*", Some("8.8.8.8")), ("*", None), ("unix", None), ("10.0.0.1", Some("::ffff:10.0.0.1"))]
    {
        let resolved = said_to(trusted, peer, &fields).unwrap().unwrap();
        let want = (Client::Address([1, 2, 3, 4].into()), None);
        assert_eq!(resolved.client, Some(want), "{trusted} {peer:?}");
    }
}

#[test]
fn nothing_said() {
    assert_eq!(said(&[("Host", "a"), ("Cookie", "X-Forwarded-For: 1.2.3.4")]), Ok(None));
    assert_eq!(said(&[("X_Forwarded_For", "1.2.3.4"), ("X-Real-IP", "1.2.3.4")]), Ok(None));
    assert_eq!(said(&[(FOR, " ,"), ("Forwarded", "")]), Ok(Some(Resolved::default())));
}

#[test]
fn the_nearest_hop_says_how() {
    let resolved = said(&[
        ("X-Forwarded-Proto", "http, https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Host", "a.example:8443"),
        ("X-Forwarded-Port", "80,443"),
        ("X-Forwarded-Prefix", "/shop"),
    ]);
    let want = Resolved {
        client: None,
        https: Some(true),
        host: Some(b"a.example:8443"),
        port: Some(443),
        prefix: Some(b"/shop"),
    };
    assert_eq!(resolved, Ok(Some(want)));
}

#[test]
fn how_must_be_well_formed() {
    for (name, good, bad) in [
        ("X-Forwarded-Proto", &["http", "HTTPS", "wss", ""][..], &["ftp", "https:", "on", "\"https\""][..]),
        ("X-Forwarded-Host", &["a", "a:80", "[::1]:80"], &["a b", "u@a", ":80", "a:99999", "a/b", "a:80:80"]),
        ("X-Forwarded-Port", &["1", "65535", "00080"], &["0", "65536", "+1", "8 0", "x", "000080"]),
        (
            "X-Forwarded-Prefix",
            &["/", "/a", "/a/b.c", "/~u/@x:1", "/..a"],
            &[
                "a", "//", "/a/", "/a//b", "/..", "/a/../b", "/./a", "/a%2fb", "/a b", "/a?b", "/\u{fc}",
                "/a\\b",
            ],
        ),
    ] {
        for value in good {
            assert!(said(&[(name, value)]).is_ok(), "{name}: {value}");
        }
        for value in bad {
            assert_eq!(said(&[(name, value)]), Err(HttpError::ForwardedInvalid), "{name}: {value}");
        }
    }
    assert_eq!(said(&[("X-Forwarded-Prefix", "/")]).map(|said| said.unwrap().prefix), Ok(Some(&b""[..])));
}

#[test]
fn the_standard_field() {
    for (value, want) in [
        ("for=1.2.3.4", "1.2.3.4"),
        ("for=\"1.2.3.4:80\"", "1.2.3.4 80"),
        ("for=\"[2001:db8::1]:80\";proto=https", "2001:db8::1 80"),
        ("for=6.6.6.6, for=1.2.3.4;by=10.0.0.9, for=10.0.0.2", "1.2.3.4"),
        ("for=rubbish, for=1.2.3.4", "1.2.3.4"),
        ("for=_hidden, for=10.0.0.2", "_hidden"),
        ("for=6.6.6.6, for=unknown", "unknown"),
        // Whoever is not named ends the way back.
        ("for=6.6.6.6, proto=https", "nobody"),
    ] {
        assert_eq!(client(&[("Forwarded", value)]).as_deref(), Ok(want), "{value}");
    }
    for value in ["for=rubbish", "for=::1", "for", "for=\"1.2.3.4", "for=rubbish, for=10.0.0.2", "proto=x"] {
        assert_eq!(client(&[("Forwarded", value)]), Err(HttpError::ForwardedInvalid), "{value}");
    }
}

#[test]
fn the_outermost_hop_says_how() {
    let value = "for=6.6.6.6;proto=http;host=evil, for=1.2.3.4;proto=https;host=\"a:1\", for=10.0.0.2;proto=http;host=b";
    let resolved = said(&[("Forwarded", value)]).unwrap().unwrap();
    assert_eq!((resolved.https, resolved.host), (Some(true), Some(&b"a:1"[..])));
}

#[test]
fn both_kinds_must_agree() {
    let forwarded = ("Forwarded", "for=\"1.2.3.4:80\";proto=https;host=a");
    for (name, same, other) in [
        (
            FOR,
            &["1.2.3.4", "6.6.6.6, 1.2.3.4", "1.2.3.4:80"][..],
            &["6.6.6.6", "1.2.3.4, 6.6.6.6", "1.2.3.4:81", "unknown"][..],
        ),
        ("X-Forwarded-Proto", &["https"], &["http"]),
        ("X-Forwarded-Host", &["a", "A"], &["b", "a:80"]),
        ("X-Forwarded-Port", &["443", "8443"], &[]),
    ] {
        for value in same {
            let resolved = said(&[forwarded, (name, value)]).unwrap().unwrap();
            assert_eq!(resolved.client, Some((Client::Address([1, 2, 3, 4].into()), Some(80))));
            assert_eq!((resolved.https, resolved.host), (Some(true), Some(&b"a"[..])));
        }
        for value in other {
            let conflict = Err(HttpError::ForwardedConflict);
            assert_eq!(said(&[forwarded, (name, value)]), conflict, "{name}: {value}");
            assert_eq!(said(&[(name, value), forwarded]), conflict, "{name}: {value}");
        }
    }
    assert_eq!(client(&[("Forwarded", "x=y"), (FOR, "1.2.3.4")]).as_deref(), Ok("1.2.3.4"));
}

#[test]
fn names() {
    for name in [
        "Forwarded",
        "X-Forwarded-For",
        "x-forwarded-anything",
        "X_FORWARDED_FOR",
        "X-Forwarded_Proto",
        "X-Real-IP",
        "X_Real_IP",
        "True-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-Ip",
        "Front-End-Https",
        "X-Script-Name",
        "X-Scheme",
        "X-Url-Scheme",
        "X-Original-Forwarded-For",
    ] {
        assert!(is_forwarding_field(Known::lookup(name.as_bytes()), name.as_bytes()), "{name}");
    }
    for name in
        ["Host", "From", "X-Forwarded", "X-Request-Id", "X-Real-Ips", "Forwarded-For", "Via", "X", "T", "F"]
    {
        assert!(!is_forwarding_field(Known::lookup(name.as_bytes()), name.as_bytes()), "{name}");
    }
}
