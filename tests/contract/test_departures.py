"""What becomes of a serving thread whose request has taken its client's socket, by what the runner wants."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from pelton import _engine
from pelton.config.settings import settings_from
from pelton.worker.client_sockets import ClientSockets
from pelton.worker.wsgi.environ import template
from pelton.worker.wsgi.file_wrapper import FileWrapper
from pelton.worker.wsgi.observer import LogObserver
from support.apps import PLAIN
from support.client import Client, request
from support.kinds import IS_ONE_OF_MANY
from support.waiting import DEADLINE, eventually

ASK = request(fields=(("Connection", "Upgrade"), ("Upgrade", "websocket")))

# Of the serving threads themselves, without a runner.
pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the same for every kind")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    own = environ.get("werkzeug.socket")
    if own is None:
        start_response("200 OK", list(PLAIN))
        return [threading.current_thread().name.encode()]
    own.sendall(b"hello")
    own.recv(1)
    return []


class OneThread:
    """A front and a worker with one planned thread; ``depart`` is what its `serve` is given."""

    def __init__(self) -> None:
        settings = settings_from({"keep_alive_seconds": 600})
        link = _engine.Link(1)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.front = _engine.Front(settings, [(listener.fileno(), "application", False)], link)
        environs = [template("localhost", "80", multithread=False)] * 2
        sockets = ClientSockets(10, "this process")
        self.worker = _engine.Worker(link, app, environs, FileWrapper, LogObserver(), sockets)
        self.threads: list[threading.Thread] = []
        self.front.start()

    def serve(self, depart: Callable[[], None] | None) -> threading.Thread:
        number = len(self.threads)
        thread = threading.Thread(
            target=self.worker.serve,
            args=(number,),
            kwargs={"on_departure": depart},
            name=f"serving {number}",
        )
        self.threads.append(thread)
        thread.start()
        return thread

    def opened(self) -> Client:
        client = Client(self.address).send(ASK)
        assert client.socket.recv(5) == b"hello"
        return client

    def page(self) -> str:
        with Client(self.address) as client:
            return client.ask(request()).text


@pytest.fixture
def stage() -> Iterator[OneThread]:
    made = OneThread()
    yield made
    made.front.stop()
    made.worker.stop()
    for thread in made.threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert made.front.join(DEADLINE)


def test_the_replacement_serves_and_the_thread_leaves(stage: OneThread) -> None:
    called_on: list[str] = []

    def depart() -> None:
        called_on.append(threading.current_thread().name)
        stage.serve(depart)

    first = stage.serve(depart)
    for number in range(5):
        with stage.opened():
            assert called_on[-1] == f"serving {number}"
            assert stage.page() == f"serving {number + 1}"
        eventually(lambda number=number: not stage.threads[number].is_alive(), "it has left")  # type: ignore[misc]
    assert not first.is_alive()


def test_without_anybody_to_ask_the_thread_goes_on_afterwards(stage: OneThread) -> None:
    stage.serve(None)
    for _ in range(3):
        with stage.opened():
            pass
        assert stage.page() == "serving 0"


def test_where_no_replacement_is_to_be_had_the_thread_goes_on_afterwards(
    stage: OneThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: reported.append(info.exc_value))

    def depart() -> None:
        raise RuntimeError("can't start new thread")

    stage.serve(depart)
    for _ in range(3):
        with stage.opened():
            pass
        assert stage.page() == "serving 0"
    assert [str(one) for one in reported] == ["can't start new thread"] * 3


def test_the_end_does_not_wait_for_a_thread_that_has_left(stage: OneThread) -> None:
    """It has nothing to do with the worker any more; only the application can bring it back."""
    stage.serve(lambda: None)
    client = stage.opened()
    stage.worker.stop()
    client.close()
    eventually(lambda: not stage.threads[0].is_alive(), "it has left")
