"""``environ["werkzeug.socket"]``: who gets it, what taking it means, and every way in which both sides may
want the connection at the same time."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from conftest import Start
from support.apps import PLAIN
from support.client import Client, request
from support.serving import Belongings, Serve, Server
from support.waiting import DEADLINE, Gate, eventually

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
ASK = request(fields=UPGRADE)
KEY = "werkzeug.socket"
HELLO = b"HTTP/1.1 101 Switching Protocols\r\n\r\nhello"

App = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Whether there is a socket."""
    start_response("200 OK", list(PLAIN))
    return [b"yes" if KEY in environ else b"no"]


def read_until_end(client: Client) -> bytes:
    """All that comes; a reset is an end, too."""
    pieces = []
    while True:
        try:
            piece = client.socket.recv(4096)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def read(client: Client, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.socket.recv(count - len(data))
        assert piece, f"only {data!r} came"
        data += piece
    return data


def reset(client: Client) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


# Who gets it


@pytest.mark.parametrize(
    ("data", "there"),
    [
        (ASK, "yes"),
        (request(fields=(("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket"))), "yes"),
        (request(fields=(*UPGRADE, ("Content-Length", "0"))), "yes"),
        (request(), "no"),
        (request(fields=(("Upgrade", "websocket"),)), "no"),
        (request(fields=(("Connection", "Upgrade"),)), "no"),
        (request(fields=(("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"))), "no"),
        (request(fields=(("Connection", "Upgrade, close"), ("Upgrade", "websocket"))), "no"),
        (request(fields=UPGRADE, version="1.0"), "no"),
        (request(fields=UPGRADE, body=b"x"), "no"),
        (request(method="POST", fields=UPGRADE), "no"),
    ],
)
def test_only_who_asks_for_a_websocket_is_offered_one(serve: Serve, data: bytes, there: str) -> None:
    server = serve(page)
    assert server.ask(data).text == there
    assert server.counter("sockets_offered") == (there == "yes")
    server.wait_until_idle()


def test_bytes_behind_the_head_are_a_request_and_no_websocket(serve: Serve) -> None:
    """Nobody has agreed to another protocol yet: what follows must not mean two things to two readers."""
    client = serve(page).connect()
    client.send(ASK + request(target="/second"))
    assert [client.response().text, client.response().text] == ["no", "no"]


def test_zero_threads_offer_nothing(serve: Serve) -> None:
    server = serve(page, websocket_threads=0)
    assert server.ask(ASK).text == "no"
    assert server.counter("sockets_offered") == 0


# Taking


def use(act: Callable[[Any], object]) -> tuple[App, list[Any]]:
    """An application that does something with the socket, says hello and waits for the client's end."""
    results: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        results.append(act(own))
        own.sendall(HELLO)
        while own.recv(4096):
            pass
        own.close()
        return []

    return app, results


def test_the_socket_is_the_clients(start: Start) -> None:
    app, _ = use(lambda own: None)
    server = start(app)
    client = server.connect().send(ASK)
    assert read(client, len(HELLO)) == HELLO
    server.wait_for_counter("closed_handed_over", 1)
    assert server.counter("connections_open") == 0
    server.wait_until_idle()
    client.finish_sending()
    assert read_until_end(client) == b""


@pytest.mark.parametrize(
    "act",
    [
        lambda own: own.send(b""),
        lambda own: own.sendall(b""),
        lambda own: own.sendmsg([b""]),
        lambda own: own.fileno(),
        lambda own: own.makefile("rb"),
        lambda own: own.dup().close(),
        lambda own: own.shutdown(socket.SHUT_RD),
    ],
)
def test_what_needs_the_socket_takes_it(serve: Serve, act: Callable[[Any], object]) -> None:
    taken = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        assert not own.is_taken
        act(own)
        taken.append(own.is_taken)
        own.sendall(HELLO)
        return []

    client = serve(app).connect().send(ASK)
    assert read_until_end(client) == HELLO
    assert taken == [True]


@pytest.mark.parametrize("call", ["recv", "recv_into", "recvfrom", "recvmsg"])
def test_reading_takes_it(serve: Serve, call: str) -> None:
    got: list[bytes] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        if call == "recv_into":
            place = bytearray(5)
            own.recv_into(place)
            got.append(bytes(place))
        else:
            result = getattr(own, call)(5)
            got.append(result if isinstance(result, bytes) else result[0])
        own.sendall(HELLO)
        return []

    server = serve(app)
    client = server.connect().send(ASK)
    server.wait_for_counter("requests_dispatched", 1)
    client.send(b"first")
    assert read_until_end(client) == HELLO
    assert got == [b"first"]


def test_what_only_tells_something_or_sets_an_option_does_not_take_it(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own: Any = environ[KEY]
        own.settimeout(None)
        own.setblocking(True)
        own.settimeout(3.5)
        assert (own.gettimeout(), own.getblocking()) == (3.5, True)
        with pytest.raises(ValueError, match="out of range"):
            own.settimeout(-1)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert own.getpeername()
        assert own.getsockname()
        assert "offered" in repr(own)
        assert not own.is_taken
        assert issubclass(type(own), socket.socket)
        own.settimeout(None)
        start_response("404 Not Found", list(PLAIN))
        return [b"not here"]

    server = serve(app)
    client = server.connect()
    # The connection goes on, and the front never waits for a client that says nothing.
    for _ in range(3):
        response = client.ask(ASK)
        assert (response.status, response.text) == (404, "not here")
    other = server.connect()
    assert other.ask(ASK).status == 404
    assert server.counter("closed_handed_over") == 0


def test_a_timeout_that_was_set_before_holds_after(serve: Serve) -> None:
    seen: list[object] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        own.settimeout(0.01)
        try:
            own.recv(1)
        except TimeoutError as error:
            seen.append(error)
        own.settimeout(None)
        own.sendall(HELLO)
        seen.append(own.recv(2))
        return []

    client = serve(app).connect().send(ASK)
    assert read(client, len(HELLO)) == HELLO
    client.send(b"ok")
    assert read_until_end(client) == b""
    assert isinstance(seen[0], TimeoutError)
    assert seen[1] == b"ok"


def test_copies_speak_to_the_same_client(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        copy = own.dup()
        own.close()
        copy.sendall(HELLO)
        with copy, copy.makefile("rb") as lines:
            copy.sendall(lines.readline())
        return []

    server = serve(app)
    client = server.connect().send(ASK)
    assert read(client, len(HELLO)) == HELLO
    client.send(b"line\n")
    assert read_until_end(client) == b"line\n"


def test_a_detached_descriptor_is_the_applications(serve: Serve) -> None:
    kept: list[socket.socket] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(socket.socket(fileno=environ[KEY].detach()))
        return []

    server = serve(app)
    client = server.connect().send(ASK)
    server.wait_for_counter("closed_handed_over", 1)
    eventually(lambda: bool(kept), "detached")
    with kept[0] as own:
        own.sendall(HELLO)
        assert read(client, len(HELLO)) == HELLO


def test_another_thread_of_the_application_may_take_it(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        helper = threading.Thread(target=environ[KEY].sendall, args=(HELLO,))
        helper.start()
        helper.join(DEADLINE)
        return []

    server = serve(app, threads=1)
    for _ in range(20):
        client = server.connect().send(ASK)
        assert read_until_end(client) == HELLO
    server.wait_until_idle()


# Whose it is when both want it


def test_nothing_is_taken_after_the_response_has_begun(serve: Serve) -> None:
    errors: list[Exception] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", list(PLAIN))
        write(b"an answer")
        with pytest.raises(ConnectionError, match="begun its response") as caught:
            environ[KEY].sendall(HELLO)
        errors.append(caught.value)
        return []

    client = serve(app).connect()
    assert [client.ask(ASK).text for _ in range(2)] == ["an answer"] * 2
    assert len(errors) == 2


def test_nothing_is_taken_when_the_request_is_over(serve: Serve) -> None:
    kept: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(environ[KEY])
        return page(environ, start_response)

    server = serve(app)
    client = server.connect()
    for number in range(3):
        assert client.ask(ASK).text == "yes"
        eventually(lambda: kept[-1].descriptor() == -1, "its descriptor is closed")
        for own in kept:
            with pytest.raises(ConnectionError, match="over"):
                own.sendall(HELLO)
        assert len(kept) == number + 1


def test_nothing_is_taken_after_504(serve: Serve) -> None:
    errors: list[Exception] = []
    ended = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ[KEY]
        try:
            while True:
                threading.Event().wait(0.01)
        except BaseException:
            # The front has answered before it had this thread interrupted.
            try:
                own.sendall(HELLO)
            except ConnectionError as error:
                errors.append(error)
            ended.set()
            raise

    server = serve(app, request_timeout=0.1)
    assert server.ask(ASK).status == 504
    assert ended.wait(DEADLINE)
    assert len(errors) == 1


def test_what_was_taken_has_no_timeout(serve: Serve) -> None:
    gone: list[bool] = []
    answered = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if KEY not in environ:
            # Holds until the time is over: proof that it was for the one before it, too. Not for longer, or
            # the interruption would be logged while another test looks at the log.
            answered.wait(DEADLINE)
        own = environ[KEY]
        own.sendall(HELLO)
        while own.recv(100):
            gone.append(environ["pelton.client_gone"]())
            own.sendall(b"still here")
        gone.append(environ["pelton.client_gone"]())
        return []

    server = serve(app, request_timeout=0.5, threads=2)
    client = server.connect().send(ASK)
    assert read(client, len(HELLO)) == HELLO
    assert server.ask(request()).status == 504
    answered.set()
    client.send(b"?")
    assert read(client, 10) == b"still here"
    client.finish_sending()
    assert read_until_end(client) == b""
    assert gone == [False, True]


def test_a_client_that_resets_while_its_socket_is_offered(
    serve: Serve, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    outcome: list[object] = []
    ended = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        outcome.append(environ["pelton.client_gone"]())
        try:
            environ[KEY].sendall(HELLO)
        except ConnectionError as error:
            outcome.append(error)
            raise
        finally:
            ended.set()
        return []

    server = serve(app)
    # What a kind says of itself at the start.
    caplog.clear()
    client = server.connect().send(ASK)
    gate.wait_for()
    reset(client)
    eventually(lambda: server.counter("connections_open") == 0, "the front has noticed")
    gate.open()
    assert ended.wait(DEADLINE)
    assert outcome[0] is True
    assert isinstance(outcome[1], ConnectionError)
    server.wait_until_idle()
    assert server.counter("closed_handed_over") == 0
    # It is nobody's fault.
    assert caplog.records == []


def test_a_client_that_closes_while_its_socket_is_offered(serve: Serve, gate: Gate) -> None:
    """It may be half closed on purpose, so the application gets it, and reads the end."""
    read_there: list[bytes] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        eventually(environ["pelton.client_gone"], "the front has seen the end")
        own = environ[KEY]
        read_there.extend((own.recv(100), own.recv(100)))
        own.sendall(HELLO)
        return []

    server = serve(app)
    client = server.connect().send(ASK)
    gate.wait_for()
    client.send(b"last words").finish_sending()
    gate.open()
    assert read_until_end(client) == HELLO
    assert read_there == [b"last words", b""]


def test_bytes_sent_while_it_is_offered_are_the_applications_or_the_next_request(
    serve: Serve, gate: Gate
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        if environ["PATH_INFO"] == "/take":
            environ[KEY].sendall(HELLO + environ[KEY].recv(100))
            return []
        return page(environ, start_response)

    server = serve(app, threads=2)
    taking = server.connect().send(request(target="/take", fields=UPGRADE))
    answering = server.connect().send(request(target="/answer", fields=UPGRADE))
    gate.wait_for(2)
    taking.send(b"early")
    answering.send(request(target="/next"))
    gate.open()
    assert read_until_end(taking) == HELLO + b"early"
    assert [answering.response().text, answering.response().text] == ["yes", "no"]


def test_the_end_of_the_server_while_it_is_offered(serve: Serve, gate: Gate) -> None:
    outcome: list[object] = []
    ended = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        try:
            environ[KEY].sendall(HELLO)
        except ConnectionError as error:
            outcome.append(error)
        ended.set()
        return []

    server = serve(app)
    client = server.connect().send(ASK)
    gate.wait_for()
    stopping = threading.Thread(target=server.running.stop)
    stopping.start()
    # The worker has a duplicate: the client is to see the end all the same.
    assert read_until_end(client) == b""
    gate.open()
    assert ended.wait(DEADLINE)
    stopping.join(DEADLINE)
    assert len(outcome) == 1


# What the application says afterwards


class LoudError(Exception):
    pass


def late_response(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "3")])(b"written")
    return [b"a", b"body", b"that is too long"]


def late_generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    yield b""
    yield b"piece"
    yield b"another"


def refused_connection(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise ConnectionError


def stopped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise StopIteration


def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return []


@pytest.mark.parametrize("afterwards", [late_response, late_generator, refused_connection, stopped, nothing])
def test_what_comes_after_it_is_thrown_away_quietly(
    serve: Serve, afterwards: App, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY].sendall(HELLO)
        return afterwards(environ, start_response)

    caplog.set_level(logging.WARNING, logger="pelton")
    server = serve(app, threads=1)
    # What a kind says of itself at the start.
    caplog.clear()
    for _ in range(3):
        client = server.connect().send(ASK)
        assert read_until_end(client) == HELLO
    server.wait_until_idle()
    assert caplog.records == []


def test_a_fault_after_it_is_a_fault(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY].sendall(HELLO)
        raise LoudError("not so quiet")

    client = serve(app).connect().send(ASK)
    assert read_until_end(client) == HELLO
    eventually(lambda: "not so quiet" in caplog.text, lambda: caplog.text)


# Threads


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_pages_are_answered_beside_any_number_of_them(
    serve: Serve, threads: int, belongings: Belongings
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if KEY not in environ:
            return page(environ, start_response)
        own = environ[KEY]
        own.sendall(HELLO)
        own.recv(1)
        return []

    server = serve(app, threads=threads)
    assert server.ask(request()).text == "no"
    before = belongings.now()
    clients = []
    for number in range(30):
        client = server.connect().send(ASK)
        assert read(client, len(HELLO)) == HELLO
        clients.append(client)
        assert server.ask(request()).text == "no", number
    # As many pages as ever run at the same time.
    for client in clients:
        client.socket.close()
    belongings.wait_for(before)


def test_as_many_pages_as_threads_run_at_once_beside_them(serve: Serve) -> None:
    together = threading.Barrier(3)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if KEY not in environ:
            together.wait(DEADLINE)
            return page(environ, start_response)
        environ[KEY].sendall(HELLO)
        environ[KEY].recv(1)
        return []

    server = serve(app, threads=3)
    for _ in range(10):
        assert read(server.connect().send(ASK), len(HELLO)) == HELLO
    for _ in range(3):
        pages = [server.connect().send(request()) for _ in range(3)]
        assert [client.response().text for client in pages] == ["no"] * 3


def test_the_limit_and_its_response(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/page":
            return page(environ, start_response)
        environ[KEY].sendall(HELLO)
        environ[KEY].recv(1)
        return []

    server = serve(app, websocket_threads=2)
    clients = [server.connect().send(ASK) for _ in range(2)]
    assert [read(client, len(HELLO)) for client in clients] == [HELLO, HELLO]
    late = server.connect()
    for _ in range(2):
        response = late.ask(ASK)
        assert response.status == 503
        assert response.get("Retry-After") == "10"
    assert late.ask(request(target="/page")).text == "no"
    lines = [record.getMessage() for record in caplog.records if "WebSockets" in record.getMessage()]
    assert len(lines) == 1, lines
    assert re.search(r"has 2 WebSockets, as many as it may \(--websocket-threads\): 1 more got 503", lines[0])
    clients[0].socket.close()

    def fits() -> bool:
        with Client(server.address) as client:
            client.send(ASK)
            return read(client, 12) == HELLO[:12]

    eventually(fits, "there is room again")


def test_an_offer_that_is_not_taken_gives_its_place_back(serve: Serve) -> None:
    server = serve(page, websocket_threads=1)
    client = server.connect()
    assert [client.ask(ASK).text for _ in range(20)] == ["yes"] * 20


def test_the_end_of_the_server_ends_them(serve: Serve) -> None:
    ended: list[bytes] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY].sendall(HELLO)
        with environ[KEY].dup() if environ["PATH_INFO"] == "/copy" else environ[KEY] as own:
            ended.append(own.recv(1))
        return []

    server = serve(app)
    clients = [
        server.connect().send(request(target=target, fields=UPGRADE)) for target in ("/", "/copy", "/", "/")
    ]
    assert [read(client, len(HELLO)) for client in clients] == [HELLO] * 4
    server.running.stop()
    assert ended == [b""] * 4
    assert [read_until_end(client) for client in clients] == [b""] * 4


def test_a_client_that_does_not_close_its_side_is_not_waited_for(serve: Serve) -> None:
    app, _ = use(lambda own: own.shutdown(socket.SHUT_RD))
    server = serve(app)
    client = server.connect().send(ASK)
    # The application is done at once; the client says nothing and keeps its side open.
    assert read_until_end(client) == HELLO
    server.wait_until_idle()


def test_multithread_is_true_for_them(serve: Serve) -> None:
    seen: list[bool] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["wsgi.multithread"])
        return page(environ, start_response)

    server: Server = serve(app, threads=1)
    client = server.connect()
    client.ask(ASK)
    client.ask(request())
    assert seen == [True, False]


def test_the_access_line_says_101(serve: Serve, tmp_path: Any) -> None:
    log = tmp_path / "access.log"
    app, _ = use(lambda own: None)
    server = serve(app, access_log=str(log))
    client = server.connect().send(request(target="/ws", fields=UPGRADE))
    assert read(client, len(HELLO)) == HELLO
    eventually(lambda: '"GET /ws HTTP/1.1" 101 0' in log.read_text(), log.read_text)


def test_however_clients_go_each_connection_is_somebodys_until_its_end(
    serve: Serve, belongings: Belongings
) -> None:
    """Clients that reset, close or stay, and an application that takes or answers at just that moment."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/take":
                with contextlib.suppress(OSError):
                    environ[KEY].sendall(HELLO)
                    while environ[KEY].recv(100):
                        pass
                return []
            case "/fail":
                raise ConnectionError
        return page(environ, start_response)

    server = serve(app, threads=2)
    assert server.ask(request()).text == "no"
    before = belongings.now()
    targets = ("/take", "/answer", "/take", "/fail")
    for number in range(400):
        client = Client(server.address).send(request(target=targets[number % 4], fields=UPGRADE))
        match number % 3:
            case 0:
                reset(client)
            case 1:
                client.socket.close()
            case _:
                client.socket.recv(10)
                client.socket.close()
    server.wait_until_idle()
    belongings.wait_for(before)
    # A reset may overtake its request.
    assert server.counter("closed_handed_over") + server.counter("responses_finished") >= 133
    assert server.counter("closed_handed_over") <= 200
    assert server.counter("sockets_offered") <= 400
    assert server.ask(request()).text == "no"
