"""pelton inside the test's own process: one server per test, and clients that are closed with it."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import pelton
from pelton import Running
from pelton.config.settings import settings_from
from support.client import Client, Response
from support.kinds import FRONT, IS_ONE_OF_MANY, settings_of_the_kind
from support.process_front import ProcessFront
from support.waiting import DEADLINE, eventually

# Which of them it is makes no difference to a worker kind.
TRANSPORTS = ("ipv4",) if IS_ONE_OF_MANY else ("ipv4", "ipv6", "unix")

# Unless a test is about them. A timer wakes the front, and so would hide that nobody else did when he should.
FAR_AWAY = dict.fromkeys(
    ("head_seconds", "body_idle_seconds", "keep_alive_seconds", "write_idle_seconds", "queue_seconds"), 600.0
)

# What must be nothing when nobody is connected and no request runs.
LEVELS = ("connections_open", "slots_in_use", "body_chunks_in_use", "requests_queued")


class Server:
    """A running pelton and the connections that a test has to it."""

    def __init__(self, running: Running | ProcessFront, stack: contextlib.ExitStack) -> None:
        self.running = running
        self.address = running.addresses[0]
        self._stack = stack

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        """A new connection, closed at the end of the test at the latest."""
        return self._stack.enter_context(Client(self.address, receive_buffer=receive_buffer))

    def ask(self, data: bytes) -> Response:
        """The response to one request on a connection of its own."""
        with Client(self.address) as client:
            return client.ask(data)

    def counter(self, name: str) -> int:
        """One of the front's counters."""
        return self.running.counters()[name]

    def wait_for_counter(self, name: str, value: int) -> None:
        """Wait until a counter that only grows, or stays, is ``value``."""
        eventually(lambda: self.counter(name) == value, lambda: f"{name} {value}: {self.running.counters()}")

    def wait_until_idle(self) -> None:
        """Wait until the front holds nothing for anybody."""
        eventually(self._is_idle, lambda: f"nothing is held: {self.running.counters()}")

    def _is_idle(self) -> bool:
        counters = self.running.counters()
        return not any(counters[name] for name in LEVELS)


class Serve:
    """Starts servers and ends them, with their clients, when it is closed. Called as `pelton.start`."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def __call__(
        self, app: WSGIApplication, *, transport: str = "ipv4", scheme: str = "", **settings: Any
    ) -> Server:
        """Serve ``app`` over one of `TRANSPORTS`; ``scheme`` stands before the address."""
        bind = scheme + self._stack.enter_context(address_of(transport))
        given = settings_of_the_kind({**FAR_AWAY, **settings})
        running: Running | ProcessFront
        if FRONT == "process":
            running = ProcessFront(app, settings_from({"bind": bind, **given}))
        else:
            running = pelton.start(app, bind=bind, **given)
        self._stack.callback(_stopped, running)
        return Server(running, self._stack)


@contextlib.contextmanager
def address_of(transport: str) -> Iterator[str]:
    """What to give as ``bind``; any free port."""
    match transport:
        case "ipv4":
            yield "127.0.0.1:0"
        case "ipv6":
            yield "[::1]:0"
        case "unix":
            # Not the test's own directory, whose path may be longer than a socket's name can be.
            with tempfile.TemporaryDirectory() as directory:
                yield f"unix:{directory}/s"


def has_ipv6() -> bool:
    """Whether this host has the address ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _stopped(running: Running | ProcessFront) -> None:
    running.stop()
    assert running.wait(DEADLINE), "the front has not ended"
    assert running.counters()["connections_open"] == 0


class Belongings:
    """What this process holds of the system: descriptors, threads, and files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def now(self) -> dict[str, int]:
        """The numbers."""

        def count(directory: str | Path) -> int:
            return len(list(Path(directory).iterdir()))

        return {
            "descriptors": count("/proc/self/fd"),
            "threads": count("/proc/self/task"),
            "files": count(self._directory),
        }

    def wait_for(self, before: dict[str, int]) -> None:
        """Wait until nothing is more than it was. Less may be: an ended thread goes a little later."""

        def settled() -> bool:
            return all(number <= before[name] for name, number in self.now().items())

        eventually(settled, lambda: f"{before}, now {self.now()}")
