"""Limits of rate: over real sockets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from pelton.config.rates import Rate, parse_rate
from pelton.exceptions import ConfigError
from support.client import request
from support.live import Live
from support.serving import Serve


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_too_often_is_429_and_says_when(serve: Serve) -> None:
    server = serve(application, rate_limit=("/login=2/h",))
    client = server.connect()
    assert [client.ask(request("GET", "/login")).status for _ in range(2)] == [200, 200]
    refused = client.ask(request("GET", "/login/"))
    assert refused.status == 429
    assert 1700 < int(str(refused.get("Retry-After"))) <= 1800
    assert refused.get("RateLimit-Policy") == '"/login";q=2;w=3600'
    assert str(refused.get("RateLimit")).startswith('"/login";r=0;t=')
    # Others are free, and the connection goes on.
    assert client.ask(request("GET", "/logins")).status == 200
    assert server.counter("requests_limited") == 1


def test_the_limit_holds_over_connections_but_not_over_keys(serve: Serve) -> None:
    server = serve(application, rate_limit=("/=1/h,by=X-API-Key",))
    statuses = [
        server.connect().ask(request("GET", "/", [("X-API-Key", key)])).status for key in ("a", "a", "b", "b")
    ]
    assert statuses == [200, 429, 200, 429]


def test_a_host_has_its_own(serve: Serve) -> None:
    server = serve(application, rate_limit=("api.example/=1/h", "/a=2/h"), trusted_proxies="127.0.0.1")

    def status(path: str, host: str, *fields: tuple[str, str]) -> int:
        return server.ask(request("GET", path, fields, host=host)).status

    assert [status("/", "api.example:8000"), status("//x", "API.example")] == [200, 429]
    assert [status("/", "www.example") for _ in range(3)] == [200] * 3
    assert status("/", "inside", ("X-Forwarded-Host", "api.example")) == 429
    assert [status(path, "www.example") for path in ("/a", "//a", "/./a")] == [200, 200, 429]


def test_behind_a_proxy_the_client_counts(serve: Serve) -> None:
    server = serve(application, rate_limit=("/=1/h",), trusted_proxies="127.0.0.1")
    statuses = [
        server.connect().ask(request("GET", "/", [("X-Forwarded-For", one)])).status
        for one in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    ]
    assert statuses == [200, 429, 200, 200, 429, 200]


def test_applications_in_all_workers_spend_of_one_account(tmp_path: Path) -> None:
    (tmp_path / "spender.py").write_text("""
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {environ['pelton.rate'].spend(2)}".encode()]
""")
    arguments = ("spender:app", "--workers", "2", "--rate-limit", "/=30/h", "--threads", "1")
    with Live(*arguments, directory=tmp_path) as live:
        live.ready_workers(2)
        answers = []
        while (response := live.ask(request("GET", "/", [("Connection", "close")]))).status == 200:
            answers.append(response.body.decode().split())
        assert [spent for _, spent in answers] == ["True"] * 10


def test_rules_are_read() -> None:
    assert parse_rate("/a=5/m") == Rate("/a", 5, 60.0, 5, "")
    assert parse_rate("/=100/s, burst=200, by=X-Key") == Rate("/", 100, 1.0, 200, "X-Key")
    assert parse_rate("API.example.com/=1/s") == Rate("/", 1, 1.0, 1, "", "api.example.com")


@pytest.mark.parametrize(
    "text", ["/a", "a=5/m", "/a=0/m", "/a=5/y", "/a=5/m,burst=x", "/a=5/m,by=a b=", "/a=5", ""]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_rate(text)
