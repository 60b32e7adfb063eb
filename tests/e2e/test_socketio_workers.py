"""Flask-SocketIO's long polling with several workers."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
import socketio

from conftest import StartLive
from support.waiting import DEADLINE

_APP = """
import os
from flask import Flask
from flask_socketio import SocketIO, emit

app = Flask(__name__)
sockets = SocketIO(app, async_mode="threading")

@sockets.on("echo")
def echo(data):
    emit("echo", [data, os.getpid()])
"""


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    made = tmp_path / "chat.py"
    made.write_text(_APP)
    return made


class Polling:
    """A client that only polls."""

    def __init__(self, address: str) -> None:
        self._got: queue.Queue[tuple[str, int]] = queue.Queue()
        self._client = socketio.Client(reconnection=False)
        self._client.on("echo", lambda both: self._got.put((both[0], both[1])))
        self._client.connect(address, transports=["polling"], wait_timeout=int(DEADLINE))

    def echo(self, text: str) -> tuple[str, int]:
        self._client.emit("echo", text)
        return self._got.get(timeout=DEADLINE)

    def close(self) -> None:
        self._client.disconnect()


def test_sessions_come_back_to_their_worker(live: StartLive, chat: Path) -> None:
    server = live("chat", "--workers", "3", "--affinity", "session", directory=chat.parent)
    server.ready_workers(3)
    clients = [Polling(server.addresses[0]) for _ in range(4)]
    try:
        homes = [client.echo("first")[1] for client in clients]
        for number in range(5):
            for client, home in zip(clients, homes, strict=True):
                assert client.echo(f"{number}") == (f"{number}", home)
    finally:
        for client in clients:
            client.close()
    assert not server.log.all("long polling fails")


def test_without_affinity_the_log_says_what_will_fail(live: StartLive, chat: Path) -> None:
    server = live("chat", "--workers", "2", directory=chat.parent)
    server.log.wait_for("WARNING .*long polling fails with several workers.*--affinity session")
    assert len(server.log.all("long polling fails")) == 1


def test_affinity_needs_workers(live: StartLive, chat: Path) -> None:
    server = live("chat", "--affinity", "session", directory=chat.parent)
    assert server.exit_code() == 2
    server.log.wait_for("affinity means nothing in one process")
