"""penstock as people start it: the command, in a process of its own.

Owns the process and its output, which two threads collect line by line; a test waits for a line instead of
for time. At the end, whatever happened, the process is gone and its output is printed, which pytest
shows for tests that failed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from support.client import Client, Response, request
from support.processes import children_of, group_of
from support.waiting import DEADLINE, eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
APPS = Path(__file__).parent / "live_app.py"
PROCESS_APP = Path(__file__).parent / "process_app.py"

# Below it are the health answers, for tests that pass `HEALTH`.
HEALTH_PATH = "/-/health"
HEALTH = ("--health-path", HEALTH_PATH)

# Processes import a lot before they say something, which takes its time on a slow machine. Still below the
# time-outs of the server that could make good what went wrong.
_LONGEST_SILENCE = 25.0

_START_LINE = re.compile(
    r"penstock \S+ listens on (.+) "
    r"\(worker kind: (\w+), (\d+) (?:thread|connection)s?(?: in each of (\d+) workers?)?, pid (\d+)\)"
)
_READY_LINE = re.compile(r"worker (\d+) \(pid (\d+)\) is ready")


class Lines:
    """Everything that came out of one stream so far."""

    def __init__(self, stream: IO[str], changed: threading.Condition) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = changed
        self._stream = stream
        self._thread = threading.Thread(target=self._collect, name="live-output", daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """All of it."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, expression: str, count: int = 1, seconds: float = _LONGEST_SILENCE) -> re.Match[str]:
        """Wait, at most ``seconds``, for the ``count``th line in which ``expression`` is found."""
        pattern = re.compile(expression)
        found: list[re.Match[str]] = []
        seen = 0

        def look() -> bool:
            nonlocal seen
            for line in self._lines[seen:]:
                seen += 1
                match = pattern.search(line)
                if match is not None:
                    found.append(match)
            return len(found) >= count or self._ended

        with self._changed:
            in_time = self._changed.wait_for(look, seconds)
        if len(found) < count:
            why = "the output ended" if in_time else "the time was over"
            raise AssertionError(f"{len(found)} lines have {expression!r}, and {why}:\n{self.text}")
        return found[count - 1]

    def all(self, expression: str) -> list[re.Match[str]]:
        """The lines so far in which ``expression`` is found."""
        pattern = re.compile(expression)
        with self._changed:
            matches = [pattern.search(line) for line in self._lines]
        return [match for match in matches if match is not None]

    def join(self) -> None:
        """Wait for the stream's end, which is that of the process and of all that inherited it."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "somebody still holds the output of an ended process"
        self._stream.close()


class Live:
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
        module: str = "penstock",
    ) -> None:
        given = [str(one) for one in arguments]
        if any_port and not any(one.startswith(("--bind", "-b", "--version", "--help")) for one in given):
            given += ["--bind", "127.0.0.1:0"]
        own = {} if module == "penstock" else {"PYTHONPATH": str(Path(__file__).parents[1])}
        heed_interrupts()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, *given],
            cwd=directory,
            env={**os.environ, **own, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
            # Its own group: a Ctrl-C at the test run is not for it.
            process_group=0,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        changed = threading.Condition()
        self.output = Lines(self.process.stdout, changed)
        self.log = Lines(self.process.stderr, changed)
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

    def processes(self) -> list[int]:
        """The processes of its group that still run."""
        return group_of(self.process.pid)

    def wait_until_gone(self) -> None:
        """Wait until no process of its group runs."""
        eventually(lambda: not self.processes(), lambda: f"nothing is left: {self.processes()}")

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        """A new connection, closed at the end at the latest."""
        return self._stack.enter_context(Client(self.addresses[0], receive_buffer=receive_buffer))

    def ask(self, data: bytes) -> Response:
        """The answer to one request on a connection of its own."""
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

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        code = self.process.wait(_LONGEST_SILENCE)
        self.output.join()
        self.log.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self.process.poll() is None:
            self.process.kill()
        # Whatever the test was about: what it started goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.exit_code()
        print(
            f"--- {' '.join(map(str, self.process.args[1:] if isinstance(self.process.args, list) else []))}"
        )
        print(f"--- standard output\n{self.output.text}\n--- standard error\n{self.log.text}")


def heed_interrupts() -> None:
    """Make processes that are started from now on take SIGINT."""
    # A test run in the background of a shell without job control ignores SIGINT, and processes inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
