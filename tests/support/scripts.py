"""A Python script as people start it, in a process group of its own, with its output line by line.

Beside `support.live`, which runs penstock's own command. At the end nothing of the group is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.client import Client, Response
from support.live import Lines
from support.processes import group_of
from support.waiting import DEADLINE, eventually

_TESTS = Path(__file__).parents[1]


class Script:
    """``arguments`` as for ``python``. Use as a context manager."""

    def __init__(
        self,
        *arguments: str | Path,
        directory: Path,
        environment: dict[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # As a shell without job control leaves it to what it starts in the background.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, *options, *map(str, arguments)],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        changed = threading.Condition()
        self.output = Lines(self.process.stdout, changed)
        self.log = Lines(self.process.stderr, changed)

    @property
    def address(self) -> str:
        """Where it listens; waits until it says so."""
        return self.log.wait_for(r"listens on (http://\S+)")[1]

    def ask(self, data: bytes) -> Response:
        """The answer to one request on a connection of its own."""
        with Client(self.address) as client:
            return client.ask(data)

    def interrupt(self) -> None:
        """Ctrl-C at its terminal: SIGINT for the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(DEADLINE)

    def wait_until_gone(self) -> None:
        """Wait until no process of its group runs."""

        def left() -> list[int]:
            return group_of(self.process.pid)

        eventually(lambda: not left(), lambda: f"nothing is left: {left()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self.output.join()
        self.log.join()
        print(f"--- standard output\n{self.output.text}\n--- standard error\n{self.log.text}")
