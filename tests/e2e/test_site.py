"""Who may ask, error pages, maintenance, fields that come and go, the one right host: over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from pelton.exceptions import ConfigError
from support.client import Response, request
from support.serving import Serve, Server

Ask = Callable[..., Response]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    fields = [("Content-Type", "text/plain"), ("X-Powered-By", "me"), ("x-frame-options", "DENY")]
    start_response("200 OK", fields)
    return [repr(sorted(name for name in environ if name.startswith("HTTP_"))).encode()]


def asking(server: Server) -> Ask:
    def ask(target: str, *fields: tuple[str, str], method: str = "GET", host: str = "localhost") -> Response:
        return server.ask(request(method, target, [*fields, ("Connection", "close")], host=host))

    return ask


def test_networks_by_path(serve: Serve) -> None:
    server = serve(
        application, trusted_proxies="127.0.0.1", allow=("/admin=10.0.0.0/8",), deny=("192.0.2.0/24",)
    )
    ask = asking(server)

    def status(target: str, client: str) -> int:
        return ask(target, ("X-Forwarded-For", client)).status

    assert status("/", "203.0.113.1") == 200
    assert status("/", "192.0.2.9") == 403
    assert status("/admin", "10.1.2.3") == 200
    assert [status(path, "203.0.113.1") for path in ("/admin/x", "//admin", "/%61dmin")] == [403] * 3
    assert ask("/admin").status == 403
    assert server.counter("requests_forbidden") == 5


def test_networks_by_host(serve: Serve) -> None:
    server = serve(
        application,
        trusted_proxies="127.0.0.1",
        allow=("admin.example/=10.0.0.0/8", "*.inner.example/=10.0.0.0/8"),
        deny=("/secret=all",),
    )
    ask = asking(server)

    def status(host: str, target: str, client: str, named: str | None = None) -> int:
        fields = [("X-Forwarded-For", client), *([("X-Forwarded-Host", named)] if named else [])]
        return ask(target, *fields, host=host).status

    assert status("www.example", "/", "203.0.113.1") == 200
    assert status("Admin.Example.:8443", "/", "203.0.113.1") == 403
    assert status("admin.example", "/x", "10.1.1.1") == 200
    assert status("admin.example", "/secret", "10.1.1.1") == 403
    assert status("a.inner.example", "/", "203.0.113.1") == 403
    assert status("www.example", "/", "203.0.113.1", "admin.example") == 403


def test_pages_for_errors_by_what_the_client_likes(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "e.html").write_text("<h1>no</h1>")
    (tmp_path / "e.json").write_text('{"no": 1}')
    pages = tuple(f"{status}={tmp_path}/e.{kind}" for status in (403, 429, 431) for kind in ("html", "json"))
    ask = asking(
        serve(
            application, deny=("/no=all",), error_page=pages, rate_limit=("/once=1/h",), max_head_bytes=4096
        )
    )
    page = ask("/no", ("Accept", "text/html,*/*;q=0.8"))
    assert (page.status, page.body) == (403, b"<h1>no</h1>")
    assert page.get("content-type") == "text/html; charset=utf-8"
    assert ask("/no", ("Accept", "application/json")).body == b'{"no": 1}'
    assert ask("/no", method="HEAD").body == b""
    assert ask("/once").status == 200
    limited = ask("/once", ("Accept", "application/json"))
    assert (limited.status, limited.body) == (429, b'{"no": 1}')
    assert limited.get("retry-after")
    refused = ask("/", ("X-Long", "x" * 8000))
    assert (refused.status, refused.body) == (431, b"<h1>no</h1>")


def test_pages_for_failures_of_the_application(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("<h1>oops</h1>", encoding="utf-8")
    (tmp_path / "p.json").write_text('{"oops": 1}', encoding="utf-8")

    def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status = environ["PATH_INFO"][1:]
        fields = [("Content-Type", "text/plain"), ("ETag", '"a"'), ("X-Own", "1"), ("Content-Length", "3000")]
        start_response(f"{status} Any", fields)
        return [b"x" * 1000, b"y" * 1000, b"z" * 1000]

    pages = tuple(f"500={tmp_path}/p.{kind}" for kind in ("html", "json"))
    own = asking(serve(failing, error_page=pages))
    assert own("/500").body[:1] == b"x"
    for more in ({}, {"compress": "gzip"}, {"cache_bytes": "1MiB"}):
        ask = asking(serve(failing, error_page=pages, error_page_for_application=True, **more))
        page = ask("/500", ("Accept", "text/html"), ("Accept-Encoding", "gzip"))
        assert (page.status, page.body, page.get("X-Own"), page.get("ETag")) == (
            500,
            b"<h1>oops</h1>",
            "1",
            None,
        )
        assert page.get("Content-Type") == "text/html; charset=utf-8"
        assert ask("/500", ("Accept", "application/json")).body == b'{"oops": 1}'
        assert ask("/500", method="HEAD").body == b""
        for status in ("200", "503"):
            assert ask(f"/{status}").body[:1] == b"x"


def test_maintenance(serve: Serve, tmp_path: Path) -> None:
    admin = tmp_path / "admin"
    server = serve(
        application,
        admin_bind=(f"unix:{admin}",),
        trusted_proxies="127.0.0.1",
        maintenance_allow=("10.0.0.0/8",),
        health_path="/-",
    )
    ask = asking(server)

    def maintenance(state: str) -> None:
        result = CliRunner().invoke(main, ["maintenance", state, "--admin", f"unix:{admin}"])
        assert (result.exit_code, result.output) == (0, f"Maintenance is {state}.\n")

    assert ask("/").status == 200
    maintenance("on")
    refused = ask("/")
    assert refused.status == 503
    assert refused.get("retry-after")
    assert ask("/-/livez").status == 200
    assert ask("/", ("X-Forwarded-For", "10.0.0.1")).status == 200
    maintenance("off")
    assert ask("/").status == 200
    assert server.counter("requests_in_maintenance") == 1


def test_fields_come_and_go(serve: Serve) -> None:
    ask = asking(
        serve(
            application,
            security_headers=True,
            response_header=("X-Site: shop, all of it",),
            response_header_remove=("X-Powered-By",),
            request_header_remove=("X-Secret",),
            deny=("/no=all",),
        )
    )
    response = ask("/", ("X-Secret", "1"), ("X-Other", "2"))
    assert b"HTTP_X_OTHER" in response.body
    assert b"SECRET" not in response.body
    assert response.get("x-powered-by") is None
    assert response.get("x-site") == "shop, all of it"
    # The application's own word goes first.
    assert response.get("x-frame-options") == "DENY"
    assert response.get("x-content-type-options") == "nosniff"
    own = ask("/no")
    assert (own.status, own.get("x-frame-options"), own.get("x-site")) == (
        403,
        "SAMEORIGIN",
        "shop, all of it",
    )


def test_the_one_right_host(serve: Serve) -> None:
    ask = asking(serve(application, canonical_host="www.example.com"))
    assert ask("/", host="www.example.com").status == 200
    assert ask("/", host="WWW.EXAMPLE.COM:80").status == 200
    for target in ("/a%20b?c=d", "/", "//evil.example/x"):
        response = ask(target, host="example.com", method="POST")
        assert (response.status, response.get("location")) == (308, f"http://www.example.com{target}")


def test_the_one_right_host_behind_a_proxy(serve: Serve) -> None:
    ask = asking(serve(application, canonical_host="www.example.com", trusted_proxies="127.0.0.1"))
    host, https = "X-Forwarded-Host", ("X-Forwarded-Proto", "https")
    assert ask("/", (host, "www.example.com"), https, host="inside").status == 200
    response = ask("/a", (host, "example.com"), https, ("X-Forwarded-Prefix", "/shop"), host="inside")
    assert (response.status, response.get("location")) == (308, "https://www.example.com/shop/a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow", "10.0.0.1/8"),
        ("allow", "exa mple/=10.0.0.0/8"),
        ("deny", "x=all"),
        ("maintenance_allow", "here"),
        ("error_page", "503"),
        ("error_page", "200=x.html"),
        ("error_page", "503=missing.html"),
        ("response_header", "no colon"),
        ("response_header", "Content-Length: 1"),
        ("response_header", "X-A: \u2026"),
        ("response_header_remove", "a b"),
        ("request_header_remove", "Host"),
        ("canonical_host", "http://a"),
        ("sendfile_root", "x"),
        ("sendfile_root", "/x=/nowhere"),
    ],
)
def test_nonsense_is_told_at_the_start(serve: Serve, name: str, value: str) -> None:
    given: Any = value if name == "canonical_host" else (value,)
    with pytest.raises(ConfigError, match=name):
        serve(application, **{name: given})
