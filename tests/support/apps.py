"""WSGI applications for the suites: small, each with one purpose; gates and tallies are the test's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from support.waiting import Gate, Tally

PLAIN = [("Content-Type", "text/plain")]


def answer(
    body: bytes = b"hello", status: str = "200 OK", fields: Iterable[tuple[str, str]] = ()
) -> WSGIApplication:
    """An application that always gives the same response, as a list of one piece."""
    given = [*PLAIN, *fields]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(given))
        return [body]

    return app


hello = answer()


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Gives the request's body back."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]


def report(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Says as JSON what it was given: ``environ`` (the texts in it), ``body`` (as latin-1)."""
    body = environ["wsgi.input"].read()
    texts = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"environ": texts, "body": body.decode("latin-1")}).encode()]


def streaming(*pieces: bytes, fields: Iterable[tuple[str, str]] = ()) -> WSGIApplication:
    """An application that yields ``pieces`` one by one."""
    given = [*PLAIN, *fields]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(given))
        yield from pieces

    return app


def held(gate: Gate, body: bytes = b"held") -> WSGIApplication:
    """An application whose thread stops at ``gate`` before it answers."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        start_response("200 OK", list(PLAIN))
        return [body]

    return app


def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Raises instead of answering."""
    raise RuntimeError("intended failure")


class Pieces:
    """An iterable body that counts the calls of its `close`."""

    def __init__(self, pieces: Iterable[bytes], closes: Tally) -> None:
        self._pieces = iter(pieces)
        self._closes = closes

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Count."""
        self._closes.add()


def closing(pieces: Callable[[], Iterable[bytes]], closes: Tally) -> WSGIApplication:
    """An application that returns `Pieces` of what ``pieces`` gives for each request."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return Pieces(pieces(), closes)

    return app


def routes(table: Mapping[str, WSGIApplication], default: WSGIApplication = hello) -> WSGIApplication:
    """An application that chooses by the exact path."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return table.get(environ["PATH_INFO"], default)(environ, start_response)

    return app


def pattern(size: int) -> bytes:
    """Bytes whose every position can be told from its neighbours, so that a lost or doubled piece shows."""
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]


def collected(*, keep: list[Any], app: WSGIApplication = hello) -> WSGIApplication:
    """``app``, with each environ put into ``keep`` before."""

    def collecting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        keep.append(environ)
        return app(environ, start_response)

    return collecting
