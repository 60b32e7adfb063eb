"""The origin of http-cache-tests as a WSGI application: requests are passed on, responses given back."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

ORIGIN = os.environ.get("CACHE_TESTS_ORIGIN", "127.0.0.1:8100")
_CONNECTION = frozenset({"keep-alive", "transfer-encoding"})


class _FinalResponse(http.client.HTTPResponse):
    """Passes over interim responses, which WSGI cannot pass on."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ask the origin."""
    target = environ["REQUEST_URI"]
    fields = {
        name[5:].replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name != "HTTP_CONNECTION"
    }
    if environ.get("CONTENT_TYPE"):
        fields["Content-Type"] = environ["CONTENT_TYPE"]
    body = environ["wsgi.input"].read()
    connection = http.client.HTTPConnection(ORIGIN, timeout=30)
    connection.response_class = _FinalResponse
    connection.request(environ["REQUEST_METHOD"], target, body=body or None, headers=fields)
    response = connection.getresponse()
    head = [(name, value) for name, value in response.getheaders() if name.lower() not in _CONNECTION]
    content = response.read()
    connection.close()
    start_response(f"{response.status} {response.reason}", head)
    return [content]
