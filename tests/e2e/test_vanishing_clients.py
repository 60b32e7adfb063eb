"""Clients that go away in the middle of anything leave no slot, memory, descriptor or file behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from support.apps import PLAIN, echo, held, routes
from support.client import Client, request
from support.serving import Belongings, Serve, Server
from support.waiting import Gate, eventually

ROUNDS = 30
LARGE = 3_000_000

Leave = Callable[[Client], None]


def leave_in_order(client: Client) -> None:
    client.close()


def leave_by_reset(client: Client) -> None:
    client.reset()


@pytest.fixture(params=[leave_in_order, leave_by_reset])
def leave(request: pytest.FixtureRequest) -> Leave:
    how: Leave = request.param
    return how


def streamed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", list(PLAIN))
    for _ in range(1000):
        yield b"x" * 100_000


class Scene:
    """A server with every kind of request, whose spool directory and descriptors are watched."""

    def __init__(self, serve: Serve, directory: Path, belongings: Belongings) -> None:
        self.gate = Gate()
        self.file = directory.parent / "large-file"
        self.file.write_bytes(b"x" * 20_000_000)
        table = {"/echo": echo, "/stream": streamed, "/file": self._send_file, "/hold": self._hold}
        self.server: Server = serve(
            routes(table), threads=2, body_memory_bytes=1_000_000, spool_directory=str(directory)
        )
        self.belongings = belongings
        self.spool = directory

    def _send_file(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](self.file.open("rb"))
        return result

    def _hold(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return held(self.gate)(environ, start_response)

    def repeat(self, once: Callable[[], None], rounds: int = ROUNDS) -> None:
        """``once`` many times; afterwards everything is as it was after the first time."""
        once()
        self.check()
        before = self.belongings.now()
        for _ in range(rounds - 1):
            once()
        self.check()
        self.belongings.wait_for(before)

    def check(self) -> None:
        """Nothing is held for anybody, and requests are answered."""
        self.server.wait_until_idle()
        assert list(self.spool.iterdir()) == []
        body = b"y" * 2_000_000
        assert self.server.ask(request("POST", "/echo", body=body)).body == body
        assert self.server.ask(request()).body == b"hello"
        self.server.wait_until_idle()

    def connect(self, data: bytes, *, receive_buffer: int | None = None) -> Client:
        """A client that has sent ``data``."""
        return self.server.connect(receive_buffer=receive_buffer).send(data)

    def wait_for_known(self, count: int) -> None:
        """Wait until the front has given away or queued so many requests in all."""

        def known() -> bool:
            counters = self.server.running.counters()
            return counters["requests_dispatched"] + counters["requests_queued"] >= count

        eventually(known, lambda: self.server.running.counters())

    def accepted(self) -> int:
        """Connections so far."""
        return self.server.counter("connections_accepted")


@pytest.fixture
def scene(serve: Serve, tmp_path: Path) -> Iterator[Scene]:
    directory = tmp_path / "spool"
    directory.mkdir()
    made = Scene(serve, directory, Belongings(directory))
    yield made
    made.gate.open()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /echo HT",
        request("POST", "/echo", body=b"12345")[:-2],
        request("POST", "/echo", body=b"x" * 500_000)[:-2],
        request("POST", "/echo", body=b"x" * LARGE)[:-2],
        request("POST", "/echo", fields=[("Transfer-Encoding", "chunked")]) + b"5\r\nabc",
        request("POST", "/echo", fields=[("Transfer-Encoding", "chunked")]) + b"200000\r\n" + b"x" * 0x1FFFFF,
    ],
    ids=["nothing", "head", "small body", "body in memory", "body in a file", "chunk", "chunk in a file"],
)
def test_in_the_middle_of_a_request(scene: Scene, leave: Leave, sent: bytes) -> None:
    def once() -> None:
        before = scene.accepted()
        client = scene.connect(sent)
        scene.server.wait_for_counter("connections_accepted", before + 1)
        leave(client)

    scene.repeat(once)


@pytest.mark.parametrize("size", [None, 1000, 500_000, LARGE])
def test_while_running(scene: Scene, leave: Leave, size: int | None) -> None:
    def once() -> None:
        scene.gate = Gate()
        wire = request(target="/hold") if size is None else request("POST", "/hold", body=b"x" * size)
        gone = scene.server.counter("clients_gone")
        client = scene.connect(wire)
        scene.gate.wait_for()
        leave(client)
        if leave is leave_by_reset:
            # One that closes in order could still read: it is answered, and only then found to be gone.
            scene.server.wait_for_counter("clients_gone", gone + 1)
        scene.gate.open()

    scene.repeat(once)


@pytest.mark.parametrize("size", [None, 1000, 500_000, LARGE])
@pytest.mark.parametrize("others", [1, 80])
def test_while_waiting(scene: Scene, leave: Leave, size: int | None, others: int) -> None:
    """Both threads are held; whoever comes now waits in a slot of the link, or (of many) in the queue."""
    if others > 1 and size == LARGE:
        others = 3

    def once() -> None:
        scene.gate = Gate()
        running = [scene.connect(request(target="/hold")) for _ in range(2)]
        scene.gate.wait_for(2)
        wire = request() if size is None else request("POST", "/echo", body=b"x" * size)
        gone = scene.server.counter("clients_gone")
        known = scene.server.counter("requests_dispatched")
        clients = []
        for number in range(others):
            clients.append(scene.connect(wire))
            scene.wait_for_known(known + number + 1)
        for client in clients:
            leave(client)
        if leave is leave_by_reset:
            scene.server.wait_for_counter("clients_gone", gone + others)
        finished = scene.server.counter("responses_finished")
        scene.gate.open()
        for client in running:
            assert client.response().body == b"held"
            client.close()
        if leave is leave_by_reset:
            # The requests of those who had gone were taken back and never run.
            scene.server.wait_until_idle()
            scene.server.wait_for_counter("responses_finished", finished + 2)

    scene.repeat(once, ROUNDS if others == 1 else 4)


@pytest.mark.parametrize("target", ["/stream", "/file"])
def test_in_the_middle_of_a_response(scene: Scene, leave: Leave, target: str) -> None:
    def once() -> None:
        client = scene.connect(request(target=target), receive_buffer=4096)
        client.head()
        assert client.piece()
        leave(client)

    scene.repeat(once)


def test_in_the_middle_of_a_response_with_requests_behind_it(scene: Scene, leave: Leave) -> None:
    def once() -> None:
        client = scene.connect(request(target="/stream") + request() * 5, receive_buffer=4096)
        client.head()
        assert client.piece()
        leave(client)

    scene.repeat(once)


def test_before_a_response_that_was_refused_is_read(scene: Scene, leave: Leave) -> None:
    def once() -> None:
        refused = scene.server.counter("requests_refused")
        client = scene.connect(b"nonsense\r\n\r\n" + b"x" * 100_000)
        scene.server.wait_for_counter("requests_refused", refused + 1)
        leave(client)

    scene.repeat(once)
