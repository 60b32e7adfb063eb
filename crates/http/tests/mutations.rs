//! A little fuzzing in every test run: the wire files and some more, damaged at random but always in the same way, go
//! through the checks of the fuzz targets (`fuzz/`), which look for what nobody thought of and take longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may say so bluntly")]

mod common;
#[path = "common/h2.rs"]
mod peer;

#[path = "../../../fuzz/src/checks.rs"]
mod checks;
#[path = "../../../fuzz/src/negotiation.rs"]
mod negotiation;
#[path = "../../../fuzz/src/simple.rs"]
#[allow(dead_code, reason = "the fuzz targets use all of it")]
mod simple;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Damaged copies of each wire file.
const COPIES: usize = 100;
/// Of a seed where there are only some.
const MANY_COPIES: usize = 20_000;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn wire_files() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for folder in ["valid", "invalid", "smuggling"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(folder);
        paths.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    // The order of a directory is anybody's.
    paths.sort();
    let wires = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "http"));
    wires.map(|path| std::fs::read(path).unwrap()).filter(|wire| wire.len() <= 1024).collect()
}

/// Up to four changes: a byte replaced, some bytes left out, doubled, or taken from another seed.
fn damaged(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let awkward = b"\0\r\n\t :;,_%#*?\"\\0f\x7f\x80\xff";
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let length = numbers.below(8).min(bytes.len() - at);
        match numbers.below(4) {
            0 if !bytes.is_empty() => bytes[at] = awkward[numbers.below(awkward.len())],
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let doubled = bytes[at..at + length].to_vec();
                bytes.splice(at..at, doubled);
            }
            _ => {
                let from = numbers.below(other.len());
                let piece = &other[from..(from + 16).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

#[track_caller]
fn try_all(seeds: &[Vec<u8>], copies: usize, check: fn(&[u8])) {
    let mut numbers = Numbers(seeds.len() as u64);
    for seed in seeds {
        for copy in 0..=copies {
            let other = &seeds[numbers.below(seeds.len())];
            let bytes = if copy == 0 { seed.clone() } else { damaged(seed, other, &mut numbers) };
            let outcome = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
            assert!(outcome.is_ok(), "fails for b\"{}\"", bytes.escape_ascii());
        }
    }
}

#[test]
fn connections() {
    try_all(&wire_files(), COPIES, checks::connection);
}

#[test]
fn heads() {
    try_all(&wire_files(), COPIES, checks::head);
}

#[test]
fn chunked_bodies() {
    let is_chunked = |wire: &Vec<u8>| wire.windows(7).any(|seven| seven.eq_ignore_ascii_case(b"chunked"));
    let body = |wire: Vec<u8>| {
        let end = wire.windows(4).position(|four| four == b"\r\n\r\n")?;
        Some(wire[end + 4..].to_vec())
    };
    let bodies: Vec<_> = wire_files().into_iter().filter(is_chunked).filter_map(body).collect();
    assert!(bodies.len() > 50);
    try_all(&bodies, COPIES, checks::chunked);
}

#[test]
fn proxy_headers() {
    let mut tls = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14".to_vec();
    tls.extend([1, 2, 3, 4, 5, 6, 7, 8, 31, 144, 0, 80]);
    tls.extend(b"\x20\x00\x05\x01\x00\x00\x00\x00");
    let lines = [
        &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /"[..],
        b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n",
    ];
    let mut seeds = vec![tls];
    seeds.extend(lines.map(<[u8]>::to_vec));
    try_all(&seeds, MANY_COPIES, checks::proxy_header);
}

#[test]
fn forwarding_fields() {
    let seeds = [
        &b"\x00for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\";host=\"a:1\";proto=https"[..],
        b"\x00For=\"_gazonk\", for=10.0.0.2; ext=\"a\\\"b,;\"",
        b"\x01192.0.2.1, 10.0.0.2\n\x02https\n\x03a.example:8443\n\x04443\n\x05/shop",
        b"192.0.2.1, unknown, ::ffff:10.0.0.1",
    ];
    try_all(&seeds.map(<[u8]>::to_vec), MANY_COPIES, checks::forwarded);
}

#[test]
fn connections_of_http_2() {
    let get =
        [(":method", "GET"), (":scheme", "http"), (":path", "/a?b"), (":authority", "a"), ("cookie", "c=d")];
    let post = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
        ("content-length", "3"),
    ];
    let seeds = [
        peer::headers(1, &get, peer::END_STREAM | peer::END_HEADERS),
        [peer::headers(1, &post, peer::END_HEADERS), peer::data(1, b"abc", peer::END_STREAM)].concat(),
        [peer::headers(1, &post, 0), peer::frame(peer::CONTINUATION, peer::END_HEADERS, 1, b"\x82")].concat(),
        [
            peer::headers(3, &get, peer::END_HEADERS),
            peer::frame(peer::DATA, peer::PADDED, 3, b"\x02abc\0\0"),
            peer::headers(3, &[("x", "y")], peer::END_STREAM | peer::END_HEADERS),
        ]
        .concat(),
        // An entry for the table, then references to it.
        peer::frame(
            peer::HEADERS,
            peer::END_STREAM | peer::END_HEADERS,
            1,
            b"\x82\x86\x84\x41\x01a\x40\x01x\x01y\xbe\xbf\x3f\xe1\x1f",
        ),
        peer::frame(
            peer::HEADERS,
            peer::END_STREAM | peer::END_HEADERS,
            1,
            b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        ),
        [
            peer::headers(1, &get, peer::END_STREAM | peer::END_HEADERS),
            peer::frame(peer::RST_STREAM, 0, 1, &[0; 4]),
        ]
        .concat(),
        [
            peer::frame(peer::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5]),
            peer::frame(peer::PING, 0, 0, &[1; 8]),
            peer::frame(peer::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
            peer::frame(peer::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
        ]
        .concat(),
    ];
    try_all(&seeds, 600, checks::h2);
}

#[test]
fn ranges() {
    let seeds = [
        &b"\xffbytes=0-9,20-,-5, 200-220"[..],
        b"\x00bytes=0-",
        b"\x80bytes=99999999999999999999-,1-99999999999999999999,-0",
        b"\x40bytes=0-0,2-2,4-4,63-63,64-64",
    ];
    try_all(&seeds.map(<[u8]>::to_vec), MANY_COPIES, negotiation::ranges);
}

#[test]
fn conditions() {
    let seeds = [
        &b"\x00\"a-1\", W/\"b\"\n\x01\"x\",\"a-1\""[..],
        b"\x01*\n\x02Sun, 06 Nov 1994 08:49:37 GMT\n\x03Sunday, 06-Nov-94 08:49:37 GMT",
        b"\x04\"a-1\"\n\x05bytes=0-1\n\x00*",
        b"\x04Sun Nov  6 08:49:37 1994\n\x01W/\"a-1\"",
    ];
    try_all(&seeds.map(<[u8]>::to_vec), MANY_COPIES, negotiation::conditions);
}

#[test]
fn codings() {
    let seeds = [
        &b"gzip, deflate, br;q=0.9, zstd;q=0.001"[..],
        b"*;q=0.5, gzip;q=0\nidentity;q=1.000",
        b"x-gzip ; q=1 ,, identity;q=0, *;q=0",
    ];
    try_all(&seeds.map(<[u8]>::to_vec), MANY_COPIES, negotiation::accept_encoding);
}

#[test]
fn names_of_files() {
    let seeds = [
        &b"/s/a/b.css"[..],
        b"/s/%2e%2e/%2E./..%2f..%5c",
        b"/s/.well-known/a//b/./c%00",
        b"/s/a*b?c*/%c0%ae%c0%ae/",
    ];
    try_all(&seeds.map(<[u8]>::to_vec), MANY_COPIES, negotiation::file_name);
}
