"""Limits for requests of some paths, and paths that go first: over real sockets."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from pelton.config.path_rules import PathLimit, PathRule, parse_path_limit, parse_path_rule
from pelton.exceptions import ConfigError
from support.apps import PLAIN, held, hello, routes
from support.client import Client, request
from support.http2 import Http2Client
from support.serving import Serve, Server
from support.waiting import Gate, eventually

EXPORT = request(target="/export/1")
QUICK = request(target="/quick")


def _reports(gate: Gate) -> WSGIApplication:
    return routes({"/export/1": held(gate), "/export": held(gate), "/quick": hello})


def test_slow_reports_do_not_take_every_thread(serve: Serve, gate: Gate) -> None:
    server = serve(_reports(gate), threads=4, limit_path=("/export=2,queue=3",), retry_after_seconds=9)
    running = [server.connect().send(EXPORT) for _ in range(2)]
    gate.wait_for(2)
    waiting = [server.connect().send(EXPORT) for _ in range(3)]
    server.wait_for_counter("path_requests_queued", 3)
    # One more than may wait is told at once, and its connection goes on.
    refused = server.connect()
    response = refused.ask(EXPORT)
    assert (response.status, response.get("Retry-After"), response.keeps_connection) == (503, "9", True)
    assert server.counter("path_requests_shed") == 1
    assert server.counter("requests_queued") == 0, "the queue of the rest is free"
    for _ in range(20):
        assert server.ask(QUICK).status == 200
    assert refused.ask(QUICK).status == 200
    assert gate.most_inside == 2
    gate.open()
    assert [client.response().body for client in (*running, *waiting)] == [b"held"] * 5
    server.wait_for_counter("path_requests_queued", 0)
    assert gate.most_inside == 2, "never more than two ran"


def test_whoever_waits_too_long_for_its_path_is_told(serve: Serve, gate: Gate) -> None:
    server = serve(_reports(gate), threads=4, limit_path=("GET /export=1,timeout=300ms",))
    running = server.connect().send(EXPORT)
    gate.wait_for()
    assert server.ask(EXPORT).status == 503
    assert server.counter("requests_expired") == 1
    # Another method is not meant.
    free = server.connect().send(request("POST", "/export/1", [("Content-Length", "0")]))
    gate.wait_for()
    gate.open()
    assert [client.response().status for client in (running, free)] == [200, 200]


def test_a_client_that_leaves_makes_room(serve: Serve, gate: Gate) -> None:
    server = serve(_reports(gate), threads=4, limit_path=("/export=1,queue=1",))
    running = server.connect().send(EXPORT)
    gate.wait_for()
    leaving = server.connect().send(EXPORT)
    server.wait_for_counter("path_requests_queued", 1)
    leaving.reset()
    server.wait_for_counter("path_requests_queued", 0)
    after = server.connect().send(EXPORT)
    server.wait_for_counter("path_requests_queued", 1)
    gate.open()
    assert [client.response().status for client in (running, after)] == [200, 200]


def test_a_body_waits_with_its_request(serve: Serve, gate: Gate) -> None:
    server = serve(_reports(gate), threads=4, limit_path=("/export=1",))
    body = b"b" * 100_000
    clients = [
        server.connect().send(request("POST", "/export", [("Content-Length", str(len(body)))]) + body)
        for _ in range(2)
    ]
    gate.wait_for()
    server.wait_for_counter("path_requests_queued", 1)
    gate.open()
    assert [client.response().status for client in clients] == [200, 200]


def test_streams_of_http2_count_too(serve: Serve, gate: Gate) -> None:
    server = serve(_reports(gate), scheme="h2c://", threads=4, limit_path=("/export=1,queue=1",))
    with Http2Client(int(server.address.rpartition(":")[2])) as client:
        streams = [client.ask("/export") for _ in range(2)]
        gate.wait_for()
        server.wait_for_counter("path_requests_queued", 1)
        refused, quick = client.ask("/export"), client.ask("/quick")
        client.wait_for(refused, quick)
        assert [client.status[one] for one in (refused, quick)] == ["503", "200"]
        gate.open()
        client.wait_for(*streams)
        assert [client.status[one] for one in streams] == ["200", "200"]


def test_a_priority_path_goes_before_all_that_wait(serve: Serve) -> None:
    order: list[str] = []
    gates = {"/first": Gate()}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        order.append(path)
        if path in gates:
            gates[path].hold()
        start_response("200 OK", list(PLAIN))
        return [b"done"]

    server = serve(app, threads=1, priority_path=("/status",))
    clients: list[Client] = [server.connect().send(request(target="/first"))]
    gates["/first"].wait_for()
    # More than there are slots, so that the queue is used, too.
    for number in range(100):
        clients.append(server.connect().send(request(target=f"/{number}")))
    for target in ("/status/a", "/status/b"):
        _wait_until_known(server, len(clients))
        clients.append(server.connect().send(request(target=target)))
    _wait_until_known(server, len(clients))
    gates["/first"].open()
    assert all(client.response().status == 200 for client in clients)
    assert order[:3] == ["/first", "/status/a", "/status/b"]
    assert sorted(order[3:]) == sorted(f"/{number}" for number in range(100))


def _wait_until_known(server: Server, count: int) -> None:
    """So many requests wait or run."""

    def known() -> int:
        return server.counter("slots_in_use") + server.counter("requests_queued")

    eventually(lambda: known() == count, lambda: f"{count} requests, not {known()}")


def test_rules_are_read() -> None:
    assert parse_path_limit("/export=4", 100, 30.0) == PathLimit("", "/export", 4, 100, 30.0)
    assert parse_path_limit(" post /a b = 4, queue=0 , timeout=1m", 100, 30.0) == PathLimit(
        "POST", "/a b", 4, 0, 60.0
    )
    assert parse_path_rule("/status") == PathRule("", "/status")
    assert parse_path_rule("GET  /status") == PathRule("GET", "/status")
    assert parse_path_rule("GET *.Example.com./a") == PathRule("GET", "/a", "*.example.com")
    assert parse_path_limit("a.example:8000/=4", 9, 1.0) == PathLimit("", "/", 4, 9, 1.0, "a.example:8000")


@pytest.mark.parametrize(
    "text", ["/a", "a=4", "/a=0", "/a=4,queue=x", "/a=4,timeout=0", "/a=4,b=1", "=4", ""]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_path_limit(text, 100, 30.0)


@pytest.mark.parametrize("text", ["status", "/a=4", "A B /c", ""])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_path_rule(text)
