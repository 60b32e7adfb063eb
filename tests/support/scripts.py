"""A Python script as people start it, in a process group of its own, with its output line by line.

Beside `support.live`, which runs pelton's own command. At the end nothing of the group is left.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from support.client import Client, Response
from support.started import Started

_TESTS = Path(__file__).parents[1]


class Script(Started):
    """``arguments`` as for ``python``. Use as a context manager."""

    def __init__(
        self,
        *arguments: str | Path,
        directory: Path,
        environment: dict[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        super().__init__(
            [sys.executable, *options, *arguments],
            directory=directory,
            environment={"PYTHONPATH": path, **(environment or {})},
        )

    @property
    def address(self) -> str:
        """Where it listens; waits until it says so."""
        return self.log.wait_for(r"listens on (http://\S+)")[1]

    def ask(self, data: bytes) -> Response:
        """The response to one request on a connection of its own."""
        with Client(self.address) as client:
            return client.ask(data)

    def interrupt(self) -> None:
        """Ctrl-C at its terminal: SIGINT for the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)
