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
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from support.client import Client, Response
from support.waiting import DEADLINE

EXAMPLES = Path(__file__).parents[2] / "examples"
APPS = Path(__file__).parent / "live_app.py"

_START_LINE = re.compile(r"penstock \S+ listens on (.+) \(worker kind: (\w+), (\d+) threads?, pid (\d+)\)")


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

    def wait_for(self, expression: str) -> re.Match[str]:
        """Wait for a line in which ``expression`` is found."""
        pattern = re.compile(expression)
        found: re.Match[str] | None = None
        seen = 0

        def look() -> bool:
            nonlocal found, seen
            for line in self._lines[seen:]:
                seen += 1
                if found is None:
                    found = pattern.search(line)
            return found is not None or self._ended

        with self._changed:
            in_time = self._changed.wait_for(look, DEADLINE)
        if found is None:
            why = "the output ended" if in_time else "the time was over"
            raise AssertionError(f"no line has {expression!r}, and {why}:\n{self.text}")
        return found

    def join(self) -> None:
        """Wait for the stream's end, which is that of the process and of all that inherited it."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "somebody still holds the output of an ended process"
        self._stream.close()


class Live:
    """One process of the command. Use as a context manager.

    ``arguments`` as on the command line. Unless they name an address, any free port is taken.
    """

    def __init__(
        self, *arguments: str | Path, directory: Path | None = None, environment: dict[str, str] | None = None
    ) -> None:
        given = [str(one) for one in arguments]
        if not any(one.startswith(("--bind", "-b", "--version", "--help")) for one in given):
            given += ["--bind", "127.0.0.1:0"]
        _heed_interrupts()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", *given],
            cwd=directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
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

    def connect(self, *, receive_buffer: int | None = None) -> Client:
        """A new connection, closed at the end at the latest."""
        return self._stack.enter_context(Client(self.addresses[0], receive_buffer=receive_buffer))

    def ask(self, data: bytes) -> Response:
        """The answer to one request on a connection of its own."""
        with Client(self.addresses[0]) as client:
            return client.ask(data)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        code = self.process.wait(DEADLINE)
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
        self.exit_code()
        print(
            f"--- {' '.join(map(str, self.process.args[1:] if isinstance(self.process.args, list) else []))}"
        )
        print(f"--- standard output\n{self.output.text}\n--- standard error\n{self.log.text}")


def _heed_interrupts() -> None:
    # A test run in the background of a shell without job control ignores SIGINT, and processes inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
