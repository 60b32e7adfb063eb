"""Answers: framing, streaming, start_response and its misuse, failures, close()."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN, Pieces, answer, closing, failing, hello, pattern, routes, streaming
from support.client import CutOffError, request
from support.waiting import Gate, Tally

GET = request()
GET_10 = request(version="1.0")
ERRORS = "pelton.request"


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == ERRORS]


# Framing


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 100_000, 262_144, 1_000_000])
def test_one_piece_in_a_list_has_a_content_length(start: Start, size: int) -> None:
    body = pattern(size)
    client = start(answer(body)).connect()
    for wire in (GET, GET):
        got = client.ask(wire)
        assert (got.framing, got.body) == ("length", body)


def test_several_pieces_in_a_list_have_a_content_length(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return [b"a", b"", b"b" * 300_000, b"c"]

    got = start(app).ask(GET)
    assert (got.framing, got.length, got.body) == ("length", 300_002, b"a" + b"b" * 300_000 + b"c")


def test_an_empty_list_is_an_empty_body(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return []

    client = start(app).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.framing, got.length) == ("length", 0)


def test_a_generator_is_chunked_in_http_1_1(start: Start) -> None:
    client = start(streaming(b"one", b"", b"two")).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.framing, got.body, got.keeps_connection) == ("chunked", b"onetwo", True)
        assert b"" not in got.chunks


def test_a_generator_ends_with_the_connection_in_http_1_0(start: Start) -> None:
    client = start(streaming(b"one", b"two")).connect()
    got = client.ask(request(version="1.0", fields=[("Connection", "keep-alive")]))
    assert (got.framing, got.body, got.get("Connection")) == ("close", b"onetwo", "close")
    assert client.closed()


def test_a_generator_with_a_content_length_keeps_it(start: Start) -> None:
    app = streaming(b"one", b"two", fields=[("Content-Length", "6")])
    client = start(app).connect()
    assert client.ask(GET).framing == "length"
    got = client.ask(request(version="1.0", fields=[("Connection", "keep-alive")]))
    assert (got.framing, got.body, got.get("Connection")) == ("length", b"onetwo", "keep-alive")


def test_a_generator_without_a_piece(start: Start) -> None:
    client = start(streaming()).connect()
    for _ in range(2):
        assert client.ask(GET).body == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", [b"", b"not allowed"])
@pytest.mark.parametrize("made", [answer, lambda body, status: with_status(streaming(body), status)])
def test_statuses_without_a_body(
    start: Start, status: str, body: bytes, made: Callable[[bytes, str], WSGIApplication]
) -> None:
    client = start(routes({"/": made(body, status)})).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.status, got.framing, got.body) == (int(status[:3]), "none", b"")
    # Had there been a body, it would stand before this response.
    assert client.ask(request(target="/other")).body == b"hello"


def with_status(app: WSGIApplication, status: str) -> WSGIApplication:
    def changed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(given: str, *others: Any) -> Any:
            return start_response(status, *others)

        return app(environ, start)

    return changed


@pytest.mark.parametrize("app", [hello, streaming(b"one", b"two"), answer(b"x" * 1_000_000)])
def test_head_never_has_a_body(start: Start, app: WSGIApplication) -> None:
    client = start(app).connect()
    for _ in range(2):
        assert client.ask(request("HEAD")).body == b""
    assert client.ask(GET).body != b""


def test_head_does_not_wait_for_an_endless_body(start: Start) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x"

    closes = Tally()
    server = start(closing(endless, closes), threads=1)
    client = server.connect()
    assert client.ask(request("HEAD")).status == 200
    closes.wait_for(1)
    assert client.ask(request("HEAD")).status == 200
    closes.wait_for(2)


# Fields


def test_fields_are_sent_in_order_and_as_they_are(start: Start) -> None:
    given = [("X-B", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "\xfc"), ("x-empty", "")]
    got = start(answer(fields=given)).ask(GET)
    assert [
        pair for pair in got.fields if pair[0].lower() in ("x-b", "set-cookie", "x-latin", "x-empty")
    ] == given


@pytest.mark.parametrize("reason", ["OK", "Very Good Indeed", "", "sch\xf6n"])
def test_the_reason_phrase_is_the_applications(start: Start, reason: str) -> None:
    got = start(answer(status=f"299 {reason}")).ask(GET)
    assert (got.status, got.reason) == (299, reason)


def test_date_and_server_of_the_application_stay_alone(start: Start) -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    got = start(answer(fields=[("date", date), ("SERVER", "mine")])).ask(GET)
    assert (got.get("Date"), got.get("Server")) == (date, "mine")


def test_hop_by_hop_fields_of_the_application_are_left_out(start: Start) -> None:
    given = [
        ("Transfer-Encoding", "chunked"),
        ("Keep-Alive", "timeout=5"),
        ("Connection", "keep-alive, x"),
        ("Upgrade", "x"),
        ("Trailer", "x"),
        ("TE", "x"),
    ]
    client = start(answer(fields=given)).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.body, got.framing) == (b"hello", "length")
        assert not {name.lower() for name, _ in got.fields} & {name.lower() for name, _ in given}


# Streaming


def test_the_first_piece_arrives_while_the_application_still_works(start: Start, gate: Gate) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b"first"
        gate.hold()
        yield b"second"

    client = start(app).connect().send(GET)
    assert client.head().framing == "chunked"
    assert client.piece() == b"first"
    gate.wait_for()
    gate.open()
    assert (client.piece(), client.piece()) == (b"second", b"")


def test_no_head_is_sent_before_the_first_piece(start: Start, gate: Gate) -> None:
    """PEP 3333: the status may still be replaced until there is a body."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b""
        gate.hold()
        try:
            raise ValueError("thought better of it")
        except ValueError:
            start_response("400 Bad Request", list(PLAIN), sys.exc_info())
        yield b"no"

    client = start(app).connect().send(GET)
    gate.wait_for()
    gate.open()
    got = client.response()
    assert (got.status, got.body) == (400, b"no")


def test_write_sends_at_once(start: Start, gate: Gate) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", list(PLAIN))
        write(b"written")
        gate.hold()
        write(b", again")
        return [b", returned"]

    server = start(app)
    client = server.connect().send(GET)
    assert client.head().status == 200
    assert client.piece() == b"written"
    gate.wait_for()
    gate.open()
    rest = b""
    while piece := client.piece():
        rest += piece
    assert rest == b", again, returned"
    assert server.ask(GET_10).body == b"written, again, returned"


def test_write_with_a_content_length(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [*PLAIN, ("Content-Length", "400004")])
        write(b"ab")
        write(b"x" * 400_000)
        return [b"cd"]

    client = start(app).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.framing, got.body) == ("length", b"ab" + b"x" * 400_000 + b"cd")


def test_a_large_response_to_a_slow_reader_does_not_hold_the_others(start: Start) -> None:
    size, piece = 20 * 2**20, 65_536
    data = pattern(size)

    def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", str(size))])
        for at in range(0, size, piece):
            yield data[at : at + piece]

    server = start(routes({"/large": large}), threads=2)
    slow = server.connect(receive_buffer=8192).send(request(target="/large"))
    head = slow.head()
    received = [slow.piece()]
    other = server.connect()
    while sum(map(len, received)) < head.length:
        assert other.ask(GET).body == b"hello"
        for _ in range(20):
            received.append(slow.piece())
    assert b"".join(received) == data
    assert other.ask(GET).body == b"hello"


def test_a_slow_reader_of_a_page_does_not_hold_the_only_thread(start: Start) -> None:
    """What fits the response buffer frees its thread at once."""
    body = pattern(900_000)
    server = start(routes({"/page": answer(body)}), threads=1)
    slow = server.connect(receive_buffer=4096).send(request(target="/page")).wait_readable()
    assert server.ask(GET).body == b"hello"
    assert slow.response().body == body


# start_response


def test_exc_info_replaces_a_head_that_has_not_left(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError("x")
        except ValueError:
            start_response("503 Busy", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    got = start(app).ask(GET)
    assert (got.status, got.reason, got.body) == (503, "Busy", b"sorry")
    assert (got.get("X-First"), got.get("X-Second")) == (None, "2")


def test_exc_info_is_raised_again_when_the_head_has_left(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b"begun"
        try:
            raise ValueError("the original")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    server = start(app)
    with pytest.raises(CutOffError) as cut:
        server.ask(GET)
    assert cut.value.received == b"begun"
    (record,) = records(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert str(record.exc_info[1]) == "the original"
    assert server.ask(request("HEAD")).status == 200


def never_started(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b"x"]


def never_started_empty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return []


def started_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(PLAIN))
    start_response("200 OK", list(PLAIN))
    return [b"x"]


def nothing_returned(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
    start_response("200 OK", list(PLAIN))


def started_with(*arguments: Any) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        start_response(*arguments)
        return [b"x"]

    return app


def returned(result: Any) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        start_response("200 OK", list(PLAIN))
        return result

    return app


MISUSE: dict[str, WSGIApplication] = {
    "never started": never_started,
    "never started, no body": never_started_empty,
    "started twice": started_twice,
    "nothing returned": nothing_returned,
    "text returned": returned("text"),
    "text in a list": returned(["text"]),
    "number in a list": returned([1]),
    "number returned": returned(5),
    "bytearray in a list": returned([bytearray(b"x")]),
    "no argument": started_with(),
    "status of bytes": started_with(b"200 OK", []),
    "status as number": started_with(200, []),
    "status without reason": started_with("200", []),
    "status without number": started_with("OK", []),
    "status of four digits": started_with("2000 OK", []),
    "interim status": started_with("100 Continue", []),
    "headers as tuple": started_with("200 OK", ()),
    "headers as dict": started_with("200 OK", {}),
    "header as list": started_with("200 OK", [["X", "y"]]),
    "header of three": started_with("200 OK", [("X", "y", "z")]),
    "value of bytes": started_with("200 OK", [("X", b"y")]),
    "value as number": started_with("200 OK", [("Content-Length", 5)]),
    "value beyond latin-1": started_with("200 OK", [("X", "\u20ac")]),
    "name with a space": started_with("200 OK", [("X Y", "y")]),
    "name with a colon": started_with("200 OK", [("X:", "y")]),
    "empty name": started_with("200 OK", [("", "y")]),
    "length no number": started_with("200 OK", [("Content-Length", "five")]),
    "negative length": started_with("200 OK", [("Content-Length", "-1")]),
    "two lengths": started_with("200 OK", [("Content-Length", "1"), ("content-length", "2")]),
    "head too large": started_with("200 OK", [("X", "y" * 300_000)]),
}


@pytest.mark.parametrize("app", MISUSE.values(), ids=MISUSE.keys())
def test_misuse_is_answered_500_and_logged(
    start: Start, app: WSGIApplication, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(routes({"/good": hello}, default=app)).connect()
    got = client.ask(GET)
    assert (got.status, got.body) == (500, b"Internal Server Error")
    (record,) = records(caplog)
    assert record.levelno >= logging.WARNING
    # It is the application that is wrong, not the connection.
    assert client.ask(request(target="/good")).body == b"hello"


@pytest.mark.parametrize(
    "evil", ["x\r\nSet-Cookie: a=b", "x\nX: y", "x\ry", "x\r\n\r\n<html>", "x\x00y", "\x1b[0m", "x\x7f"]
)
@pytest.mark.parametrize("place", ["value", "name", "status"])
def test_a_response_cannot_be_split(
    start: Start, evil: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"value": [("X", evil)], "name": [(evil, "x")], "status": []}[place]
    app = started_with(f"200 {evil}" if place == "status" else "200 OK", fields)
    client = start(routes({"/": app})).connect()
    got = client.ask(GET)
    assert (got.status, got.body) == (500, b"Internal Server Error")
    assert got.get("Set-Cookie") is None
    (record,) = records(caplog)
    assert "\n" not in record.getMessage()
    assert client.ask(request(target="/other")).body == b"hello"


def test_a_caught_misuse_is_forgiven(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            start_response("200 OK", [("X", "a\nb")])
        except ValueError:
            start_response("200 OK", [("X", "ab")])
        return [b"fine"]

    got = start(app).ask(GET)
    assert (got.body, got.get("X")) == (b"fine", "ab")


def test_start_response_is_over_with_its_request(start: Start) -> None:
    kept: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(start_response)
        kept.append(start_response("200 OK", list(PLAIN)))
        return [b"x"]

    client = start(routes({"/keep": app}), threads=1).connect()
    assert client.ask(request(target="/keep")).body == b"x"
    assert client.ask(GET).body == b"hello"
    with pytest.raises(RuntimeError):
        kept[0]("200 OK", [])
    with pytest.raises(RuntimeError):
        kept[1](b"x")
    assert client.ask(GET).body == b"hello"


# Content-Length against what comes


@pytest.mark.parametrize("way", [lambda body: [body], lambda body: iter([body[:2], body[2:]])])
def test_a_body_longer_than_announced_is_cut_to_it(
    start: Start, way: Callable[[bytes], Iterable[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
        return way(b"12345678")

    server = start(routes({"/long": app}))
    client = server.connect()
    got = client.ask(request(target="/long"))
    assert (got.framing, got.body) == ("length", b"1234")
    assert client.ask(GET).body == b"hello"
    client.close()
    server.wait_until_idle()
    (record,) = records(caplog)
    assert "longer than its Content-Length" in record.getMessage()


@pytest.mark.parametrize("way", [lambda body: [body], lambda body: iter([body[:2], body[2:]])])
@pytest.mark.parametrize("size", [8, 2_000_000])
def test_a_body_shorter_than_announced_cuts_the_connection(
    start: Start, way: Callable[[bytes], Iterable[bytes]], size: int, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", str(size + 1))])
        return way(b"x" * size)

    server = start(routes({"/short": app}))
    with pytest.raises(CutOffError) as cut:
        server.ask(request(target="/short"))
    # Of what is held for a slow reader nothing is sent any more.
    assert (b"x" * size).startswith(cut.value.received)
    (record,) = records(caplog)
    assert "Content-Length" in record.getMessage()
    assert server.ask(GET).body == b"hello"
    server.wait_for_counter("responses_broken", 1)


# Failures


def test_a_failure_is_answered_500_and_the_log_has_the_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(routes({"/fail": failing})).connect()
    for number in range(1, 4):
        got = client.ask(request(target="/fail?secret=1"))
        assert (got.status, got.body, got.keeps_connection) == (500, b"Internal Server Error", True)
        assert client.ask(GET).body == b"hello"
        assert len(records(caplog)) == number
    assert "intended failure" in caplog.text
    assert "in failing" in caplog.text
    assert "GET /fail" in caplog.text
    assert "secret" not in caplog.text


def test_a_failure_before_the_first_piece_is_answered_500(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("X-Lost", "1")])
        if environ["PATH_INFO"] == "/":
            raise RuntimeError("too early")
        yield b"never"

    got = start(app).ask(GET)
    assert (got.status, got.get("X-Lost")) == (500, None)


@pytest.mark.parametrize("wire", [GET, GET_10])
def test_a_failure_in_the_middle_cuts_the_connection(
    start: Start, wire: bytes, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(PLAIN))
        yield b"x" * 100_000
        raise RuntimeError("too late")

    server = start(app)
    if wire == GET_10 and transport == "unix":
        pytest.skip("a unix socket has no reset to tell a broken end from a good one")
    with pytest.raises((CutOffError, ConnectionResetError)):
        server.ask(wire)
    assert [record.exc_info is not None for record in records(caplog)] == [True]
    server.wait_for_counter("responses_broken", 1)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_even_an_exit_ends_only_its_request(
    start: Start, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    client = start(routes({"/exit": app}), threads=1).connect()
    for _ in range(2):
        assert client.ask(request(target="/exit")).status == 500
        assert client.ask(GET).body == b"hello"
    assert len(records(caplog)) == 2


# close()


def test_close_is_called_once_in_the_usual_case(start: Start) -> None:
    closes = Tally()
    server = start(closing(lambda: [b"a", b"b"], closes))
    client = server.connect()
    for number in range(1, 4):
        assert client.ask(GET).body == b"ab"
        closes.wait_for(number)
    client.close()
    server.wait_until_idle()
    assert closes.count == 3


def test_close_is_called_once_for_head(start: Start) -> None:
    closes = Tally()
    server = start(closing(lambda: [b"a", b"b"], closes))
    assert server.ask(request("HEAD")).body == b""
    server.wait_until_idle()
    assert closes.count == 1


def test_close_is_called_once_when_iterating_fails(start: Start) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("intended")

    closes = Tally()
    server = start(closing(breaking, closes))
    with pytest.raises(CutOffError):
        server.ask(GET)
    server.wait_until_idle()
    assert closes.count == 1


def test_close_is_called_once_when_the_body_is_wrong(start: Start) -> None:
    closes = Tally()
    pieces: Any = ["text"]
    server = start(closing(lambda: pieces, closes))
    assert server.ask(GET).status == 500
    server.wait_until_idle()
    assert closes.count == 1


def test_close_is_called_once_when_start_response_was_not(start: Start) -> None:
    closes = Tally()
    server = start(lambda environ, start_response: Pieces([b"x"], closes))
    assert server.ask(GET).status == 500
    server.wait_until_idle()
    assert closes.count == 1


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_close_is_called_once_when_the_client_goes(start: Start, leave: str) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    closes = Tally()
    server = start(closing(endless, closes), threads=1)
    for number in range(1, 4):
        client = server.connect().send(GET)
        client.head()
        assert client.piece()
        getattr(client, leave)()
        closes.wait_for(number)
    server.wait_until_idle()
    assert closes.count == 3
    server.wait_for_counter("clients_gone", 3)


def test_a_failure_in_close_comes_after_the_response(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Pieces):
        def close(self) -> None:
            raise RuntimeError("in close")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return Failing([b"a", b"b"], Tally())

    server = start(app)
    client = server.connect()
    for _ in range(2):
        assert client.ask(GET).body == b"ab"
    client.close()
    server.wait_until_idle()
    assert len(records(caplog)) == 2
    assert "in close" in caplog.text


def test_the_response_is_whole_before_close_is_called(start: Start, gate: Gate) -> None:
    class Holding(Pieces):
        def close(self) -> None:
            gate.hold()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return Holding([b"a", b"b"], Tally())

    client = start(app).connect()
    assert client.ask(GET).body == b"ab"
    gate.wait_for()
