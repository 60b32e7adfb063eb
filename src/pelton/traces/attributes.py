"""What OpenTelemetry's stable conventions for HTTP servers say of a request (semantic conventions 1.23 on).

Owns the names. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

# RFC 9110 and 5789. Others are clients' own words, and there is no end of them.
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"}
)
_OTHER: Final = "_OTHER"
# Signatures and keys of storage services, which the conventions name.
_SECRET: Final = re.compile(r"(?i)(^|&)(awsaccesskeyid|signature|sig|x-goog-signature)=[^&]*")

Attributes = dict[str, str | int]


def request_attributes(environ: Mapping[str, Any]) -> Attributes:
    """Those that are known when it begins; samplers see them."""
    method = environ["REQUEST_METHOD"]
    found: Attributes = {
        "http.request.method": method if method in _METHODS else _OTHER,
        "url.path": _path(environ),
        "url.scheme": environ["wsgi.url_scheme"],
        "network.protocol.version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/").removesuffix(".0")
        if environ["SERVER_PROTOCOL"] in ("HTTP/2.0", "HTTP/2", "HTTP/3.0")
        else environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
    }
    if method not in _METHODS:
        found["http.request.method_original"] = method
    if query := environ.get("QUERY_STRING"):
        found["url.query"] = _SECRET.sub(r"\1\2=REDACTED", query)
    _add_server(found, environ)
    if client := environ.get("REMOTE_ADDR"):
        found["client.address"] = client
    if agent := environ.get("HTTP_USER_AGENT"):
        found["user_agent.original"] = agent
    return found


def _path(environ: Mapping[str, Any]) -> str:
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # WSGI has bytes in the form of latin-1.
    return str(raw.encode("latin-1", "replace").decode("utf-8", "replace")) or "/"


def _add_server(found: Attributes, environ: Mapping[str, Any]) -> None:
    host, colon, port = environ.get("HTTP_HOST", "").rpartition(":")
    if colon and port.isdigit() and len(port) < 6:
        found["server.address"], found["server.port"] = host, int(port)
        return
    found["server.address"] = environ.get("HTTP_HOST") or environ["SERVER_NAME"]
    if not environ.get("HTTP_HOST") and environ["SERVER_PORT"].isdigit():
        found["server.port"] = int(environ["SERVER_PORT"])


def span_name(method: str, route: str | None) -> str:
    """``GET /users/<id>``; without a route only the method, for paths have no end."""
    shown = method if method in _METHODS else "HTTP"
    return f"{shown} {route}" if route else shown
