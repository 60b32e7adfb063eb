"""Gives the fuzz targets something to begin with: ``python fuzz/seeds.py`` writes ``fuzz/corpus``.

The wire files of ``tests/corpus`` are the seeds of everything that reads HTTP. What has been found by earlier
runs stays in the same directories, which Git does not keep.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
WIRE_FILES = HERE.parent / "tests" / "corpus"
# Longer ones are about limits, and the targets have limits of their own that are reached earlier.
LONGEST = 4096

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_TCP4 = bytes([1, 2, 3, 4, 5, 6, 7, 8, 31, 144, 0, 80])
PROXY_HEADERS = (
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET /",
    b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n",
    _SIGNATURE + b"\x21\x11\x00\x0c" + _TCP4,
    _SIGNATURE + b"\x21\x21\x00\x24" + bytes(36),
    _SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
    _SIGNATURE + b"\x20\x00\x00\x00GET /",
    _SIGNATURE + b"\x21\x11\x00\x14" + _TCP4 + b"\x20\x00\x05\x01\x00\x00\x00\x00",
    _SIGNATURE + b"\x21\x11\x00\x13" + _TCP4 + b"\x03\x00\x04\xd9\xbf\xc9\xb4",
)
# The first byte of a line says which field it is: the Nth of the target's list.
FORWARDED = (
    b"\x00for=192.0.2.60;proto=http;by=203.0.113.43",
    b'\x00for=192.0.2.43, for="[2001:db8:cafe::17]:4711";host="a:1"',
    b'\x00For="_gazonk", for=10.0.0.2; ext="a\\"b,;"',
    b"\x01192.0.2.1, 10.0.0.2\n\x02https\n\x03a.example:8443\n\x04443\n\x05/shop",
    b"\x01[2001:db8::1]:80\n\x00for=unknown",
    b"192.0.2.1, unknown, ::ffff:10.0.0.1",
)
# The first byte is the length of the representation.
RANGES = (
    b"\xffbytes=0-9,20-,-5, 200-220",
    b"\x80bytes=99999999999999999999-,1-99999999999999999999,-0",
    b"\x00bytes=0-",
)
# As above: the first byte of a line says which field it is.
CONDITIONS = (
    b'\x00"a-1", W/"b"\n\x01"x","a-1"',
    b"\x01*\n\x02Sun, 06 Nov 1994 08:49:37 GMT\n\x03Sunday, 06-Nov-94 08:49:37 GMT",
    b'\x04Sun Nov  6 08:49:37 1994\n\x05bytes=0-1\n\x01W/"a-1"',
)
ACCEPT_ENCODING = (
    b"gzip, deflate, br;q=0.9, zstd;q=0.001",
    b"*;q=0.5, x-gzip ; q=0\nidentity;q=1.000",
)
FILE_NAMES = (b"/s/a/b.css", b"/s/%2e%2e/%2E./..%2f..%5c", b"/s/.well-known/a//b/./c%00")

_HEAD = b"\x82\x86\x84\x41\x01a"
# Frames of HTTP/2 behind the preface.
FRAMES = (
    b"\0\0\x06\x01\x05\0\0\0\x01" + _HEAD,
    b"\0\0\x06\x01\x04\0\0\0\x01" + _HEAD + b"\0\0\x03\0\x01\0\0\0\x01abc",
    b"\0\0\x03\x01\x01\0\0\0\x01" + _HEAD[:3] + b"\0\0\x03\x09\x04\0\0\0\x01" + _HEAD[3:],
    b"\0\0\x0b\x01\x05\0\0\0\x01" + _HEAD + b"\x40\x01x\x01y"[:5],
    b"\0\0\x06\x01\x05\0\0\0\x01" + _HEAD + b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x05\0\0\x08\x06\0\0\0\0\0abcdefgh",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\x01\0\0\0\x07\x10\0\0\0\0\0\0\0\0\x01u=1",
)


def client_hellos() -> list[bytes]:
    """What clients say first, of either version."""
    found = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        outgoing = ssl.MemoryBIO()
        session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example")
        with contextlib.suppress(ssl.SSLWantReadError):
            session.do_handshake()
        found.append(outgoing.read())
    return found


# How the client behaves, in which pieces its bytes arrive, and changes of them: where, which, how much.
CHANGES = tuple(
    bytes([how, cut]) + changes
    for how in range(4)
    for cut in (0, 8, 255)
    for changes in (
        b"",
        b"\x00\x05\x00\x01",
        b"\x01\x40\x01\x08",
        b"\x02\x00\x03\x20\x02\x40\x02\x05",
        b"\x03\x10\x04\x00",
    )
)


def write(target: str, seeds: Iterable[bytes]) -> None:
    """Each seed as a file named after its content, as libFuzzer does it."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        name = hashlib.sha1(seed, usedforsecurity=False).hexdigest()
        (folder / name).write_bytes(seed)


def main() -> None:
    """Write the seeds of all targets."""
    wires = [path.read_bytes() for path in sorted(WIRE_FILES.glob("*/*.http"))]
    wires = [wire for wire in wires if len(wire) <= LONGEST]
    write("head", wires)
    write("connection", wires)
    bodies = [wire.partition(b"\r\n\r\n")[2] for wire in wires if b"chunked" in wire.lower()]
    write("chunked", filter(None, bodies))
    write("proxy_header", PROXY_HEADERS)
    write("forwarded", FORWARDED)
    write("h2", FRAMES)
    write("ranges", RANGES)
    write("conditions", CONDITIONS)
    write("accept_encoding", ACCEPT_ENCODING)
    write("file_name", FILE_NAMES)
    write("tls_beginning", [*client_hellos(), b"GET / HTTP/1.1\r\n\r\n"])
    write("tls_records", CHANGES)


if __name__ == "__main__":
    main()
