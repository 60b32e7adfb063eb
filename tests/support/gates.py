"""Gates between a test and requests in other processes: pipes with a name (FIFOs) in a directory that both
know."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

from support.client import request
from support.waiting import eventually


class Gates:
    """Opens the pipes at which requests of `support.process_app` wait (``/hold/NAME``).

    ``environment`` is for the command. Opening waits for the one who is to go through, so it never comes
    too early; if he died on the way, the test fails instead of hanging.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.environment = {"PELTON_TEST_GATES": str(directory)}

    def add(self, name: str, path: str = "/hold/") -> bytes:
        """A new gate; gives the request that waits there."""
        os.mkfifo(self._directory / name)
        return request(target=f"{path}{name}")

    def open(self, name: str) -> None:
        """Let the one that waits there go; one only."""
        eventually(lambda: self._opened(name), f"somebody waits at {name}")

    def _opened(self, name: str) -> bool:
        try:
            # Not os.close, which gevent puts off.
            io.FileIO(os.open(self._directory / name, os.O_WRONLY | os.O_NONBLOCK), "wb").close()
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            # Nobody has it open for reading.
            return False
        return True
