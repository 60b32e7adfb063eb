"""WebSockets where requests run on greenlets: flask-sock, and Flask-SocketIO in each of its modes."""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import socketio as client_library
from websocket import WebSocket, create_connection

from conftest import StartLive
from support.live import Live
from support.waiting import DEADLINE

HERE = str(Path(__file__).parents[1])
KINDS = pytest.mark.parametrize("kind", ["gevent", "eventlet"])
WAYS = pytest.mark.parametrize("workers", ["0", "2"], ids=["one-process", "two-workers"])
MODES = pytest.mark.parametrize(
    ("kind", "mode"),
    [("gevent", "threading"), ("gevent", "gevent"), ("eventlet", "threading"), ("eventlet", "eventlet")],
)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def open_socket(server: Live, stack: contextlib.ExitStack) -> WebSocket:
    address = server.addresses[0].replace("http://", "ws://")
    made: WebSocket = create_connection(f"{address}/echo", timeout=DEADLINE)
    stack.callback(made.shutdown)
    assert int(made.recv()) > 0
    return made


@KINDS
@WAYS
def test_echo(live: StartLive, kind: str, workers: str, stack: contextlib.ExitStack) -> None:
    server = live(
        "support.websocket_app:app", "-k", kind, "--workers", workers, environment={"PYTHONPATH": HERE}
    )
    sockets = [open_socket(server, stack) for _ in range(50)]
    for data in ("hello", "ü" * 100, "x" * 200_000):
        for one in sockets:
            one.send(data)
        assert {one.recv() for one in sockets} == {data}
    sockets[0].send_binary(b"\0\xff")
    assert sockets[0].recv() == b"\0\xff"
    assert requests.get(server.addresses[0], timeout=DEADLINE).status_code == 200
    for one in sockets:
        one.send("bye")
        assert one.recv() == ""
    assert server.log.all("ERROR|Traceback") == []


class Person:
    """A client of the chat, and what it was told."""

    def __init__(self, server: Live, stack: contextlib.ExitStack, transports: list[str]) -> None:
        self._heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.connection = client_library.Client(reconnection=False)
        for event in ("entered", "said", "message"):
            self.connection.on(event, lambda data, event=event: self._heard.put((event, data)))
        self.connection.connect(server.addresses[0], transports=transports, wait_timeout=DEADLINE)
        stack.callback(self.leave)

    def leave(self) -> None:
        self.connection.disconnect()
        # The client forgets to, where the server has been first.
        if (web_socket := self.connection.eio.ws) is not None:
            web_socket.shutdown()

    def hears(self) -> tuple[str, Any]:
        return self._heard.get(timeout=DEADLINE)


@MODES
@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids="-".join)
@pytest.mark.parametrize("workers", ["0", "1"], ids=["one-process", "a-worker"])
def test_a_chat(
    live: StartLive, kind: str, mode: str, transports: list[str], workers: str, stack: contextlib.ExitStack
) -> None:
    server = live(
        "support.websocket_app:chat",
        *("-k", kind, "--workers", workers),
        environment={"PYTHONPATH": HERE, "PELTON_TEST_ASYNC_MODE": mode},
    )
    anna, ben, carla = (Person(server, stack, transports) for _ in range(3))
    for person, room in ((anna, "kitchen"), (ben, "kitchen"), (carla, "garden")):
        person.connection.emit("enter", room)
        assert person.hears() == ("entered", room)
        assert person.connection.transport() == "websocket"
    anna.connection.emit("say", {"room": "kitchen", "text": "x" * 100_000})
    assert [anna.hears(), ben.hears()] == [("said", "x" * 100_000)] * 2
    carla.connection.emit("shout", "rain!")
    assert [one.hears() for one in (anna, ben, carla)] == [("message", "rain!")] * 3
    assert requests.get(server.addresses[0], timeout=DEADLINE).text == "a page"
    ben.leave()
    anna.connection.emit("say", {"room": "kitchen", "text": "alone?"})
    assert anna.hears() == ("said", "alone?")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.log.all("ERROR|Traceback|left behind") == []
