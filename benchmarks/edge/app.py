"""The application of the scenes: a greeting, 100 KiB of JSON, pages that may be kept."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

_ROWS = [
    {"id": number, "name": f"item {number}", "price": number * 7919 % 10007 / 100, "tags": ["a", "b", "c"]}
    for number in range(1600)
]
JSON = json.dumps(_ROWS).encode()[: 100 * 1024]
PAGE = b"<p>kept</p>\n" * 85


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Bare, so that what is measured is the server."""
    path = environ["PATH_INFO"]
    if path == "/json":
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(JSON)))])
        return [JSON]
    if path.startswith("/page"):
        fields = [("Content-Type", "text/html"), ("Cache-Control", "public, max-age=600")]
        start_response("200 OK", [*fields, ("Content-Length", str(len(PAGE)))])
        return [PAGE]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]


hello = Flask("hello")


@hello.get("/")
def greet() -> str:
    """What a hit of the cache is compared with."""
    return "hello\n"
