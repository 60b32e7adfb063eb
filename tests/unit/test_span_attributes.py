"""Traces without servers: what is said where packages are missing, and the conventions' attributes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from pelton.config.settings import Settings, settings_from
from pelton.exceptions import ConfigError
from pelton.traces import required
from pelton.traces.attributes import request_attributes, span_name

ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "/shop",
    "PATH_INFO": "/caf\xc3\xa9",
    "QUERY_STRING": "",
    "wsgi.url_scheme": "https",
    "SERVER_PROTOCOL": "HTTP/2.0",
    "SERVER_NAME": "here",
    "SERVER_PORT": "8000",
}


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(required, "version", version)
    required.require_traces(Settings())
    with pytest.raises(ConfigError, match=r"opentelemetry-sdk.*\n.*pelton\[otel\]"):
        required.require_traces(settings_from({"traces": True}))


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("shop.example", "shop.example", None),
        ("shop.example:81", "shop.example", 81),
        ("[::1]:81", "[::1]", 81),
        ("[::1]", "[::1]", None),
        ("", "here", 8000),
        ("a:999999", "a:999999", None),
    ],
)
def test_the_server_is_that_of_the_request(host: str, address: str, port: int | None) -> None:
    found = request_attributes({**ENVIRON, "HTTP_HOST": host})
    assert (found["server.address"], found.get("server.port")) == (address, port)
    assert (found["url.path"], found["network.protocol.version"]) == ("/shop/café", "2")
    assert "url.query" not in found


def test_secrets_of_signed_addresses_are_left_out() -> None:
    query = "a=1&Signature=abc&X-Goog-Signature=def&sig=&signed=2"
    found = request_attributes({**ENVIRON, "QUERY_STRING": query})
    assert found["url.query"] == "a=1&Signature=REDACTED&X-Goog-Signature=REDACTED&sig=REDACTED&signed=2"


def test_names_are_bounded() -> None:
    assert span_name("GET", "/a/<b>") == "GET /a/<b>"
    assert span_name("BREW", None) == "HTTP"
