"""What a worker kind has to offer. Must not import any of them."""

from __future__ import annotations

import threading
from typing import Protocol


class Runner(Protocol):
    """Runs requests from `start` until `stop`.

    All methods may be called from any thread; `stop` and `join` more than once, also before `start`.
    """

    @property
    def kind(self) -> str:
        """The name of the worker kind, as people know it."""

    def start(self) -> None:
        """Begin to run requests; returns at once."""

    def stop(self) -> None:
        """Run no further request; those that run go on. Returns at once."""

    def join(self, timeout: float) -> list[threading.Thread]:
        """Wait until nothing runs, at most ``timeout`` seconds; returns the threads that still do."""
