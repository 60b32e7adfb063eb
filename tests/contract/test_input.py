"""``wsgi.input``: all ways to read it, over bodies in the record, in memory and in a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN
from support.client import chunked, request

LINES = [b"first\n", b"\n", b"third, " + b"long " * 30_000 + b"\n", b"without an end"]


@pytest.fixture(params=["inline", "memory", "file", "chunked"])
def body_and_wire(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    return bodies(request.param)


def bodies(kind: str) -> tuple[bytes, bytes]:
    if kind == "inline":
        body = b"first\n\nthird, short\nwithout an end"
        return body, request("POST", body=body)
    body = b"".join(LINES)
    if kind == "file":
        body += b"x\n" * 600_000
    if kind == "chunked":
        pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        return body, request("POST", fields=[("Transfer-Encoding", "chunked")]) + chunked(pieces)
    return body, request("POST", body=body)


def reading(read: Callable[[Any], list[bytes]]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        pieces = read(environ["wsgi.input"])
        start_response("200 OK", list(PLAIN))
        return [json.dumps([piece.decode("latin-1") for piece in pieces]).encode()]

    return app


def by_read(stream: Any) -> list[bytes]:
    return [stream.read(), stream.read(), stream.read(10)]


def by_sizes(stream: Any) -> list[bytes]:
    sizes = (0, 1, 5, 16_000, 65_536, 100_000)
    return [*(stream.read(size) for size in sizes), stream.read(-1), stream.read(1)]


def by_readline(stream: Any) -> list[bytes]:
    lines = []
    while line := stream.readline():
        lines.append(line)
    return [*lines, stream.readline()]


def by_short_readline(stream: Any) -> list[bytes]:
    return [stream.readline(0), stream.readline(3), stream.readline(100), stream.readline(-1), stream.read(5)]


def by_readlines(stream: Any) -> list[bytes]:
    return [*stream.readlines(), *stream.readlines()]


def by_readlines_with_hint(stream: Any) -> list[bytes]:
    return [*stream.readlines(7), b"---", *stream.readlines(1), b"---", stream.read()]


def by_iteration(stream: Any) -> list[bytes]:
    return list(stream)


def by_mixture(stream: Any) -> list[bytes]:
    return [stream.read(2), stream.readline(), next(stream), stream.read(7), *stream.readlines()]


WAYS = [
    by_read,
    by_sizes,
    by_readline,
    by_short_readline,
    by_readlines,
    by_readlines_with_hint,
    by_iteration,
    by_mixture,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_body_reads_like_a_file(
    start: Start, way: Callable[[Any], list[bytes]], body_and_wire: tuple[bytes, bytes]
) -> None:
    body, wire = body_and_wire
    client = start(reading(way)).connect()
    seen = [piece.encode("latin-1") for piece in client.ask(wire, method="POST").json()]
    assert seen == way(io.BytesIO(body))
    # However much was read, the next request is understood.
    if way is not by_mixture:
        assert client.ask(request()).json() == [piece.decode() for piece in way(io.BytesIO())]


def test_reading_without_a_body_gives_nothing(start: Start) -> None:
    client = start(
        reading(lambda stream: [stream.read(), stream.read(5), stream.readline(), *stream])
    ).connect()
    assert client.ask(request()).json() == ["", "", ""]


def test_an_input_kept_beyond_its_request_is_closed(start: Start) -> None:
    kept: list[Any] = []

    def keeping(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(environ["wsgi.input"])
        start_response("200 OK", list(PLAIN))
        return [b"x"]

    server = start(keeping)
    for size in (10, 100_000, 2_000_000):
        with server.connect() as client:
            assert client.ask(request("POST", body=b"x" * size)).body == b"x"
    server.wait_until_idle()
    for stream in kept:
        with pytest.raises(ValueError, match="closed"):
            stream.read()
