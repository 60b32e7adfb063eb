"""Request bodies: every size and framing comes out whole, whatever memory or file it went through."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN, echo, hello, pattern, report
from support.client import CutOffError, chunked, request
from support.waiting import Gate

KI = 1024
# Around what travels within the record (16 KiB), one chunk of the arena (64 KiB), what is kept in memory.
SIZES = [0, 1, 2, *(near + by for near in (16 * KI, 64 * KI, KI * KI) for by in (-1, 0, 1)), 3 * KI * KI]
CHUNKED = [("Transfer-Encoding", "chunked")]


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_bodies_of_known_length_come_back_exactly(start: Start) -> None:
    server = start(echo)
    client = server.connect()
    for size in SIZES:
        body = pattern(size)
        assert client.ask(request("POST", body=body)).body == body, size
    # Larger than what is kept in memory: 1 MiB + 1 and 3 MiB.
    server.wait_for_counter("bodies_spooled", 2)


@pytest.mark.parametrize("piece", [1000, 64 * KI, 3 * KI * KI])
def test_chunked_bodies_come_back_exactly(start: Start, piece: int) -> None:
    server = start(echo)
    client = server.connect()
    for size in SIZES:
        body = pattern(size)
        client.send(request("POST", fields=CHUNKED) + chunked(pieces_of(body, piece)))
        assert client.response().body == body, size
    server.wait_for_counter("bodies_spooled", 2)


def test_a_chunked_body_may_be_cut_anywhere(start: Start) -> None:
    wire = request("POST", fields=CHUNKED) + chunked([b"a", b"bcdefghijklmnopq"], trailer=[("X-Sum", "1")])
    client = start(echo).connect()
    for cut in range(1, len(wire)):
        client.send(wire[:cut]).send(wire[cut:])
        assert client.response().body == b"abcdefghijklmnopq", cut


def test_a_body_may_come_in_many_pieces(start: Start) -> None:
    body = pattern(200_000)
    client = start(echo).connect().send(request("POST", fields=[("Content-Length", str(len(body)))]))
    for piece in pieces_of(body, 7001):
        client.send(piece)
    assert client.response().body == body


def test_trailers_are_accepted_and_dropped(start: Start) -> None:
    client = start(report).connect()
    client.send(
        request("POST", fields=CHUNKED)
        + chunked([b"abc"], trailer=[("X-Checksum", "1"), ("X-Forwarded-For", "evil")])
    )
    seen = client.response().json()
    assert seen["body"] == "abc"
    assert "HTTP_X_CHECKSUM" not in seen["environ"]
    assert "HTTP_X_FORWARDED_FOR" not in seen["environ"]
    assert client.ask(request()).status == 200


def test_a_trailer_that_belongs_into_the_head_is_refused(start: Start) -> None:
    client = start(report).connect()
    client.send(request("POST", fields=CHUNKED) + chunked([b"abc"], trailer=[("Host", "evil")]))
    assert client.response("POST").status == 400
    assert client.closed()


def test_a_client_that_expects_to_continue_is_told_to(start: Start) -> None:
    client = start(echo).connect()
    for _ in range(2):
        client.send(request("POST", fields=[("Expect", "100-continue"), ("Content-Length", "5")]))
        interim = client.head("POST")
        assert (interim.status, interim.reason) == (100, "Continue")
        client.send(b"12345")
        assert client.response("POST").body == b"12345"


def test_continue_comes_for_a_chunked_body_too(start: Start) -> None:
    client = start(echo).connect()
    client.send(request("POST", fields=[("Expect", "100-continue"), *CHUNKED]))
    assert client.head("POST").status == 100
    assert client.send(chunked([b"abc"])).response("POST").body == b"abc"


def test_nobody_is_told_to_continue_whose_body_is_there(start: Start) -> None:
    client = start(echo).connect()
    wire = request("POST", fields=[("Expect", "100-continue")], body=b"12345")
    assert client.ask(wire).body == b"12345"
    assert client.ask(request("POST", fields=[("Expect", "100-continue")], body=b"")).body == b""


def test_http_1_0_knows_no_interim_answer(start: Start) -> None:
    client = start(echo).connect()
    client.send(request("POST", version="1.0", fields=[("Expect", "100-continue"), ("Content-Length", "2")]))
    assert client.send(b"ab").response("POST").body == b"ab"


@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]])
def test_a_body_that_is_announced_too_large_is_refused_unread(
    start: Start, expect: list[tuple[str, str]]
) -> None:
    server = start(hello, max_body_bytes=1000)
    client = server.connect()
    client.send(request("POST", fields=[*expect, ("Content-Length", "1001")]))
    response = client.response("POST")
    assert (response.status, response.get("Connection")) == (413, "close")
    assert client.closed()
    assert server.counter("requests_dispatched") == 0
    assert server.ask(request("POST", body=b"x" * 1000)).status == 200


def test_the_response_to_a_too_large_body_is_not_lost_while_it_is_sent(start: Start) -> None:
    client = start(hello, max_body_bytes=1000).connect()
    body = b"x" * (4 * KI * KI)
    try:
        client.send(request("POST", body=body))
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the connection was reset before the answer could be read")
    assert client.response("POST").status == 413


def test_a_chunked_body_that_becomes_too_large_is_refused(start: Start) -> None:
    server = start(hello, max_body_bytes=1000)
    client = server.connect()
    client.send(request("POST", fields=CHUNKED) + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    client.send(b"1\r\n")
    assert client.response("POST").status == 413
    client.close()
    server.wait_until_idle()
    assert server.counter("requests_dispatched") == 0


def test_a_truncated_body_never_reaches_the_application(start: Start) -> None:
    server = start(echo)
    for wire in (
        request("POST", fields=[("Content-Length", "10")]) + b"123456789",
        request("POST", fields=[("Content-Length", "3000000")]) + b"x" * 2_999_999,
        request("POST", fields=CHUNKED) + b"5\r\nabcde\r\n0\r\n",
    ):
        client = server.connect().send(wire).finish_sending()
        assert client.closed()
    server.wait_until_idle()
    assert server.counter("requests_dispatched") == 0
    server.wait_for_counter("closed_by_client_early", 3)


def unread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(PLAIN))
    return [environ["wsgi.input"].read(3)]


@pytest.mark.parametrize("size", [10, 20_000, 100_000, 3 * KI * KI])
def test_a_body_that_is_not_read_is_not_taken_for_the_next_request(start: Start, size: int) -> None:
    client = start(unread).connect()
    evil = request("GET", "/evil") * (size // 10)
    for _ in range(3):
        assert client.ask(request("POST", body=evil[:size])).body == b"GET"


def test_files_for_bodies_have_no_name(start: Start, tmp_path: Path, gate: Gate) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        return echo(environ, start_response)

    server = start(app, body_memory_bytes=0, spool_directory=str(tmp_path))
    body = pattern(50_000)
    client = server.connect().send(request("POST", body=body))
    gate.wait_for()
    server.wait_for_counter("bodies_spooled", 1)
    assert list(tmp_path.iterdir()) == []
    gate.open()
    assert client.response("POST").body == body


def test_a_spool_directory_that_vanishes_costs_a_503(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    server = start(echo, body_memory_bytes=0, spool_directory=str(directory))
    directory.rmdir()
    client = server.connect()
    try:
        client.send(request("POST", body=b"x" * 100_000))
        assert client.response("POST").status == 503
    except CutOffError:
        pytest.fail("the client got no answer")
    client.close()
    server.wait_until_idle()
    directory.mkdir()
    assert server.ask(request("POST", body=b"x" * 100_000)).body == b"x" * 100_000
