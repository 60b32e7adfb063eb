"""What of the HTTP policy is a setting, or depends on who asks: lines, underscores, https targets."""

from __future__ import annotations

import pytest

from conftest import Start
from support.apps import report
from support.client import request


@pytest.mark.parametrize(
    ("policy", "status", "keys"),
    [
        ("drop", 200, {"HTTP_X_B": "hyphen"}),
        ("refuse", 400, None),
        ("allow", 200, {"HTTP_X_A": "underscore", "HTTP_X_B": "underscore,hyphen"}),
    ],
)
def test_underscores(start: Start, policy: str, status: int, keys: dict[str, str] | None) -> None:
    fields = [("X_A", "underscore"), ("X_B", "underscore"), ("X-B", "hyphen")]
    got = start(report, underscore_fields=policy).ask(request(fields=fields))
    assert got.status == status
    if keys is not None:
        environ = got.json()["environ"]
        assert {key: value for key, value in environ.items() if key.startswith("HTTP_X")} == keys


def test_look_alikes_of_what_matters_never_come_through(start: Start) -> None:
    fields = [
        ("Content_Length", "5"),
        ("Transfer_Encoding", "chunked"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("X_Forwarded-Anything", "x"),
        ("HOST_", "fine"),
    ]
    got = start(report, underscore_fields="allow").ask(request(fields=fields))
    names = {name for name in got.json()["environ"] if name.startswith(("HTTP_", "CONTENT_"))}
    assert names == {"HTTP_HOST", "HTTP_HOST_"}


def test_the_longest_line(start: Start) -> None:
    server = start(report, max_line_bytes=256)
    # GET, HTTP/1.1 and two spaces take 13 bytes.
    assert server.ask(request(target="/" + "a" * 242)).status == 200
    got = server.ask(request(target="/" + "a" * 243))
    assert (got.status, got.keeps_connection) == (414, False)
    assert server.ask(request(fields=[("X-Long", "a" * 10_000)])).status == 200


def test_an_https_target_needs_https(start: Start) -> None:
    secure, plain = request(target="https://a.example/x"), request(target="http://a.example/x")
    server = start(report)
    client = server.connect()
    assert client.ask(plain).json()["environ"]["HTTP_HOST"] == "a.example"
    got = client.ask(secure)
    assert (got.status, got.keeps_connection) == (421, False)
    assert client.closed()


@pytest.mark.parametrize(("proto", "status"), [("https", 200), ("http", 421)])
def test_an_https_target_by_a_trusted_proxy(start: Start, proto: str, status: int) -> None:
    server = start(report, trusted_proxies="*")
    wire = request(target="https://a.example/x", fields=[("X-Forwarded-Proto", proto)])
    assert server.ask(wire).status == status
