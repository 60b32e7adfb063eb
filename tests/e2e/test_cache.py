"""The response cache: over real sockets, with an application that counts how often it is asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from support.certificates import ask as ask_encrypted
from support.certificates import connect, context_for, make_files
from support.client import Client, CutOffError, Response, request
from support.serving import Serve, Server
from support.waiting import Gate, eventually

Field = tuple[str, str]
Ask = Callable[..., Response]


class Application:
    """Gives what ``responses`` has for a path; by default something that may be kept for a minute."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.seen: list[WSGIEnvironment] = []
        self.responses: dict[str, tuple[str, list[Field], bytes]] = {}
        self.gates: dict[str, Gate] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.calls[path] += 1
        self.seen.append(environ)
        number = self.calls[path]
        if path in self.gates:
            self.gates[path].hold()
        default = ("200 OK", [("Cache-Control", "max-age=60")], f"{path} {number}".encode())
        status, fields, body = self.responses.get(path, default)
        start_response(status, [("Content-Type", "text/plain"), *fields])
        return [body]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(serve: Serve, application: Application) -> Server:
    return serve(application, cache_bytes="1MiB", threads=8)


@pytest.fixture
def ask(server: Server) -> Ask:
    client = server.connect()

    def ask(target: str, *fields: Field, method: str = "GET") -> Response:
        return client.ask(request(method, target, fields))

    return ask


def test_what_may_be_kept_is_asked_for_once(ask: Ask, application: Application) -> None:
    first = ask("/a")
    assert first.body == b"/a 1"
    assert first.get("Cache-Status") == "pelton; fwd=uri-miss; stored"
    second = ask("/a")
    assert (second.status, second.body, second.get("Age")) == (200, b"/a 1", "0")
    assert str(second.get("Cache-Status")).startswith("pelton; hit; ttl=")
    assert second.get("Date") == first.get("Date")
    assert second.get("Content-Length") == "4"
    assert application.calls["/a"] == 1
    # Another query is another page.
    assert ask("/a?x=1").body == b"/a 2"


def test_head_is_answered_from_what_get_has_brought(ask: Ask, application: Application) -> None:
    ask("/a")
    head = ask("/a", method="HEAD")
    assert (head.status, head.body, head.get("Content-Length")) == (200, b"", "4")
    assert application.calls["/a"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Cache-Control", "no-store, max-age=60")],
        [("Cache-Control", "private, max-age=60")],
        [("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")],
        [("Cache-Control", "max-age=60"), ("Vary", "*")],
        [("Cache-Control", "max-age=0")],
        [("Expires", "0")],
    ],
)
def test_what_may_not_be_kept_is_not(ask: Ask, application: Application, fields: list[Field]) -> None:
    application.responses["/a"] = ("200 OK", fields, b"x")
    for _ in range(3):
        assert "hit" not in str(ask("/a").get("Cache-Status"))
    assert application.calls["/a"] == 3


def test_responses_for_who_is_authorized_are_kept_only_if_they_say_so(
    ask: Ask, application: Application
) -> None:
    key = ("Authorization", "Bearer x")
    ask("/a", key)
    ask("/a", key)
    assert application.calls["/a"] == 2
    application.responses["/b"] = ("200 OK", [("Cache-Control", "public, max-age=60")], b"x")
    ask("/b", key)
    ask("/b", key)
    assert application.calls["/b"] == 1


def test_vary_tells_variants_apart(ask: Ask, application: Application) -> None:
    application.responses["/a"] = (
        "200 OK",
        [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")],
        b"x",
    )
    german, french = ("Accept-Language", "de"), ("Accept-Language", "fr")
    ask("/a", german)
    assert ask("/a", french).get("Cache-Status") == "pelton; fwd=vary-miss; stored"
    for language in (german, french):
        assert "hit" in str(ask("/a", language).get("Cache-Status"))
    assert application.calls["/a"] == 2


def test_a_client_that_has_it_gets_304(ask: Ask, application: Application) -> None:
    application.responses["/a"] = ("200 OK", [("Cache-Control", "max-age=60"), ("ETag", '"1"')], b"body")
    ask("/a")
    response = ask("/a", ("If-None-Match", '"1"'))
    assert (response.status, response.body, response.get("ETag")) == (304, b"", '"1"')
    assert ask("/a", ("If-None-Match", '"2"')).status == 200
    assert application.calls["/a"] == 1


def test_what_is_stale_is_validated_and_kept_on(ask: Ask, application: Application) -> None:
    application.responses["/a"] = ("200 OK", [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"body")
    ask("/a")
    application.responses["/a"] = ("304 Not Modified", [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"")
    response = ask("/a")
    assert (response.status, response.body) == (200, b"body")
    assert response.get("Cache-Status") == "pelton; fwd=stale; fwd-status=304; stored"
    assert application.seen[-1]["HTTP_IF_NONE_MATCH"] == '"1"'
    # The client's own tag is compared with what is right now, and never reaches the application.
    response = ask("/a", ("If-None-Match", '"1"'))
    assert (response.status, response.body) == (304, b"")
    application.responses["/a"] = ("200 OK", [("Cache-Control", "no-cache"), ("ETag", '"2"')], b"newer")
    assert ask("/a").body == b"newer"
    assert application.calls["/a"] == 4


def test_a_validation_without_a_date_makes_the_page_new_again(ask: Ask, application: Application) -> None:
    caching, tag = ("Cache-Control", "max-age=60"), ("ETag", '"1"')
    old = formatdate(time.time() - 3600, usegmt=True)
    application.responses["/a"] = ("200 OK", [caching, tag, ("Date", old)], b"body")
    assert ask("/a").status == 200
    # Flask leaves the date to the server.
    application.responses["/a"] = ("304 Not Modified", [caching, tag], b"")
    validated = ask("/a")
    assert (validated.status, validated.body, validated.get("Age")) == (200, b"body", "0")
    assert validated.get("Date") != old
    assert "hit" in str(ask("/a").get("Cache-Status"))
    assert application.calls["/a"] == 2


def test_a_failure_is_replaced_by_what_is_kept_if_that_is_allowed(ask: Ask, application: Application) -> None:
    stale = [("Cache-Control", "max-age=0, stale-if-error=60"), ("ETag", '"1"')]
    application.responses["/a"] = ("200 OK", stale, b"body")
    ask("/a")
    application.responses["/a"] = ("503 Service Unavailable", [], b"down")
    response = ask("/a")
    assert (response.status, response.body) == (200, b"body")
    application.responses["/b"] = ("200 OK", [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"body")
    ask("/b")
    application.responses["/b"] = ("503 Service Unavailable", [], b"down")
    assert ask("/b").status == 503


def test_a_client_may_want_the_application_to_be_asked(ask: Ask, application: Application) -> None:
    ask("/a")
    assert ask("/a", ("Cache-Control", "no-cache")).body == b"/a 2"
    assert ask("/a").body == b"/a 2"
    assert ask("/b", ("Cache-Control", "only-if-cached")).status == 504
    assert ask("/a", ("Cache-Control", "only-if-cached")).body == b"/a 2"


def test_a_change_makes_what_is_kept_wrong(ask: Ask, application: Application) -> None:
    application.responses["/form"] = ("303 See Other", [("Location", "/list")], b"")
    ask("/list")
    ask("/other")
    assert ask("/form", method="POST").status == 303
    assert ask("/list").body == b"/list 2"
    assert ask("/other").body == b"/other 1"
    # One that failed has changed nothing.
    application.responses["/list"] = ("403 Forbidden", [], b"")
    ask("/list", method="DELETE")
    assert ask("/list").body == b"/list 2"


def test_a_hundred_at_once_are_one_for_the_application(server: Server, application: Application) -> None:
    gate = application.gates["/a"] = Gate()
    bodies: list[bytes] = []

    def one() -> None:
        bodies.append(server.connect().ask(request("GET", "/a")).body)

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    eventually(lambda: server.counter("cache_waits") == 99, "99 wait for the first one")
    gate.open()
    for thread in threads:
        thread.join(20)
    assert bodies == [b"/a 1"] * 100
    assert application.calls["/a"] == 1


def test_who_waits_for_what_may_not_be_kept_goes_on_alone(server: Server, application: Application) -> None:
    gate = application.gates["/a"] = Gate()
    application.responses["/a"] = ("200 OK", [("Cache-Control", "private")], b"mine")
    statuses: list[int] = []

    def one() -> None:
        statuses.append(server.connect().ask(request("GET", "/a")).status)

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: server.counter("cache_waits") == 4, "four wait for the first one")
    gate.open()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 5
    assert application.calls["/a"] == 5


@pytest.mark.parametrize(
    "fields",
    [
        [("Cache-Control", "max-age=60"), ("Vary", "Cookie")],
        [("Cache-Control", "no-cache"), ("ETag", '"a"')],
        [("Cache-Control", "max-age=0"), ("ETag", '"a"')],
    ],
)
def test_what_is_kept_for_others_makes_no_line_of_those_who_have_waited(
    server: Server, application: Application, fields: list[Field]
) -> None:
    first, others = Gate(), Gate()
    application.gates["/a"] = first
    application.responses["/a"] = ("200 OK", fields, b"mine")

    def one(number: int) -> None:
        server.connect().ask(request("GET", "/a", [("Cookie", f"user={number}")]))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: server.counter("cache_waits") == 4, "four wait for the first one")
    application.gates["/a"] = others
    first.open()
    others.wait_for(4)
    others.open()
    for thread in threads:
        thread.join(20)
    assert application.calls["/a"] == 5


def test_a_stale_page_is_sent_at_once_and_fetched_anew_behind_the_client(
    server: Server, ask: Ask, application: Application
) -> None:
    while_revalidating = [("Cache-Control", "max-age=10, stale-while-revalidate=1000"), ("Age", "60")]
    application.responses["/a"] = ("200 OK", while_revalidating, b"old")
    assert ask("/a").body == b"old"
    gate = application.gates["/a"] = Gate()
    # The application is held, and the client has its response; so have those that come meanwhile.
    stale = ask("/a")
    assert (stale.body, stale.get("Cache-Status")) == (b"old", "pelton; hit; ttl=-50")
    gate.wait_for()
    assert ask("/a").body == b"old"
    assert ask("/a", method="HEAD").status == 200
    assert application.calls["/a"] == 2
    assert application.seen[-1]["REQUEST_METHOD"] == "GET"
    assert application.seen[-1]["REMOTE_ADDR"] == application.seen[0]["REMOTE_ADDR"]
    application.responses["/a"] = ("200 OK", [("Cache-Control", "max-age=60")], b"x" * 100_000)
    gate.open()
    eventually(lambda: ask("/a").body == b"x" * 100_000, "the new page is kept")
    assert (application.calls["/a"], server.counter("cache_revalidations")) == (2, 1)
    server.wait_for_counter("connections_open", 1)


def test_what_is_fetched_behind_the_client_looks_like_the_clients_request(
    serve: Serve, application: Application, tmp_path: Path
) -> None:
    files = make_files(tmp_path)
    given = {"certfile": str(files.certificate), "keyfile": str(files.key)}
    server = serve(application, scheme="https://", cache_bytes="1MiB", **given)
    while_revalidating = [("Cache-Control", "max-age=10, stale-while-revalidate=1000"), ("Age", "60")]
    application.responses["/"] = ("200 OK", while_revalidating, b"old")
    with connect(str(server.address), context_for(files)) as client:
        assert [ask_encrypted(client)[-3:] for _ in range(2)] == [b"old"] * 2
    eventually(lambda: application.calls["/"] >= 2, "it is fetched anew")
    first, behind = application.seen[:2]
    names = [name for name in first if name.startswith(("SSL_", "wsgi.url", "HTTPS", "SERVER_", "REMOTE_"))]
    assert "SSL_PROTOCOL" in names
    assert {name: behind.get(name) for name in names} == {name: first[name] for name in names}


def test_a_stale_page_that_must_not_be_kept_any_more_is_forgotten(ask: Ask, application: Application) -> None:
    while_revalidating = [("Cache-Control", "max-age=10, stale-while-revalidate=1000"), ("Age", "60")]
    application.responses["/a"] = ("200 OK", while_revalidating, b"old")
    ask("/a")
    application.responses["/a"] = ("500 Oops", [], b"broken")
    assert [ask("/a").body for _ in range(3)] == [b"old"] * 3
    application.responses["/a"] = ("200 OK", [("Cache-Control", "private")], b"mine")
    eventually(lambda: ask("/a").body == b"mine", "the old page is gone")


def test_each_response_of_the_application_says_why_it_is_not_from_the_cache(
    ask: Ask, application: Application
) -> None:
    application.responses["/private"] = ("200 OK", [("Cache-Control", "private"), ("Cache-Tag", "t")], b"")
    for target, fields, method, why in [
        ("/private", (), "GET", "uri-miss"),
        ("/private", (), "GET", "uri-miss"),
        ("/a", (("Range", "bytes=0-1"),), "GET", "bypass"),
        ("/a", (), "HEAD", "bypass"),
        ("/private", (), "POST", "method"),
    ]:
        got = ask(target, *fields, method=method)
        assert (got.get("Cache-Status"), got.get("Cache-Tag")) == (f"pelton; fwd={why}", None)


def test_a_reload_asks_the_application(ask: Ask) -> None:
    assert [ask("/a").body, ask("/a").body] == [b"/a 1"] * 2
    assert ask("/a", ("Cache-Control", "max-age=0")).body == b"/a 2"
    part = ask("/a", ("Range", "bytes=0-1"), method="HEAD")
    assert (part.status, part.get("Content-Range")) == (200, None)


def test_a_client_that_leaves_does_not_take_the_others_along(
    server: Server, application: Application
) -> None:
    gate = application.gates["/a"] = Gate()
    first = server.connect()
    first.send(request("GET", "/a"))
    eventually(lambda: application.calls["/a"] == 1, "the first one runs")
    bodies: list[bytes] = []
    waiting = threading.Thread(
        target=lambda: bodies.append(server.connect().ask(request("GET", "/a")).body), daemon=True
    )
    waiting.start()
    eventually(lambda: server.counter("cache_waits") == 1, "the second one waits")
    first.reset()
    gate.open()
    waiting.join(20)
    assert len(bodies) == 1
    assert bodies[0] in (b"/a 1", b"/a 2")


def test_large_bodies_and_many_pages_stay_within_the_bound(
    server: Server, ask: Ask, application: Application
) -> None:
    application.responses["/large"] = ("200 OK", [("Cache-Control", "max-age=60")], b"x" * 200_000)
    for _ in range(2):
        assert len(ask("/large").body) == 200_000
    assert application.calls["/large"] == 2
    application.responses["/page"] = ("200 OK", [("Cache-Control", "max-age=60")], b"y" * 20_000)
    for number in range(100):
        assert len(ask(f"/page?{number}").body) == 20_000
    assert server.counter("cache_bytes") <= 1 << 20
    assert server.counter("cache_evictions") > 0
    assert ask("/page?99").body == b"y" * 20_000


def test_streams_are_kept_when_they_are_whole(serve: Serve) -> None:
    calls = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        calls.append(1)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "max-age=60")])
        yield b"a" * 1000
        yield b"b" * 1000
        if environ["PATH_INFO"] == "/broken":
            raise ValueError("in the middle")

    server = serve(application, cache_bytes="1MiB")
    for _ in range(2):
        assert server.connect().ask(request("GET", "/whole")).body == b"a" * 1000 + b"b" * 1000
    assert len(calls) == 1
    for _ in range(2):
        client = server.connect()
        client.send(request("GET", "/broken"))
        with pytest.raises(CutOffError):
            client.response()
    assert len(calls) == 3


@pytest.mark.parametrize("what", ["POST", "target", "tag"])
def test_what_was_fetched_before_a_change_is_not_kept_after_it(
    serve: Serve, application: Application, tmp_path: Path, what: str
) -> None:
    admin_address = f"unix:{tmp_path}/admin"
    server = serve(application, cache_bytes="1MiB", threads=4, admin_bind=(admin_address,))
    gate = application.gates["/a"] = Gate()
    reader = server.connect()
    reader.send(request("GET", "/a"))
    gate.wait_for(1)
    del application.gates["/a"]
    if what == "POST":
        assert server.ask(request("POST", "/a", [("Content-Length", "0")])).status == 200
    else:
        query = "?target=/a" if what == "target" else "?tag=post-1"
        with Client(admin_address) as admin:
            assert admin.ask(request("POST", f"/cache/purge{query}", [("Content-Length", "0")])).status == 200
    gate.open()
    # Whoever has asked before gets it.
    assert reader.response().status == 200
    calls = application.calls["/a"]
    assert "hit" not in str(server.ask(request("GET", "/a")).get("Cache-Status"))
    assert application.calls["/a"] == calls + 1
    assert "hit" in str(server.ask(request("GET", "/a")).get("Cache-Status"))


def test_behind_a_proxy_pages_are_kept_for_the_host_that_it_names(
    serve: Serve, application: Application
) -> None:
    server = serve(application, cache_bytes="1MiB", threads=8, trusted_proxies="127.0.0.1")

    def seen(number: int, host: str, proto: str = "http", prefix: str = "/") -> bool:
        fields = [("X-Forwarded-Host", host), ("X-Forwarded-Proto", proto), ("X-Forwarded-Prefix", prefix)]
        response = server.ask(request("GET", "/a", fields, host="inside"))
        assert response.body == f"/a {number}".encode()
        return "hit" in str(response.get("Cache-Status"))

    assert not seen(1, "a.example")
    assert not seen(2, "b.example")
    assert not seen(3, "a.example", "https")
    assert not seen(4, "a.example", "https", "/shop")
    for number, *said in (
        (1, "a.example"),
        (2, "b.example"),
        (3, "A.example", "https"),
        (4, "a.example", "https", "/shop"),
    ):
        assert seen(number, *said)


def test_those_who_wait_behind_a_proxy_get_what_they_have_waited_for(
    serve: Serve, application: Application
) -> None:
    server = serve(application, cache_bytes="1MiB", threads=8, trusted_proxies="127.0.0.1")
    gate = application.gates["/a"] = Gate()
    clients = [server.connect() for _ in range(5)]
    fields = [("X-Forwarded-Host", "a.example"), ("X-Forwarded-Proto", "https")]
    for client in clients:
        client.send(request("GET", "/a", fields, host="inside"))
    gate.wait_for(1)
    eventually(lambda: server.counter("cache_waits") == 4, "the others wait")
    gate.open()
    assert {client.response().body for client in clients} == {b"/a 1"}
    assert application.calls["/a"] == 1


def test_purged_by_path_and_tag(serve: Serve, application: Application, tmp_path: Path) -> None:
    admin_address = f"unix:{tmp_path}/admin"
    server = serve(application, cache_bytes="1MiB", admin_bind=(admin_address,))
    client = server.connect()
    for path, tags in (("/a", "front post-1"), ("/b", "front"), ("/c", "")):
        application.responses[path] = (
            "200 OK",
            [("Cache-Control", "max-age=60"), *([("Cache-Tag", tags)] if tags else [])],
            b"x",
        )
        assert client.ask(request("GET", path)).get("Cache-Tag") is None

    def purge(query: str) -> bytes:
        with Client(admin_address) as admin:
            response = admin.ask(request("POST", f"/cache/purge{query}", [("Content-Length", "0")]))
        assert response.status == 200
        return response.body.strip()

    assert purge("?tag=post-1") == b'{"purged":1}'
    assert purge("?target=/b") == b'{"purged":1}'
    assert purge("") == b'{"purged":1}'
    for path in "/a", "/b", "/c":
        client.ask(request("GET", path))
        assert application.calls[path] == 2


def test_the_command_purges(serve: Serve, application: Application, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/admin"
    server = serve(application, cache_bytes="1MiB", admin_bind=(address,))
    for path in "/a/1?x=1", "/a/2", "/b":
        server.ask(request("GET", path))

    def purge(*words: str) -> str:
        result = CliRunner().invoke(main, ["purge", "--admin", address, *words])
        assert result.exit_code == 0, result.output
        return result.output

    assert purge("/a/*") == "2 responses are forgotten.\n"
    assert purge("/b") == "1 response is forgotten.\n"
    assert purge("--all") == "0 responses are forgotten.\n"
    assert CliRunner().invoke(main, ["purge", "--admin", address]).exit_code == 2
    result = CliRunner().invoke(main, ["purge", "--admin", f"unix:{tmp_path}/none", "/"])
    assert result.exit_code == 1
    assert "It needs --admin-bind" in result.output
