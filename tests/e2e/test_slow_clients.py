"""Slow clients cost no thread, and in the end not even a connection."""

from __future__ import annotations

import pytest

from support.apps import answer, echo, held, hello, routes, streaming
from support.client import CutOffError, request
from support.serving import Serve
from support.waiting import Gate

QUICK = request()


def test_half_sent_requests_hold_no_thread(serve: Serve) -> None:
    server = serve(routes({"/echo": echo}), threads=2)
    heads = [server.connect().send(b"GET /echo HTTP/1.1\r\nHost: x\r\nX-Half: ") for _ in range(50)]
    small = [server.connect().send(request("POST", "/echo", body=b"0123456789")[:-1]) for _ in range(25)]
    large_wire = request("POST", "/echo", body=b"x" * 1_500_000)
    large = [server.connect().send(large_wire[:-1]) for _ in range(25)]
    server.wait_for_counter("connections_open", 100)
    quick = server.connect()
    for _ in range(100):
        assert quick.ask(QUICK).body == b"hello"
    server.wait_for_counter("requests_dispatched", 100)
    # Nobody was forgotten.
    for client in heads:
        assert client.send(b"done\r\n\r\n").response().status == 200
    for client in small:
        assert client.send(b"9").response("POST").body == b"0123456789"
    for client in large:
        assert client.send(b"x").response("POST").body == b"x" * 1_500_000


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\n", QUICK[:-1]])
def test_a_head_that_does_not_end_is_answered_408(serve: Serve, sent: bytes) -> None:
    server = serve(hello, head_seconds=0.2, keep_alive_seconds=60)
    client = server.connect()
    client.send(sent)
    got = client.response()
    assert (got.status, got.keeps_connection) == (408, False)
    assert client.closed()
    server.wait_for_counter("heads_late", 1)


def test_the_second_head_has_its_own_time(serve: Serve) -> None:
    server = serve(hello, head_seconds=0.2, keep_alive_seconds=60)
    client = server.connect()
    assert client.ask(QUICK).status == 200
    assert client.send(QUICK + QUICK[:20]).response().status == 200
    assert client.response().status == 408
    assert client.closed()


def test_a_trickle_does_not_extend_the_time_for_a_head(serve: Serve) -> None:
    server = serve(hello, head_seconds=0.5)
    client = server.connect().send(b"GET / HTTP/1.1\r\nX: ")
    client.socket.settimeout(0.05)
    trickled = 0
    while trickled < 200:
        client.send(b"x")
        trickled += 1
        try:
            client.wait_readable()
            break
        except TimeoutError:
            continue
    assert client.response().status == 408
    assert 2 <= trickled < 200


def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    server = serve(hello, head_seconds=0.2)
    assert server.connect().closed()
    server.wait_for_counter("closed_idle", 1)
    assert server.counter("heads_late") == 0


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", body=b"12345")[:-1],
        request("POST", body=b"x" * 1_500_000)[:-1],
        request("POST", fields=[("Transfer-Encoding", "chunked")]),
        request("POST", fields=[("Transfer-Encoding", "chunked")]) + b"5\r\nabc",
    ],
    ids=["small", "spooled", "no chunk", "half a chunk"],
)
def test_a_body_that_does_not_come_is_answered_408(serve: Serve, sent: bytes) -> None:
    server = serve(hello, body_idle_seconds=0.2)
    client = server.connect().send(sent)
    got = client.response("POST")
    assert (got.status, got.keeps_connection) == (408, False)
    assert client.closed()
    client.close()
    server.wait_until_idle()
    server.wait_for_counter("bodies_late", 1)
    assert server.counter("requests_dispatched") == 0


def test_a_slow_body_that_never_pauses_is_accepted(serve: Serve) -> None:
    server = serve(echo, body_idle_seconds=1.5, body_rate=0)
    wire = request("POST", body=b"x" * 12)
    client = server.connect().send(wire[:-12])
    client.socket.settimeout(0.25)
    for _ in range(12):
        # In all twice as long as a pause may be, and far from that each: this process may be slow itself.
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.send(b"x")
    client.socket.settimeout(20)
    assert client.response("POST").body == b"x" * 12


def test_an_idle_connection_is_closed_after_the_keep_alive_time(serve: Serve) -> None:
    server = serve(hello, keep_alive_seconds=0.6)
    client = server.connect()
    for _ in range(2):
        assert client.ask(QUICK).keeps_connection
    assert client.closed()
    server.wait_for_counter("closed_idle", 1)


def test_a_running_request_is_no_idle_connection(serve: Serve, gate: Gate) -> None:
    server = serve(
        routes({"/hold": held(gate)}),
        keep_alive_seconds=0.1,
        head_seconds=0.1,
        body_idle_seconds=0.1,
        write_idle_seconds=0.1,
        queue_seconds=0.1,
    )
    client = server.connect().send(request(target="/hold"))
    gate.wait_for()
    # Three connections that are closed one after the other for being idle: all of these times are over.
    for _ in range(3):
        assert server.connect().closed()
    gate.open()
    assert client.response().body == b"held"


@pytest.mark.parametrize("kind", ["streamed", "whole"])
def test_a_client_that_takes_nothing_is_cut_off(serve: Serve, kind: str) -> None:
    size = 20_000_000
    pieces = [b"x" * 100_000] * (size // 100_000) if kind == "streamed" else [b"x" * size]
    server = serve(
        routes({"/large": streaming(*pieces)}), threads=1, write_idle_seconds=0.3, response_file_bytes=0
    )
    stuck = server.connect(receive_buffer=4096).send(request(target="/large")).wait_readable()
    # The only thread is free again as soon as the client is given up.
    assert server.ask(QUICK).body == b"hello"
    server.wait_for_counter("closed_write_timeout", 1)
    with pytest.raises((CutOffError, ConnectionResetError)):
        stuck.response()
    stuck.close()
    server.wait_until_idle()


def test_the_time_for_waiting_in_the_queue_is_not_one_for_reading_the_response(serve: Serve) -> None:
    size = 20_000_000
    server = serve(
        routes({"/large": streaming(b"x" * size)}, default=hello), queue_seconds=0.2, keep_alive_seconds=0.3
    )
    slow = server.connect(receive_buffer=4096).send(request(target="/large")).wait_readable()
    # A connection that is closed for being idle, three times: the queue's time is over.
    for _ in range(3):
        other = server.connect()
        assert other.ask(QUICK).body == b"hello"
        assert other.closed()
    assert len(slow.response().body) == size
    assert server.counter("closed_write_timeout") == 0


def test_a_reader_that_is_merely_slow_is_not_cut_off(serve: Serve) -> None:
    size = 3_000_000
    server = serve(streaming(b"x" * size), write_idle_seconds=1.5)
    slow = server.connect(receive_buffer=4096).send(QUICK)
    slow.head()
    quiet = server.connect()
    received = 0
    # In all longer than the time in which something has to be taken; each pause waits for nothing to come.
    for _ in range(4):
        received += len(slow.piece())
        quiet.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            quiet.socket.recv(1)
    while piece := slow.piece():
        received += len(piece)
    assert received == size


@pytest.mark.parametrize("transport", ["ipv4", "unix"])
def test_a_steady_reader_is_not_cut_off_while_the_system_holds_much_for_it(
    serve: Serve, transport: str
) -> None:
    size = 12_000_000
    server = serve(answer(b"x" * size), transport=transport, write_idle_seconds=0.5, write_rate=2000)
    slow = server.connect(receive_buffer=4096).send(QUICK).wait_readable()
    quiet = server.connect()
    quiet.socket.settimeout(0.05)
    received = 0
    # More than the rate all the time, for several windows, and far less than the system's buffers take; only
    # when a third of one is empty again does it take more.
    for _ in range(50):
        received += len(slow.socket.recv(4096))
        with pytest.raises(TimeoutError):
            quiet.socket.recv(1)
    assert received <= 50 * 4096
    assert server.counter("closed_write_timeout") == 0
    slow.socket.settimeout(20)
    # With a head before it.
    while received < size and (piece := slow.socket.recv(1 << 20)):
        received += len(piece)
    assert received >= size
    assert server.counter("closed_write_timeout") == 0


def test_a_response_is_not_on_the_clock_of_the_queue(serve: Serve) -> None:
    body = b"x" * 900_000
    # Over a unix socket, where the kernel takes nothing more on its own account once its buffer is full.
    server = serve(answer(body), transport="unix", queue_seconds=0.2, head_seconds=0.5)
    slow = server.connect().send(QUICK).wait_readable()
    # Another connection is closed for its silence: nothing was taken for longer than a request may wait.
    assert server.connect().closed()
    assert slow.response().body == body
    assert server.counter("closed_write_timeout") == 0


def test_more_idle_connections_than_select_can_watch(serve: Serve) -> None:
    server = serve(hello, threads=2)
    idle = [server.connect() for _ in range(1500)]
    for client in idle:
        assert client.ask(QUICK).status == 200
    server.wait_for_counter("connections_open", 1500)
    late = server.connect()
    for _ in range(10):
        assert late.ask(QUICK).body == b"hello"
    # They are not only open but served.
    for client in idle[::100]:
        assert client.ask(QUICK).body == b"hello"
    server.wait_for_counter("connections_accepted", 1501)


def test_connections_beyond_the_limit_wait_for_others_to_close(serve: Serve) -> None:
    server = serve(hello, max_connections=3)
    first = [server.connect() for _ in range(3)]
    for client in first:
        assert client.ask(QUICK).status == 200
    waiting = server.connect().send(QUICK)
    assert first[0].ask(QUICK).status == 200
    server.wait_for_counter("connections_accepted", 3)
    first[1].close()
    assert waiting.response().status == 200
    server.wait_for_counter("connections_open", 3)
