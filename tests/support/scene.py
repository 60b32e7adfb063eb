"""One application (`support.streaming_app`) in both ways to serve it: in the test's process, and in a worker.

A `Scene` knows the notes that the application makes and the gates at which it waits; which way it is served
does not matter to a test. Only in one process can the front's counters be looked at.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

from support import streaming_app
from support.client import Client, Fields, Response, request
from support.kinds import settings_of_the_kind
from support.live import HEALTH, HEALTH_PATH, Live
from support.serving import Serve, Server
from support.waiting import eventually

APP = Path(streaming_app.__file__)


class Scene:
    """The served application, and a directory for what it tells."""

    def __init__(self, directory: Path, server: Server | Live) -> None:
        self.directory = directory
        self.server = server
        self._clients: list[Client] = []

    @classmethod
    def in_one_process(cls, directory: Path, serve: Serve, **settings: Any) -> Scene:
        """Served by threads of the test's own process."""
        given = {"threads": 4, "health_path": HEALTH_PATH, **settings}
        return cls(directory, serve(streaming_app.app, **given))

    @classmethod
    def in_processes(cls, directory: Path, stack: contextlib.ExitStack, **settings: Any) -> Scene:
        """Served by a front and one worker."""
        return cls(directory, cls.processes(stack, **settings))

    @staticmethod
    def processes(stack: contextlib.ExitStack, **settings: Any) -> Live:
        """A front and one worker, which several scenes can share."""
        given = settings_of_the_kind({"threads": 4, "workers": 1, **settings})
        # The command has it from the environment.
        given.pop("worker_kind")
        options: list[str] = []
        for name, value in given.items():
            flag = FLAGS.get(name, "--" + name.replace("_", "-"))
            for one in value if isinstance(value, tuple) else (value,):
                options += [flag, str(one)]
        server = stack.enter_context(Live(APP, *options, *HEALTH))
        server.ready_workers(int(given["workers"]))
        return server

    # Clients

    def request(
        self, target: str, body: bytes | None = None, *, method: str = "POST", fields: Fields = (), **how: Any
    ) -> bytes:
        """A request whose application tells its notes to this scene."""
        return request(method, target, [("X-Scene", str(self.directory)), *fields], body, **how)

    def announced(self, target: str, length: int, *fields: tuple[str, str]) -> bytes:
        """The head of a request with a body of ``length``."""
        return self.request(target, fields=[("Content-Length", str(length)), *fields])

    def in_chunks(self, target: str, *fields: tuple[str, str]) -> bytes:
        """The head of a request with a chunked body."""
        return self.request(target, fields=[("Transfer-Encoding", "chunked"), *fields])

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        """A new connection, closed at the end."""
        client = self.server.connect(receive_buffer=receive_buffer)
        self._clients.append(client)
        return client

    def ask(self, data: bytes) -> Response:
        """The response to one request on a connection of its own."""
        return self.server.ask(data)

    # What the application tells

    @property
    def notes(self) -> list[str]:
        """All of them so far."""
        path = self.directory / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, note: str, count: int = 1) -> None:
        """Wait until it has been made so many times."""
        eventually(lambda: self.notes.count(note) >= count, lambda: f"{note!r} in {self.notes}")

    def add_gate(self, name: str) -> str:
        """A gate; gives its name."""
        os.mkfifo(self.directory / name)
        return name

    def open_gate(self, name: str) -> None:
        """Let the one that waits there go."""

        def opened() -> bool:
            try:
                # Not os.close, which gevent puts off.
                io.FileIO(os.open(self.directory / name, os.O_WRONLY | os.O_NONBLOCK), "wb").close()
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return False
            return True

        eventually(opened, f"somebody waits at {name}")

    # The end

    def check_idle(self) -> None:
        """Close all connections, wait until nothing is held for anybody, see that requests are answered."""
        for client in self._clients:
            client.close()
        if isinstance(self.server, Server):
            self.server.wait_until_idle()
        else:
            self.server.wait_for_requests(0)
        assert self.ask(request()).body == b"hello"


FLAGS = {
    "max_body_bytes": "--max-body",
    "body_idle_seconds": "--body-timeout",
    "request_timeout_grace": "--request-timeout-grace",
}
