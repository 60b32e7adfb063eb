"""flask-sock and Flask-SocketIO, unchanged, with real clients: in one process and in several."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import requests
import socketio as client_library
from websocket import WebSocket, WebSocketBadStatusException, WebSocketException, create_connection

from conftest import StartLive
from support.certificates import context_for, make_files
from support.client import Client, request
from support.live import Live
from support.processes import children_of
from support.serving import Serve
from support.waiting import DEADLINE, eventually

APP = "support.websocket_app:app"
CHAT = "support.websocket_app:chat"
HERE = str(Path(__file__).parents[1])
WAYS = [
    pytest.param(("--workers", "0"), id="one-process"),
    pytest.param(("--workers", "2"), id="two-workers"),
]


def start(live: StartLive, *arguments: str, application: str = APP) -> Live:
    server: Live = live(application, *arguments, environment={"PYTHONPATH": HERE})
    if "--workers" in arguments and (count := int(arguments[arguments.index("--workers") + 1])):
        server.ready_workers(count)
    return server


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def open_socket(server: Live, path: str, stack: contextlib.ExitStack) -> WebSocket:
    address = server.addresses[0].replace("http://", "ws://")
    made: WebSocket = create_connection(address + path, timeout=DEADLINE)
    stack.callback(made.shutdown)
    return made


def complaints(server: Live) -> list[str]:
    """What the log says of faults, but for the advice about Socket.IO's long polling."""
    found = [one.string for one in server.log.all(".*(ERROR|WARNING|Traceback).*")]
    return [line for line in found if "--affinity session" not in line]


def is_ended(one: WebSocket) -> bool:
    """Whether the server has ended it; waits for that."""
    try:
        while one.recv() != "":
            pass
    except (WebSocketException, ConnectionError):
        pass
    return True


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


# flask-sock


@pytest.mark.parametrize("way", WAYS)
def test_echo(live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack) -> None:
    server = start(live, *way)
    one = open_socket(server, "/echo", stack)
    assert int(one.recv()) > 0
    for data in ("hello", "ü" * 100, "x" * 200_000):
        one.send(data)
        assert one.recv() == data
    one.send_binary(b"\0\xff")
    assert one.recv() == b"\0\xff"
    one.send("bye")
    assert one.recv() == ""
    assert complaints(server) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_idle_ones_do_not_starve_the_pages(
    live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack
) -> None:
    server = start(live, *way, "--threads", "2")
    sockets = [open_socket(server, "/echo", stack) for _ in range(100)]
    pids = [int(one.recv()) for one in sockets]
    assert len(set(pids)) == (2 if way[1] == "2" else 1)
    if way[1] == "2":
        # They are spread evenly: each stays where it is for as long as it lives.
        assert abs(pids.count(pids[0]) - 50) <= 5
    with requests.Session() as session:
        for _ in range(50):
            response = session.get(server.addresses[0], timeout=DEADLINE)
            assert int(response.text) in pids
    for number, one in enumerate(sockets):
        one.send(str(number))
    assert [one.recv() for one in sockets] == [str(number) for number in range(100)]
    busiest = max(set(pids), key=pids.count)
    assert threads_of(busiest) > 50
    for one in sockets:
        one.send("bye")
    for one in sockets:
        assert one.recv() == ""
        one.shutdown()
    eventually(lambda: threads_of(busiest) < 20, lambda: f"{threads_of(busiest)} threads are left")
    assert complaints(server) == []


def test_one_thread_is_enough_for_pages_beside_them(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live, "--threads", "1")
    for _ in range(5):
        assert open_socket(server, "/echo", stack).recv()
        assert requests.get(server.addresses[0], timeout=DEADLINE).status_code == 200


@pytest.mark.parametrize("way", WAYS)
def test_more_than_the_limit_get_503(
    live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack
) -> None:
    server = start(live, *way, "--websocket-threads", "1")
    fits = 1 if way[1] == "0" else 2
    for _ in range(fits):
        assert open_socket(server, "/echo", stack).recv()
    for _ in range(3):
        with pytest.raises(WebSocketBadStatusException) as caught:
            open_socket(server, "/echo", stack)
        assert caught.value.status_code == 503
    assert requests.get(server.addresses[0], timeout=DEADLINE).status_code == 200
    server.log.wait_for("has 1 WebSockets, as many as it may")


def test_a_response_instead_of_a_websocket(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live)
    for path, status in (("/private", 401), ("/nowhere", 404), ("/", 400)):
        with pytest.raises(WebSocketBadStatusException) as caught:
            open_socket(server, path, stack)
        assert caught.value.status_code == status
    assert complaints(server) == []


def test_a_close_by_the_view_arrives_with_its_reason(live: StartLive, stack: contextlib.ExitStack) -> None:
    one = open_socket(start(live), "/closes", stack)
    code, data = one.recv_data_frame()
    assert (code, data.data) == (8, b"\x03\xe8that was all")


def test_a_fault_in_a_view_is_in_the_log_once(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live)
    one = open_socket(server, "/fails", stack)
    assert one.recv() == "soon"
    assert is_ended(one)
    server.log.wait_for("RuntimeError: a fault in the view")
    assert requests.get(server.addresses[0], timeout=DEADLINE).status_code == 200
    assert len(server.log.all("RuntimeError: a fault in the view")) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_vanishes(live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack) -> None:
    server = start(live, *way)
    requests.get(server.addresses[0], timeout=DEADLINE)
    for count in range(1, 6):
        one = open_socket(server, "/tells", stack)
        assert one.recv() == "open"
        # Without a word of the protocol.
        one.shutdown()
        server.log.wait_for("the view got ConnectionClosed", count)
    workers = [server.pid] if way[1] == "0" else list(server.ready_workers(2).values())
    eventually(lambda: all(threads_of(pid) < 14 for pid in workers), lambda: [threads_of(p) for p in workers])


# The end of a worker


@pytest.mark.parametrize("way", WAYS)
def test_stopping_ends_them(live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack) -> None:
    server = start(live, *way)
    sockets = [open_socket(server, "/tells", stack) for _ in range(6)]
    for one in sockets:
        assert one.recv() == "open"
    server.send_signal(signal.SIGTERM)
    assert all(is_ended(one) for one in sockets)
    assert server.exit_code() == 0
    server.wait_until_gone()
    assert len(server.log.all("the view got ConnectionClosed")) == 6
    assert server.log.all("left behind|Traceback") == []


def test_reloading_ends_them_and_new_ones_go_to_new_workers(
    live: StartLive, stack: contextlib.ExitStack
) -> None:
    server = start(live, "--workers", "2")
    old = set(server.ready_workers(2).values())
    sockets = [open_socket(server, "/echo", stack) for _ in range(4)]
    assert {int(one.recv()) for one in sockets} <= old
    server.send_signal(signal.SIGHUP)
    assert all(is_ended(one) for one in sockets)
    new = set(server.ready_workers(4).values()) - old
    eventually(lambda: not old & set(children_of(server.pid)), "the old workers have ended")
    assert int(open_socket(server, "/echo", stack).recv()) in new
    assert server.log.all("left behind|Traceback") == []


def test_the_death_of_a_worker_is_the_end_of_its_own(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live, "--workers", "2")
    sockets = [open_socket(server, "/echo", stack) for _ in range(4)]
    pids = [int(one.recv()) for one in sockets]
    assert len(set(pids)) == 2
    os.kill(pids[0], signal.SIGKILL)
    for one, pid in zip(sockets, pids, strict=True):
        if pid == pids[0]:
            assert is_ended(one)
        else:
            one.send("still here")
            assert one.recv() == "still here"
    server.ready_workers(3)
    assert open_socket(server, "/echo", stack).recv()


# Flask-SocketIO


class Person:
    """A client of the chat, and what it was told."""

    def __init__(self, server: Live, stack: contextlib.ExitStack, transports: list[str]) -> None:
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.connection = client_library.Client(reconnection=False)
        for event in ("entered", "said", "message"):
            self.connection.on(event, lambda data, event=event: self.heard.put((event, data)))
        self.connection.connect(server.addresses[0], transports=transports, wait_timeout=DEADLINE)
        stack.callback(self.connection.disconnect)

    def hears(self) -> tuple[str, Any]:
        return self.heard.get(timeout=DEADLINE)

    def enter(self, room: str) -> None:
        self.connection.emit("enter", room)
        assert self.hears() == ("entered", room)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_a_chat(live: StartLive, transports: list[str], stack: contextlib.ExitStack) -> None:
    server = start(live, application=CHAT)
    anna, ben, carla = (Person(server, stack, transports) for _ in range(3))
    for person, room in ((anna, "kitchen"), (ben, "kitchen"), (carla, "garden")):
        person.enter(room)
    anna.connection.emit("say", {"room": "kitchen", "text": "tea?"})
    assert [anna.hears(), ben.hears()] == [("said", "tea?")] * 2
    carla.connection.emit("shout", "rain!")
    assert [one.hears() for one in (anna, ben, carla)] == [("message", "rain!")] * 3
    assert anna.heard.empty()
    assert requests.get(server.addresses[0], timeout=DEADLINE).text == "a page"
    ben.connection.disconnect()
    anna.connection.emit("say", {"room": "kitchen", "text": "alone?"})
    assert anna.hears() == ("said", "alone?")
    if transports != ["polling"]:
        assert anna.connection.transport() == "websocket"
    assert complaints(server) == []


def test_a_chat_in_a_worker_process(live: StartLive, stack: contextlib.ExitStack) -> None:
    """One worker: several need a message queue between them, as with any server."""
    server = start(live, "--workers", "1", "--threads", "2", application=CHAT)
    people = [Person(server, stack, ["websocket"]) for _ in range(10)]
    for person in people:
        person.enter("hall")
    people[0].connection.emit("say", {"room": "hall", "text": "hello"})
    assert [person.hears() for person in people] == [("said", "hello")] * 10
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.log.all("left behind|Traceback") == []


@pytest.mark.parametrize("way", WAYS)
def test_encrypted(
    live: StartLive, way: tuple[str, ...], stack: contextlib.ExitStack, tmp_path: Path
) -> None:
    files = make_files(tmp_path)
    server = start(live, *way, *files.arguments)
    address = server.addresses[0].replace("https://", "wss://")
    trust = {"ca_certs": str(files.certificate), "check_hostname": False}
    one: WebSocket = create_connection(f"{address}/echo", timeout=DEADLINE, sslopt=trust)
    stack.callback(one.shutdown)
    assert int(one.recv()) > 0
    for data in ("hello", "ü" * 100, "x" * 2_000_000):
        one.send(data)
        assert one.recv() == data
    one.send("bye")
    assert one.recv() == ""
    other: WebSocket = create_connection(f"{address}/echo", timeout=DEADLINE, sslopt=trust)
    stack.callback(other.shutdown)
    other.recv()
    # As without TLS: whoever ends the server lets the application see the end of its sockets.
    server.send_signal(signal.SIGTERM)
    assert is_ended(other)
    assert server.process.wait(20) == 0


def test_an_encrypted_one_whose_last_words_nobody_takes(serve: Serve, tmp_path: Path) -> None:
    """The worker has gone, and the client neither reads nor ends: it must not be kept for ever."""

    has_closed = threading.Event()

    def floods(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        connection: socket.socket = environ["werkzeug.socket"]
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        connection.settimeout(0.1)
        # Until nothing fits, although the front looks again and again (below).
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                while True:
                    connection.send(b"x" * 65536)
            connection.recv(65536)
        connection.close()
        has_closed.set()
        return []

    files = make_files(tmp_path)
    server = serve(
        floods,
        scheme="https://",
        certfile=[str(files.certificate)],
        keyfile=[str(files.key)],
        write_idle_seconds=0.5,
    )
    upgrade = request(fields=(("Connection", "Upgrade"), ("Upgrade", "websocket")))
    with Client(str(server.address), tls=context_for(files), receive_buffer=4096) as client:
        client.send(upgrade)
        # The kernel says that there is room only when there is much.
        while not has_closed.wait(0.01):
            client.send(b"look again")
        server.wait_for_counter("closed_write_timeout", 1)
