"""The application of the tests of TLS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/environ":
        told = {
            name: value
            for name, value in environ.items()
            if name.startswith(("SSL_", "HTTPS", "SERVER_PORT", "REMOTE_ADDR")) or name == "wsgi.url_scheme"
        }
        body = json.dumps(told).encode()
    elif path == "/length":
        size = 0
        while piece := environ["wsgi.input"].read(65536):
            size += len(piece)
        body = str(size).encode()
    elif path == "/large":
        body = bytes(range(256)) * 16384
    elif path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one,", b"two,", b"x" * 100_000])
    elif path == "/file":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](Path(environ["QUERY_STRING"]).open("rb"))  # type: ignore[no-any-return]
    else:
        body = b"hello"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
