"""Threads beyond the planned ones, each for one request that was lent a permit (see docs/self-calls.md).

Owns the step from the native worker's word that such a request is there to the thread that runs it. Called on
the watch's thread, which must not be held up: it only starts threads.
"""

from __future__ import annotations

import logging
from typing import Protocol

LOGGER = logging.getLogger("pelton")


class SpareWorker(Protocol):
    """The part of the native worker that is used here."""

    def take_spares(self) -> int:
        """How many requests need a thread of their own that were not reported before."""


class SpareRunner(Protocol):
    """A runner that can have more threads than were planned."""

    def add_thread(self, *, once: bool = False) -> None:
        """One thread more; with ``once`` for one such request."""


class SpareThreads:
    """Starts them for one worker."""

    def __init__(self, worker: SpareWorker, runner: SpareRunner) -> None:
        self._worker = worker
        self._runner = runner

    def provide(self) -> bool:
        """Start a thread for each request that needs one; whether there was any."""
        count = self._worker.take_spares()
        for _ in range(count):
            try:
                self._runner.add_thread(once=True)
            except RuntimeError as error:
                # It waits until --queue-timeout like any request for which there is no thread.
                LOGGER.error("A thread for a request that was lent a permit cannot be started: %s.", error)
        return count > 0
