"""Compression of responses: what is compressed, that it reads back, that streams are live."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from conftest import Start
from support.client import Response, request
from support.serving import Serve
from support.waiting import Gate

JSON = json.dumps([{"number": number, "name": f"name {number % 7}"} for number in range(3000)]).encode()
SMALL = JSON[:4000]
ALL = ("Accept-Encoding", "gzip, deflate, br, zstd")
Fields = list[tuple[str, str]]


def decoded(got: Response) -> bytes:
    """The body, read by a library that has nothing to do with the server's."""
    match got.get("Content-Encoding"):
        case None:
            return got.body
        case "gzip":
            return gzip.decompress(got.body)
        case "br":
            return bytes(brotli.decompress(got.body))
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(got.body)
        case other:
            raise AssertionError(other)


def answering(
    body: bytes, *fields: tuple[str, str], status: str = "200 OK", length: bool = True, pieces: int = 1
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own: Fields = [("Content-Type", "application/json"), *fields]
        if length:
            own.append(("Content-Length", str(len(body))))
        start_response(status, own)
        step = -(-len(body) // pieces)
        return [body[start : start + step] for start in range(0, len(body), step)]

    return app


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [4000, len(JSON), 20 * len(JSON)])
@pytest.mark.parametrize("pieces", [1, 50])
def test_each_coding_reads_back(start: Start, coding: str, size: int, pieces: int) -> None:
    body = (JSON * 20)[:size]
    server = start(answering(body, pieces=pieces), compress="on")
    client = server.connect()
    for _ in range(3):
        got = client.ask(request(fields=[("Accept-Encoding", coding)]))
        assert (got.get("Content-Encoding"), got.get("Vary")) == (coding, "Accept-Encoding")
        assert len(got.body) < size / 2
        assert decoded(got) == body
    plain = client.ask(request())
    assert (plain.body, plain.framing, plain.get("Vary")) == (body, "length", "Accept-Encoding")
    if size > 100_000:
        assert server.counter("pieces_filtered_beside") > 0
    assert server.counter("responses_compressing") == 0


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0, br;q=0.1", "br"),
        ("*", "zstd"),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.9", None),
        ("", None),
        ("deflate", None),
    ],
)
def test_who_gets_which(serve: Serve, accepted: str, coding: str | None) -> None:
    got = serve(answering(SMALL), compress="on").ask(request(fields=[("Accept-Encoding", accepted)]))
    assert got.get("Content-Encoding") == coding
    assert decoded(got) == SMALL
    assert got.get("Vary") == "Accept-Encoding"


def test_the_order_is_a_setting(serve: Serve) -> None:
    got = serve(answering(SMALL), compress="gzip,br").ask(request(fields=[ALL]))
    assert got.get("Content-Encoding") == "gzip"


@pytest.mark.parametrize(
    ("fields", "status", "size"),
    [
        ([("Content-Encoding", "gzip")], "200 OK", 4000),
        ([("Cache-Control", "no-transform")], "200 OK", 4000),
        ([("Set-Cookie", "session=secret")], "200 OK", 4000),
        ([("Content-Range", "bytes 0-3999/9999")], "206 Partial Content", 4000),
        ([], "200 OK", 1023),
    ],
)
def test_what_stays_as_it_is(serve: Serve, fields: Fields, status: str, size: int) -> None:
    server = serve(answering(JSON[:size], *fields, status=status), compress="on")
    got = server.ask(request(fields=[ALL]))
    assert (got.body, got.get("Vary")) == (JSON[:size], None)


def test_it_is_off_unless_asked_for(serve: Serve) -> None:
    got = serve(answering(SMALL)).ask(request(fields=[ALL]))
    assert (got.body, got.get("Vary"), got.get("Content-Encoding")) == (SMALL, None, None)


def test_a_client_of_1_0_gets_it_as_it_is(serve: Serve) -> None:
    got = serve(answering(SMALL), compress="on").ask(request(fields=[ALL], version="1.0"))
    assert (got.body, got.get("Content-Encoding")) == (SMALL, None)


def test_cookies_and_padding_by_setting(serve: Serve) -> None:
    app = answering(SMALL, ("Set-Cookie", "a=b"))
    server = serve(app, compress="on", compress_cookies=True, compress_padding_bytes=100)
    lengths = set()
    for _ in range(30):
        got = server.ask(request(fields=[ALL]))
        assert got.get("Content-Encoding") == "zstd"
        lengths.add(len(got.get("X-Padding") or ""))
    assert len(lengths) > 5


def test_validators(serve: Serve) -> None:
    app = answering(SMALL, ("ETag", '"a"'), ("Accept-Ranges", "bytes"), ("Vary", "Cookie"))
    server = serve(app, compress="on")
    got = server.ask(request(fields=[ALL]))
    assert (got.get("ETag"), got.get("Accept-Ranges")) == ('W/"a"', None)
    assert got.all("Vary") == ["Cookie", "Accept-Encoding"]
    assert server.ask(request()).get("ETag") == '"a"'


def test_a_304_says_what_the_whole_response_would(serve: Serve) -> None:
    def unchanged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("304 Not Modified", [("ETag", '"a"')])
        return iter(())

    server = serve(unchanged, compress="on")
    got = server.ask(request(fields=[ALL]))
    assert (got.status, got.get("ETag"), got.get("Vary")) == (304, 'W/"a"', "Accept-Encoding")
    assert server.ask(request()).get("Vary") == "Accept-Encoding"


def test_head_has_the_fields_of_get(serve: Serve) -> None:
    got = serve(answering(SMALL), compress="on").connect().ask(request("HEAD", fields=[ALL]))
    assert (got.body, got.get("Content-Encoding"), got.get("Content-Length")) == (b"", "zstd", None)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_streams_stay_live(serve: Serve, coding: str) -> None:
    """Each event can be read before the next one is made."""
    gates = [Gate() for _ in range(5)]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        for number, one in enumerate(gates):
            yield f"data: {number}\n\n".encode()
            one.hold()

    decoder: Any
    match coding:
        case "gzip":
            decoder = zlib.decompressobj(31).decompress
        case "br":
            decoder = brotli.Decompressor().process
        case _:
            decoder = zstandard.ZstdDecompressor().decompressobj().decompress
    client = serve(app, compress="on").connect()
    client.send(request(fields=[("Accept-Encoding", coding)]))
    assert client.head().get("Content-Encoding") == coding
    try:
        for number, one in enumerate(gates):
            expected, seen = f"data: {number}\n\n".encode(), b""
            while seen != expected:
                seen += decoder(client.piece())
            one.open()
        while client.piece():
            pass
    finally:
        for one in gates:
            one.open()


def test_a_file_of_the_application(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(JSON * 20)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
        return wrapped

    got = serve(app, compress="on").ask(request(fields=[("Accept-Encoding", "zstd")]))
    assert got.get("Content-Encoding") == "zstd"
    assert decoded(got) == JSON * 20


def test_an_application_that_fails_is_cut_off(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield JSON
        raise ValueError

    client = serve(app, compress="on").connect()
    with pytest.raises(AssertionError, match="end"):
        client.ask(request(fields=[("Accept-Encoding", "gzip")]))


def test_clients_that_go_leave_nothing_behind(serve: Serve) -> None:
    server = serve(answering(JSON * 100), compress="on")
    for _ in range(10):
        client = server.connect(receive_buffer=4096)
        client.send(request(fields=[("Accept-Encoding", "br")]))
        client.wait_readable()
        client.reset()
    server.wait_until_idle()
    server.wait_for_counter("responses_compressing", 0)
