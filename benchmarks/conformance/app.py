"""The application that every server is probed with: it says what it was given, and misbehaves if asked to."""

import json
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]

# Paths at which the application itself breaks a rule, or goes to the edge of one.
ANSWERS: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = {
    "/split": ("200 OK", [("X-Name", "a\r\nSet-Cookie: evil=1")], [b"split"]),
    "/short": ("200 OK", [("Content-Length", "10")], [b"short"]),
    "/long": ("200 OK", [("Content-Length", "5")], [b"short and more"]),
    "/no-content": ("204 No Content", [], [b"surprise"]),
    "/hop": ("200 OK", [("Transfer-Encoding", "chunked"), ("Content-Length", "2")], [b"ok"]),
}


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    canned = ANSWERS.get(environ["PATH_INFO"])
    if canned is not None:
        status, fields, pieces = canned
        start_response(status, fields)
        return pieces
    seen = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ.get("QUERY_STRING", ""),
        "scheme": environ["wsgi.url_scheme"],
        "client": environ.get("REMOTE_ADDR", ""),
        "body": body_of(environ).decode("latin-1"),
        "fields": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


def body_of(environ: Environ) -> bytes:
    """The whole body, by what the server says about its length: to read on would wait for ever in some."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return bytes(environ["wsgi.input"].read(int(length)))
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return b""
