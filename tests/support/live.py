"""pelton as people start it: the command, in a process of its own.

Knows the command's arguments and what it says; the process itself is `support.started`'s.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from support.client import Client, Response, request
from support.processes import children_of
from support.started import Started
from support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
APPS = Path(__file__).parent / "live_app.py"
PROCESS_APP = Path(__file__).parent / "process_app.py"

# Below it are the health answers, for tests that pass `HEALTH`.
HEALTH_PATH = "/-/health"
HEALTH = ("--health-path", HEALTH_PATH)

_START_LINE = re.compile(
    r"pelton \S+ listens on (.+) "
    r"\(worker kind: (\w+), (?:up to )?(\d+) (?:thread|connection)s?"
    r"(?: in each of (\d+)(?: to \d+)? workers?)?, pid (\d+)\)"
)
_READY_LINE = re.compile(r"worker (\d+) \(pid (\d+)\) is ready")


class Live(Started):
    """One process of the command. Use as a context manager.

    ``arguments`` as on the command line. Unless they name an address, or ``any_port`` is False, any free port
    is taken. ``prefix`` is a program that the command runs under; ``descriptors`` it inherits by their
    numbers. ``module``, one of the suite's, is run instead of the command's own.
    """

    def __init__(
        self,
        *arguments: str | Path,
        directory: Path | None = None,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        any_port: bool = True,
        module: str = "pelton",
    ) -> None:
        given = [str(one) for one in arguments]
        if any_port and not any(one.startswith(("--bind", "-b", "--version", "--help")) for one in given):
            given += ["--bind", "127.0.0.1:0"]
        own = {} if module == "pelton" else {"PYTHONPATH": str(Path(__file__).parents[1])}
        super().__init__(
            [*prefix, sys.executable, "-m", module, *given],
            directory=directory,
            environment={**own, **(environment or {})},
            descriptors=descriptors,
        )
        self._stack = contextlib.ExitStack()

    @property
    def addresses(self) -> list[str]:
        """Where it listens; waits until it does."""
        return self.log.wait_for(_START_LINE.pattern)[1].split(" and ")

    @property
    def pid(self) -> int:
        """Of the process that takes the signals, as the start line says it; waits for that."""
        return int(self.log.wait_for(_START_LINE.pattern)[5])

    def ready_workers(self, count: int = 1) -> dict[int, int]:
        """The pids of all workers that have ever become ready, by number; waits until there are ``count``."""
        self.log.wait_for(_READY_LINE.pattern, count)
        return {int(match[1]): int(match[2]) for match in self.log.all(_READY_LINE.pattern)}

    def front_pid(self, workers: int) -> int:
        """The pid of the front process; ``workers`` have become ready, and nothing else was forked."""
        known = set(self.ready_workers(workers).values())
        others = [pid for pid in children_of(self.pid) if pid not in known]
        assert len(others) == 1, f"children that are no worker: {others}"
        return others[0]

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        """A new connection, closed at the end at the latest."""
        return self._stack.enter_context(Client(self.addresses[0], receive_buffer=receive_buffer))

    def ask(self, data: bytes) -> Response:
        """The response to one request on a connection of its own."""
        with Client(self.addresses[0]) as client:
            return client.ask(data)

    def verdict(self) -> dict[str, Any]:
        """What the front says of itself; needs `HEALTH`. With the ``code`` of readyz added."""
        answer = self.ask(request(target=f"{HEALTH_PATH}/readyz"))
        found: dict[str, Any] = answer.json()
        return {**found, "code": answer.status}

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many are with the front and the workers; needs `HEALTH`."""

        def inside() -> int:
            verdict = self.verdict()
            return int(verdict["running"]["count"]) + int(verdict["queue"]["length"])

        eventually(lambda: inside() == count, lambda: f"{count} requests inside: {self.verdict()}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.close()
        super().__exit__(kind, error, where)
