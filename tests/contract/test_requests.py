"""Methods, versions, persistence and order of requests."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN, echo, held, hello, report, routes, streaming
from support.client import request
from support.serving import Serve
from support.waiting import Gate


def target_back(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(PLAIN))
    return [environ["RAW_URI"].encode("latin-1")]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "M-SEARCH", "get"])
def test_every_method_reaches_the_application(start: Start, method: str) -> None:
    response = start(report).ask(request(method, "/x"))
    assert (response.status, response.reason) == (200, "OK")
    assert response.json()["environ"]["REQUEST_METHOD"] == method


def test_head_has_the_fields_of_get_and_no_body(start: Start) -> None:
    client = start(hello).connect()
    got = client.ask(request("GET"))
    headed = client.ask(request("HEAD"))
    assert headed.body == b""
    assert headed.get("Content-Length") == got.get("Content-Length") == "5"
    assert client.ask(request("GET")).body == b"hello"


def test_a_connection_of_http_1_1_is_kept(start: Start) -> None:
    server = start(hello)
    client = server.connect()
    for _ in range(3):
        response = client.ask(request())
        assert response.keeps_connection
        assert response.get("Connection") is None
    server.wait_for_counter("connections_accepted", 1)


@pytest.mark.parametrize("value", ["close", "Close", "x, close"])
def test_close_is_obeyed_in_http_1_1(start: Start, value: str) -> None:
    client = start(hello).connect()
    response = client.ask(request(fields=[("Connection", value)]))
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    assert client.closed()


def test_nothing_after_close_is_answered(start: Start) -> None:
    server = start(hello)
    client = server.connect()
    client.send(request(fields=[("Connection", "close")]) + request())
    assert client.response().body == b"hello"
    assert client.closed()
    server.wait_for_counter("requests_dispatched", 1)


def test_http_1_0_is_closed_unless_asked(start: Start) -> None:
    client = start(hello).connect()
    response = client.ask(request(version="1.0", host=None))
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    assert client.closed()


def test_http_1_0_is_kept_when_asked_and_told_so(start: Start) -> None:
    client = start(hello).connect()
    for _ in range(3):
        response = client.ask(request(version="1.0", fields=[("Connection", "keep-alive")]))
        assert (response.body, response.get("Connection")) == (b"hello", "keep-alive")


def test_the_application_can_close(start: Start) -> None:
    client = start(streaming(b"x", fields=[("Connection", "close")])).connect()
    response = client.ask(request())
    assert (response.body, response.get("Connection")) == (b"x", "close")
    assert client.closed()


def test_ten_requests_in_one_packet_are_answered_in_order(start: Start) -> None:
    client = start(target_back).connect()
    client.send(b"".join(request(target=f"/{number}") for number in range(10)))
    assert [client.response().text for _ in range(10)] == [f"/{number}" for number in range(10)]


def test_a_slow_request_is_not_overtaken_by_those_behind_it(start: Start, gate: Gate) -> None:
    server = start(routes({"/0": held(gate)}, default=target_back), threads=2)
    client = server.connect()
    client.send(b"".join(request(target=f"/{number}") for number in range(10)))
    gate.wait_for()
    # The server is not stuck: only this connection waits.
    assert server.ask(request(target="/other")).text == "/other"
    client.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.socket.recv(1)
    client.socket.setblocking(True)
    gate.open()
    assert [client.response().text for _ in range(10)] == ["held", *(f"/{number}" for number in range(1, 10))]


def test_pipelined_bodies_of_all_kinds_are_kept_apart(start: Start) -> None:
    client = start(echo).connect()
    pieces = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    coded = request("POST", fields=[("Transfer-Encoding", "chunked")]) + pieces
    large = b"z" * 100_000
    client.send(
        b"".join([request("POST", body=b"one"), coded, request(), request("POST", body=large), coded])
    )
    assert [client.response().body for _ in range(5)] == [b"one", b"abcde", b"", large, b"abcde"]


def test_a_head_may_be_cut_anywhere(start: Start) -> None:
    wire = request("POST", "/a?b=c", [("X-One", "1"), ("Cookie", "a=b")], body=b"12345")
    client = start(report).connect()
    for cut in range(1, len(wire)):
        client.send(wire[:cut]).send(wire[cut:])
        seen = client.response("POST").json()
        assert (seen["environ"]["RAW_URI"], seen["environ"]["HTTP_X_ONE"], seen["body"]) == (
            "/a?b=c",
            "1",
            "12345",
        )


def test_a_request_may_come_byte_by_byte(start: Start) -> None:
    wire = request("POST", "/x", body=b"abc") + request("GET", "/y")
    client = start(report).connect().send_bytewise(wire)
    assert client.response("POST").json()["body"] == "abc"
    assert client.response().json()["environ"]["RAW_URI"] == "/y"


def test_a_client_that_has_finished_sending_gets_all_responses(start: Start) -> None:
    client = start(target_back).connect()
    client.send(request(target="/1") + request(target="/2")).finish_sending()
    assert [client.response().text for _ in range(2)] == ["/1", "/2"]
    assert client.closed()


def test_a_client_that_has_finished_sending_gets_a_slow_response(start: Start, gate: Gate) -> None:
    server = start(held(gate))
    client = server.connect().send(request()).finish_sending()
    gate.wait_for()
    # The front has seen the end by now: it has handled a later connection.
    gate.open()
    assert client.response().body == b"held"
    assert client.closed()


def test_empty_lines_before_a_request_are_passed_over(start: Start) -> None:
    client = start(hello).connect()
    for _ in range(2):
        assert client.ask(b"\r\n" + request(), method="GET").body == b"hello"


@pytest.mark.parametrize(
    ("settings", "wire", "status"),
    [
        ({"max_head_bytes": 1024}, request(fields=[("X", "y" * 1024)]), 431),
        ({"max_fields": 5}, request(fields=[("X", "y")] * 5), 431),
        ({}, request(target="/" + "x" * 20_000), 414),
        ({}, b"nonsense\r\n\r\n", 400),
    ],
)
def test_limits_of_a_head(start: Start, settings: dict[str, int], wire: bytes, status: int) -> None:
    server = start(hello, **settings)
    client = server.connect()
    response = client.ask(wire, method="GET")
    assert (response.status, response.get("Connection")) == (status, "close")
    assert client.closed()
    assert server.counter("requests_dispatched") == 0
    server.wait_for_counter("requests_refused", 1)
    # At the limits themselves.
    assert server.ask(request(fields=[("X", "y")] * 4)).status == 200


def test_a_refused_request_after_a_good_one_does_not_harm_it(start: Start) -> None:
    client = start(hello).connect().send(request() + b"GET / HTTP/9.9\r\n\r\n")
    assert client.response().body == b"hello"
    assert client.response().status == 505
    assert client.closed()


@pytest.mark.parametrize("first", ["HEAD", "GET"])
def test_a_refusal_has_its_body_whatever_came_before_it(start: Start, first: str) -> None:
    client = start(hello).connect()
    assert client.ask(request(first)).status == 200
    refused = client.send(b"\x00 / HTTP/1.1\r\n\r\n").response()
    assert refused.status == 400
    assert refused.length == len(refused.body) > 0
    assert client.closed()


def test_several_listeners_tell_their_requests_apart(serve: Serve) -> None:
    first, second = serve(report), serve(report, transport="unix")
    assert first.ask(request()).json()["environ"]["SERVER_NAME"] == "127.0.0.1"
    assert second.ask(request()).json()["environ"]["SERVER_NAME"] == "localhost"
