"""A response of 100 MB that is made while it is sent, and a greeting: for the slow clients. Bare WSGI."""

from collections.abc import Iterable, Iterator
from typing import Any

PIECE = b"0123456789abcdef" * 4096
PIECES = 100_000_000 // len(PIECE)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """``/large``: the large one; ``/upload``: the length of the body; anything else: the greeting."""
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Length", str(PIECES * len(PIECE)))])
        return _pieces()
    body = b"hello"
    if environ["PATH_INFO"] == "/upload":
        body = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE
