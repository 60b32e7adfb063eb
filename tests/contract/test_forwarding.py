"""What proxies say about clients: believed if they are trusted, and only then."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import pytest

from support.apps import hello, report
from support.client import request
from support.serving import Serve, Server

SAID = (
    ("X-Forwarded-For", "6.6.6.6, 203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example"),
    ("X-Forwarded-Port", "8443"),
    ("X-Forwarded-Prefix", "/shop"),
)
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def environ_of(server: Server, data: bytes) -> dict[str, Any]:
    environ = server.ask(data).json()["environ"]
    assert isinstance(environ, dict)
    return environ


@pytest.mark.parametrize(("transport", "trusted"), [("ipv4", "127.0.0.0/8"), ("unix", "unix"), ("ipv4", "*")])
def test_a_trusted_proxy_is_believed(serve: Serve, transport: str, trusted: str) -> None:
    server = serve(report, transport=transport, trusted_proxies=trusted)
    environ = environ_of(server, request(target="/cart", fields=SAID))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.9", "")
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "shop.example")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["SERVER_PORT"]) == (
        "/shop",
        "/cart",
        "8443",
    )
    # The next request on another thread or connection is not one of those.
    environ = environ_of(server, request())
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == ""


def test_forwarded_of_rfc_7239(serve: Serve) -> None:
    server = serve(report, trusted_proxies="127.0.0.1, 10.0.0.0/8")
    said = ("Forwarded", 'for=1.2.3.4, for="[2001:db8::17]:4711";proto=https;host=a.example, for=10.9.9.9')
    environ = environ_of(server, request(fields=[said]))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("2001:db8::17", "4711")


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8", "unix"])
def test_others_are_never_believed(serve: Serve, trusted: str) -> None:
    server = serve(report, trusted_proxies=trusted)
    environ = environ_of(server, request(fields=SAID))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"].isdigit()
    assert (environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == ("http", "")
    assert environ["HTTP_HOST"] != "shop.example"
    # As any other field.
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6, 203.0.113.9"


def test_what_others_say_can_be_removed(serve: Serve) -> None:
    server = serve(report, trusted_proxies="10.0.0.0/8", untrusted_forwarding="remove")
    fields = [*SAID, ("Forwarded", "for=1.2.3.4"), ("X-Real-IP", "1.2.3.4"), ("X-Other", "1")]
    environ = environ_of(server, request("POST", fields=fields, body=b"x" * 100_000))
    assert not [name for name in environ if "FORWARDED" in name or "REAL_IP" in name]
    assert environ["HTTP_X_OTHER"] == "1"


@pytest.mark.parametrize(
    "field",
    [
        ("X-Forwarded-For", "nonsense"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Prefix", "/../x"),
        ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", 'for="'),
    ],
)
def test_nonsense_of_a_trusted_proxy_is_refused(serve: Serve, field: tuple[str, str]) -> None:
    server = serve(hello, trusted_proxies="*")
    got = server.ask(request(fields=[field]))
    assert (got.status, got.keeps_connection) == (400, False)
    assert server.counter("requests_dispatched") == 0


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_proxy_header_names_the_client_of_all_requests(serve: Serve, bytewise: bool) -> None:
    server = serve(report, trusted_proxies="127.0.0.1", proxy_protocol=True)
    client = server.connect()
    wire = V1 + request()
    got = (client.send_bytewise(wire) if bytewise else client.send(wire)).response().json()["environ"]
    assert (got["REMOTE_ADDR"], got["REMOTE_PORT"]) == ("203.0.113.7", "4711")
    assert client.ask(request()).json()["environ"]["REMOTE_ADDR"] == "203.0.113.7"


def test_a_proxy_header_of_version_2(serve: Serve) -> None:
    server = serve(report, trusted_proxies="127.0.0.1", proxy_protocol=True)
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + struct.pack("!HH", 4711, 443)
    tls = b"\x20" + struct.pack("!H", 5) + b"\x01\x00\x00\x00\x00"
    header = SIGNATURE + b"\x21\x21" + struct.pack("!H", len(addresses) + len(tls)) + addresses + tls
    got = json.loads(server.ask(header + request()).body)["environ"]
    assert (got["REMOTE_ADDR"], got["wsgi.url_scheme"]) == ("2001:db8::1", "https")
    # The proxy speaks for itself: a health check.
    local = SIGNATURE + b"\x20\x00\x00\x00"
    assert environ_of(server, local + request())["REMOTE_ADDR"] == "127.0.0.1"


def test_a_trusted_proxy_without_its_header_is_closed(serve: Serve) -> None:
    server = serve(hello, trusted_proxies="127.0.0.1", proxy_protocol=True, head_seconds=600.0)
    client = server.connect().send(request())
    assert client.closed()
    server.wait_for_counter("closed_no_proxy_header", 1)
    assert server.counter("requests_dispatched") == 0


def test_a_proxy_header_of_somebody_else_is_no_request(serve: Serve) -> None:
    server = serve(hello, trusted_proxies="10.0.0.0/8", proxy_protocol=True)
    assert server.ask(V1 + request()).status == 400


def test_a_trusted_proxy_may_have_many_connections(serve: Serve) -> None:
    server = serve(hello, trusted_proxies="127.0.0.1", connections_per_client=1)
    for client in [server.connect() for _ in range(3)]:
        assert client.ask(request()).status == 200
