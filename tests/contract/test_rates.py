"""``environ["pelton.rate"]``: what is left to the client of a limit of rate, and spending more of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from pelton._engine import Rate
from support.apps import PLAIN
from support.client import request
from support.http2 import Http2Client
from support.kinds import FRONT
from support.serving import Serve, Server
from support.waiting import Gate


def spending(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Spends each ``n`` of the query, after the head where the path says so; tells how the rate stood."""
    rate: Rate | None = environ.get("pelton.rate")
    if rate is None:
        start_response("200 OK", list(PLAIN))
        return [b"free"]
    said = [f"{rate.remaining}/{rate.limit}"]
    if environ["PATH_INFO"].endswith("/late"):
        start_response("200 OK", list(PLAIN))(b"begun ")
    for _, count in parse_qsl(environ["QUERY_STRING"]):
        said.append(f"{rate.spend(int(count))} {rate.remaining}")
    if not environ["PATH_INFO"].endswith("/late"):
        start_response("200 OK", list(PLAIN))
    assert 0 < rate.reset <= rate.limit * 360
    return [", ".join(said).encode()]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(spending, scheme="h2c://", rate_limit=("/a=10/h",), threads=2)


def ask(server: Server, target: str) -> str:
    return server.ask(request("GET", target, [("Connection", "close")])).body.decode()


def test_the_application_sees_and_spends(server: Server) -> None:
    assert ask(server, "/free") == "free"
    assert ask(server, "/a") == "9/10"
    # What is too much costs nothing.
    assert ask(server, "/a?n=3&n=0&n=6&n=1") == "8/10, True 5, True 5, False 5, True 4"
    assert ask(server, "/a/late?n=1&n=2") == "begun 3/10, True 2, True 0"
    assert server.ask(request("GET", "/a", [("Connection", "close")])).status == 429


@pytest.mark.skipif(FRONT == "process", reason="the suite's front process speaks HTTP/1.1")
def test_over_http2_too(server: Server) -> None:
    port = int(str(server.address).rpartition(":")[2])
    with Http2Client(port) as client:
        streams = [client.ask("/a?n=2"), client.ask("/free")]
        client.wait_for(*streams)
        assert [client.text(stream) for stream in streams] == ["9/10, True 7", "free"]
        late = client.ask("/a/late?n=7&n=6")
        client.wait_for(late)
        assert client.text(late) == "begun 6/10, False 6, True 0"


def test_a_client_cannot_name_its_own_rate(server: Server) -> None:
    fields = [("pelton.rate", "9 9 9"), ("Pelton-Rate", "9 9 9")]
    assert server.ask(request("GET", "/free", fields)).body == b"free"


def test_it_ends_with_its_request(serve: Serve) -> None:
    kept: list[Rate] = []
    errors: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(environ["pelton.rate"])
        for rate in kept[:-1]:
            try:
                rate.spend()
            except RuntimeError as error:
                errors.append(str(error))
        start_response("200 OK", list(PLAIN))
        return [str(kept[-1].remaining).encode()]

    client = serve(app, rate_limit=("/=10/h",)).connect()
    assert [client.ask(request()).body for _ in range(3)] == [b"9", b"8", b"7"]
    assert errors == ["the request is over"] * 3


def test_who_has_gone_spends_nothing_and_nobody_hangs(serve: Serve, gate: Gate) -> None:
    outcomes: list[Any] = []
    done = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/other":
            start_response("200 OK", list(PLAIN))
            return [str(environ["pelton.rate"].remaining).encode()]
        gate.hold()
        try:
            outcomes.append(environ["pelton.rate"].spend(3))
        except BrokenPipeError as error:
            outcomes.append(str(error))
        done.set()
        start_response("200 OK", list(PLAIN))
        return [b""]

    server = serve(app, rate_limit=("/=10/h",), threads=2)
    client = server.connect()
    client.send(request())
    gate.wait_for()
    client.reset()
    server.wait_for_counter("connections_open", 0)
    gate.open()
    server.wait_until_idle()
    assert outcomes == ["the client has gone"]
    assert server.ask(request("GET", "/other", [("Connection", "close")])).body == b"8"


def test_all_workers_and_requests_share_one_account(server: Server) -> None:
    client, other = server.connect(), server.connect()
    client.send(request("GET", "/a?n=1&n=1"))
    other.send(request("GET", "/a?n=1&n=1"))
    bodies = [client.response().body, other.response().body]
    assert all(body.count(b"True") == 2 for body in bodies)
    assert ask(server, "/a") == "3/10"


@pytest.mark.skipif(FRONT == "process", reason="the same code of one process")
def test_nonsense_is_refused(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        rate = environ["pelton.rate"]
        for count, error in ((-1, OverflowError), (1 << 32, OverflowError), ("1", TypeError)):
            with pytest.raises(error):
                rate.spend(count)
        start_response("200 OK", list(PLAIN))
        return [repr(rate).encode()]

    body = serve(app, rate_limit=("/=10/h",)).connect().ask(request()).body
    assert body == b"<pelton rate: 9 of 10 left, all in 360 s>"


def test_too_many_questions_are_an_error_and_leave_room_for_the_head(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        rate, count = environ["pelton.rate"], 0
        try:
            for _ in range(100_000):
                rate.spend(0)
                count += 1
        except RuntimeError as error:
            start_response("200 OK", [*PLAIN, ("X-Large", "x" * 60_000), ("X-Error", str(error))])
            return [str(count > 1000).encode()]
        start_response("500 Oops", list(PLAIN))
        return [b""]

    response = serve(app, rate_limit=("/=10/h",), max_head_bytes=65536).connect().ask(request())
    assert (response.status, response.body, len(str(response.get("X-Large")))) == (200, b"True", 60_000)
