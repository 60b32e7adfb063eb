"""Compression, cache, ranges and HTTP/2 together: what one does must hold for what another has made."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import brotli  # type: ignore[import-untyped]
import httpx
import pytest

from support.client import Response, request
from support.serving import Serve, Server

PAGE = b"".join(b"<p>line %d of a page</p>\n" % number for number in range(20_000))


class Application:
    """A page that may be kept, and how often it was asked for."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls[environ["PATH_INFO"]] += 1
        fields = [("Content-Type", "text/html"), ("Cache-Control", "max-age=60"), ("ETag", '"a"')]
        start_response("200 OK", fields)
        return [PAGE]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(serve: Serve, application: Application) -> Server:
    return serve(application, scheme="h2c://", cache_bytes="16MiB", compress="br,gzip", rate_limit=("/=8/h",))


def ask(server: Server, *fields: tuple[str, str], method: str = "GET") -> Response:
    return server.ask(request(method, "/", [*fields, ("Connection", "close")]))


def test_a_page_is_compressed_once_for_each_coding_and_kept(server: Server, application: Application) -> None:
    plain = ask(server)
    assert (plain.body, plain.get("content-encoding"), plain.get("vary")) == (PAGE, None, "Accept-Encoding")
    zipped = [ask(server, ("Accept-Encoding", "gzip")) for _ in range(3)]
    assert [gzip.decompress(one.body) == PAGE for one in zipped] == [True] * 3
    # The second one was compressed already: it has a length.
    assert [one.get("content-length") is not None for one in zipped] == [False, True, True]
    assert {one.get("etag") for one in zipped} == {'W/"a"'}
    assert all("hit" in (one.get("cache-status") or "") for one in zipped)
    assert {len(one.all("age")) for one in zipped} == {1}
    for _ in range(2):
        assert brotli.decompress(ask(server, ("Accept-Encoding", "br")).body) == PAGE
    again = ask(server)
    assert (again.body, again.get("etag")) == (PAGE, '"a"')
    head = ask(server, ("Accept-Encoding", "gzip"), method="HEAD")
    assert (head.body, head.get("content-encoding")) == (b"", "gzip")
    assert ask(server).status == 429
    assert application.calls["/"] == 1


def test_conditions_and_ranges_of_a_kept_page(server: Server) -> None:
    ask(server)
    unchanged = ask(server, ("Accept-Encoding", "gzip"), ("If-None-Match", 'W/"a"'))
    assert (unchanged.status, unchanged.body) == (304, b"")
    part = ask(server, ("Range", "bytes=10-19"), ("Accept-Encoding", "gzip"))
    assert (part.status, part.body, part.get("content-encoding")) == (206, PAGE[10:20], None)
    assert part.get("content-range") == f"bytes 10-19/{len(PAGE)}"
    large = ask(server, ("Range", "bytes=1000-"), ("If-Range", '"a"'))
    assert (large.status, large.body) == (206, PAGE[1000:])
    assert ask(server, ("Range", "bytes=10-19"), ("If-Range", '"b"')).body == PAGE
    several = ask(server, ("Range", "bytes=0-9,1000-1009"))
    assert several.status == 206
    assert (several.get("content-type") or "").startswith("multipart/byteranges")
    assert PAGE[1000:1010] in several.body
    assert ask(server, ("Range", "bytes=99999999-")).status == 416


def test_http2_gets_the_same(server: Server, application: Application) -> None:
    port = int(str(server.address).rpartition(":")[2])
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{port}") as client:
        responses = [client.get("/", headers={"Accept-Encoding": "gzip"}) for _ in range(3)]
        part = client.get("/", headers={"Range": "bytes=0-4"})
    assert [one.content == PAGE for one in responses] == [True] * 3
    assert [one.headers.get("content-encoding") for one in responses] == ["gzip"] * 3
    assert (part.status_code, part.content) == (206, PAGE[:5])
    assert application.calls["/"] == 1
