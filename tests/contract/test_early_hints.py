"""``wsgi.early_hints``: what the response will need is told before it is made (103, RFC 8297)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN
from support.client import request
from support.waiting import Gate

STYLE = ("Link", "</style.css>; rel=preload; as=style")
SCRIPT = ("Link", "</app.js>; rel=preload; as=script")


def hinting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([STYLE, ("Content-Length", "5"), ("Connection", "close")])
    environ["wsgi.early_hints"](iter([SCRIPT]))
    start_response("200 OK", list(PLAIN))
    environ["wsgi.early_hints"]([STYLE])
    return [b"page"]


def test_hints_come_before_the_response(start: Start, gate: Gate) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([STYLE])
        gate.hold()
        start_response("200 OK", list(PLAIN))
        return [b"page"]

    client = start(app).connect()
    client.send(request())
    hints = client.head()
    assert (hints.status, hints.reason, hints.fields) == (103, "Early Hints", [STYLE])
    gate.open()
    assert client.response().body == b"page"


def test_several_hints_and_the_next_request(start: Start) -> None:
    client = start(hinting).connect()
    for method in ("GET", "GET", "HEAD"):
        client.send(request(method))
        # What belongs to a final response, or to the connection, is left out.
        assert [client.head().fields for _ in range(3)] == [[STYLE], [SCRIPT], [STYLE]]
        assert client.response(method).body == (b"" if method == "HEAD" else b"page")


def test_http_1_0_knows_no_hints(start: Start) -> None:
    assert start(hinting).ask(request(version="1.0")).body == b"page"


def test_a_failure_after_hints_is_told(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([STYLE])
        raise RuntimeError("on purpose")

    client = start(app).connect()
    client.send(request())
    assert client.head().status == 103
    assert client.response().status == 500


@pytest.mark.parametrize(
    ("hints", "error"),
    [
        ([("Link", "a\r\nSet-Cookie: b")], ValueError),
        ([("Li nk", "a")], ValueError),
        ([("Link", "a", "b")], TypeError),
        ([("Link", b"a")], TypeError),
        (5, TypeError),
        ([("Link", "a" * 40_000)], ValueError),
    ],
)
def test_what_no_hint_can_be(start: Start, hints: Any, error: type[Exception]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with pytest.raises(error):
            environ["wsgi.early_hints"](hints)
        start_response("200 OK", list(PLAIN))
        return [b"page"]

    assert start(app).ask(request()).body == b"page"


def test_hints_have_a_bound(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for _ in range(3):
            environ["wsgi.early_hints"]([("Link", "a" * 10_000)])
        with pytest.raises(ValueError, match="too many early hints"):
            environ["wsgi.early_hints"]([("Link", "a" * 10_000)])
        start_response("200 OK", [*PLAIN, ("X-Large", "b" * 60_000)])
        return [b"page" * 20_000]

    client = start(app).connect()
    client.send(request())
    assert [client.head().status for _ in range(3)] == [103] * 3
    assert client.response().body == b"page" * 20_000


def test_the_function_of_a_request_that_is_over(start: Start) -> None:
    kept: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if kept:
            with pytest.raises(RuntimeError, match="the request is over"):
                kept[0]([STYLE])
        kept.append(environ["wsgi.early_hints"])
        start_response("200 OK", list(PLAIN))
        return [b"page"]

    client = start(app).connect()
    assert [client.ask(request()).body for _ in range(2)] == [b"page", b"page"]
