"""flask-sock and Flask-SocketIO with the clients that people use, in every way that hands over sockets."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import simple_websocket
import socketio
import websocket

from support.waiting import DEADLINE
from support.ways import CHAT, ECHO, WEBSOCKETS, Served, Way, parameters


@pytest.fixture(scope="module", params=parameters(ECHO, needs=[WEBSOCKETS]))
def echo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    way: Way = request.param
    with Served(ECHO, way, tmp_path_factory.mktemp("echo")) as served:
        yield served


def web_socket(served: Served, path: str = "/echo") -> websocket.WebSocket:
    made: websocket.WebSocket = websocket.create_connection(
        served.address.replace("http:", "ws:") + path, timeout=DEADLINE, http_no_proxy=["127.0.0.1"]
    )
    return made


def test_text_and_bytes_of_each_length(echo: Served) -> None:
    """The lengths at which a frame's head changes, and more than a socket takes at once."""
    client = web_socket(echo)
    try:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            client.send("ü" * (size // 2) + "x" * (size % 2))
            assert client.recv() == "ü" * (size // 2) + "x" * (size % 2)
            client.send_binary(b"\x00" * size)
            assert client.recv() == b"\x00" * size
    finally:
        client.close()


def test_what_is_sent_at_once_comes_back_in_order(echo: Served) -> None:
    client = web_socket(echo)
    try:
        for number in range(200):
            client.send(str(number))
        assert [client.recv() for _ in range(200)] == [str(number) for number in range(200)]
    finally:
        client.close()


def test_the_server_ends_it(echo: Served) -> None:
    client = simple_websocket.Client.connect(echo.address.replace("http:", "ws:") + "/echo")
    client.send("bye")
    with pytest.raises(simple_websocket.ConnectionClosed) as ended:
        client.receive(timeout=DEADLINE)
    assert (ended.value.reason, ended.value.message) == (1000, "good bye")


def test_pages_while_sockets_idle(echo: Served) -> None:
    """More of them than a worker has threads for requests."""
    clients = [web_socket(echo) for _ in range(20)]
    try:
        with echo.session() as session:
            for _ in range(10):
                assert session.get(echo.address, timeout=20).status_code == 200
        for number, client in enumerate(clients):
            client.send(f"number {number}")
        assert [client.recv() for client in clients] == [f"number {number}" for number in range(20)]
    finally:
        for client in clients:
            client.close()


def test_an_upgrade_to_what_is_no_socket(echo: Served) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        web_socket(echo, "/nowhere")
    assert refused.value.status_code == 404
    # And it is a connection like any other for one that asks in the plain way.
    with echo.session() as session:
        assert session.get(f"{echo.address}/echo", timeout=20).status_code in (400, 404)


@pytest.fixture(scope="module", params=parameters(CHAT, needs=[WEBSOCKETS]))
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    way: Way = request.param
    with Served(CHAT, way, tmp_path_factory.mktemp("chat")) as served:
        yield served


class Guest:
    """Somebody in the chat; what he hears waits in a queue."""

    def __init__(self, chat: Served, transport: str) -> None:
        self.client = socketio.Client(reconnection=False)
        self._heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        for name in ("joined", "left", "said"):
            self.client.on(name, lambda value, name=name: self._heard.put((name, value)))
        self.client.connect(chat.address, transports=[transport], wait_timeout=DEADLINE)
        assert self.client.transport() == transport

    def heard(self) -> tuple[str, Any]:
        """The next that comes."""
        return self._heard.get(timeout=DEADLINE)

    def hears_nothing(self) -> bool:
        return self._heard.empty()

    def join(self, room: str) -> None:
        self.client.emit("join", room)
        assert self.heard() == ("joined", room)

    def say(self, room: str, text: str) -> None:
        assert self.client.call("say", {"room": room, "text": text}, timeout=DEADLINE) == "heard"


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_rooms(chat: Served, transport: str) -> None:
    guests = [Guest(chat, transport) for _ in range(3)]
    ada, ben, cleo = guests
    try:
        ada.join("red")
        ben.join("red")
        cleo.join("blue")
        ada.say("red", "Käse")
        said = ("said", {"room": "red", "text": "Käse"})
        assert ada.heard() == ben.heard() == said
        # To everybody, from a request; what Cleo hears first is this, so the other was not for her.
        with chat.session() as session:
            session.post(f"{chat.address}/announce", data={"text": "closing"}, timeout=20)
        closing = ("said", {"room": "all", "text": "closing"})
        assert [guest.heard() for guest in guests] == [closing] * 3
        ben.client.emit("leave", "red")
        assert ben.heard() == ("left", "red")
        ada.say("red", "alone")
        assert ada.heard() == ("said", {"room": "red", "text": "alone"})
        assert ben.hears_nothing()
    finally:
        # At once: where the server does not answer the closing frame, as Werkzeug, each waits some seconds.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda guest: guest.client.disconnect(), guests))


def test_a_guest_who_comes_by_polling_is_upgraded(chat: Served) -> None:
    client = socketio.Client(reconnection=False)
    try:
        client.connect(chat.address, wait_timeout=DEADLINE)
        assert client.transport() == "websocket"
        assert client.call("say", {"room": "nobody", "text": "x"}, timeout=DEADLINE) == "heard"
    finally:
        client.disconnect()
