"""The worker kind "threads": each request runs on one of a fixed number of threads.

Owns those threads. Which of them takes the next request is decided in the native module.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

LOGGER = logging.getLogger("penstock")


class ServingWorker(Protocol):
    """The part of the native worker that is used here."""

    def serve(self, thread: int) -> None:
        """Run requests on the calling thread until `stop`."""

    def stop(self) -> None:
        """Let every serving thread return."""


class ThreadsRunner:
    """``count`` threads named penstock-0, penstock-1, …, which the application sees as the current thread."""

    kind = "threads"

    def __init__(self, worker: ServingWorker, count: int) -> None:
        self._worker = worker
        # Daemons: code of the application that never returns must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"penstock-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads; they wait for requests."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each thread end after the request that it runs."""
        self._worker.stop()

    def join(self, timeout: float) -> list[threading.Thread]:
        """Wait at most ``timeout`` seconds for all threads together; returns those that still run."""
        deadline = time.monotonic() + timeout
        # A request may itself stop penstock: its thread cannot wait for its own end.
        others = [one for one in self._threads if one is not threading.current_thread() and one.is_alive()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in others if thread.is_alive()]

    def _serve(self, number: int) -> None:
        try:
            self._worker.serve(number)
        except BaseException:
            # Faults of the application end in the observer, so this one is ours. The other threads go on.
            LOGGER.critical("A serving thread ended by a fault of penstock; please report it.", exc_info=True)
