"""What a client may cost: rates, connections, requests, memory, disk; and what it is told beyond that."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

from support.apps import echo, hello, routes, streaming
from support.client import Client, request
from support.serving import Serve
from support.waiting import DEADLINE, Tally, eventually

QUICK = request()
PIECE = bytes(range(256)) * 400


def trickle(client: Client) -> int:
    """Send a byte every few hundredths of a second until there is a response; how many that took."""
    client.socket.settimeout(0.05)
    for sent in range(1000):
        try:
            client.socket.recv(1, socket.MSG_PEEK)
            client.socket.settimeout(DEADLINE)
            return sent
        except TimeoutError:
            client.send(b"x")
    raise AssertionError("there is no answer")


def test_a_body_that_comes_too_slowly_is_answered_408(serve: Serve) -> None:
    server = serve(echo, body_idle_seconds=0.4, body_rate=1000)
    client = server.connect().send(request("POST", body=b"x" * 2000)[:-2000])
    # Never a pause as long as the time-out, and yet far fewer than a thousand bytes per second.
    assert trickle(client) > 1
    assert client.response("POST").status == 408
    assert client.closed()
    server.wait_for_counter("bodies_late", 1)


def test_a_body_may_not_take_longer_than_its_time(serve: Serve) -> None:
    server = serve(echo, body_idle_seconds=0.2, body_rate=0, body_seconds=1.0)
    client = server.connect().send(request("POST", body=b"x" * 2000)[:-2000])
    # Longer than several pauses may be.
    assert trickle(client) > 4
    assert client.response("POST").status == 408


def test_a_reader_that_is_too_slow_is_cut_off(serve: Serve) -> None:
    server = serve(
        routes({"/large": streaming(*[PIECE] * 300)}), write_idle_seconds=0.4, write_rate=100_000_000
    )
    client = server.connect(receive_buffer=4096).send(request(target="/large")).wait_readable()
    # It takes something all the time, and too little.
    client.socket.settimeout(0.02)

    def is_cut_off() -> bool:
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.socket.recv(4096)
        return server.counter("closed_write_timeout") == 1

    eventually(is_cut_off, "it is cut off")


def test_slow_readers_of_large_responses_keep_no_thread_and_little_memory(serve: Serve) -> None:
    size = 20 * 2**20
    made = Tally()

    def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        for number in range(size // 2**16):
            yield bytes([number % 251]) * 2**16
        made.add()

    server = serve(routes({"/large": large}), threads=2, response_memory_bytes=2**20)
    slow = [
        server.connect(receive_buffer=4096).send(request(target="/large")).wait_readable() for _ in range(20)
    ]
    made.wait_for(20)
    # Ten times as many as there are threads, and another client does not notice.
    assert server.ask(QUICK).body == b"hello"
    counters = server.running.counters()
    assert counters["responses_spooled"] == 20
    assert counters["spool_bytes_used"] > 20 * (size - 6 * 2**20)
    assert counters["response_bytes_held"] < 32 * 2**20
    for client in slow[:2]:
        body = client.response().body
        assert len(body) == size
        assert all(body[at] == (at // 2**16) % 251 for at in range(0, size, 2**15))
    for client in slow:
        client.close()
    server.wait_until_idle()
    eventually(
        lambda: server.counter("spool_bytes_used") == 0 and server.counter("response_bytes_held") == 0,
        lambda: str(server.running.counters()),
    )


def test_one_large_piece_for_a_slow_reader_keeps_no_thread(serve: Serve) -> None:
    body = PIECE * 200

    def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [body]

    server = serve(routes({"/large": large}), threads=1)
    slow = server.connect(receive_buffer=4096).send(request(target="/large")).wait_readable()
    assert server.ask(QUICK).body == b"hello"
    assert slow.response().body == body


def test_a_quick_reader_needs_no_file(serve: Serve) -> None:
    server = serve(streaming(*[PIECE] * 200))
    with server.connect() as client:
        for _ in range(3):
            assert len(client.ask(QUICK).body) == len(PIECE) * 200
    assert server.counter("responses_spooled") == 0


def test_uploads_beyond_the_spool_are_refused_and_the_place_is_given_back(serve: Serve) -> None:
    server = serve(echo, spool_bytes=3 * 2**20, body_memory_bytes=2**16)
    body = b"x" * (2 * 2**20)
    wire = request("POST", body=body)
    waiting = server.connect().send(wire[:-1])
    server.wait_for_counter("spool_bytes_used", len(body) - 1)
    client = server.connect()
    client.send(wire[:2_000_000])
    got = client.response("POST")
    assert (got.status, got.get("Retry-After")) == (503, "1")
    assert waiting.send(b"x").response("POST").body == body
    assert server.ask(wire).body == body
    eventually(lambda: server.counter("spool_bytes_used") == 0, "all is given back")


def test_connections_of_one_address_are_limited(serve: Serve) -> None:
    server = serve(hello, connections_per_client=3)
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        assert client.ask(QUICK).status == 200
    one_more = server.connect()
    got = one_more.response()
    assert (got.status, got.keeps_connection, got.get("Retry-After")) == (429, False, "1")
    assert one_more.closed()
    server.wait_for_counter("connections_refused", 1)
    one_more.close()
    clients.pop().close()
    eventually(lambda: server.counter("connections_open") == 2, "two are left")
    with server.connect() as client:
        assert client.ask(QUICK).status == 200


def test_a_unix_socket_has_no_limit_per_address(serve: Serve) -> None:
    server = serve(hello, transport="unix", connections_per_client=1)
    for client in [server.connect() for _ in range(3)]:
        assert client.ask(QUICK).status == 200


def test_requests_on_one_connection_are_limited(serve: Serve) -> None:
    server = serve(hello, requests_per_connection=3)
    client = server.connect()
    kept = [client.ask(QUICK).keeps_connection for _ in range(3)]
    assert kept == [True, True, False]
    assert client.closed()
