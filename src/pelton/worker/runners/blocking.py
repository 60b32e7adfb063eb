"""Finds out that a greenlet keeps the hub to itself, and says where it is.

Owns one thread, "pelton-hub". It rings the hub and waits for the answer: a call that blocks the whole
thread, or a long computation, keeps every other request of the process waiting, and nobody sees which it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pelton.config.units import format_seconds
from pelton.diagnostics.report_log import ReportLog
from pelton.diagnostics.stacks import stack_of
from pelton.process.native_threads import NativeEvent, NativeThread

LOGGER = logging.getLogger("pelton")


class BlockingWatch:
    """``post`` hands a function to the hub; ``thread`` is the ident of its thread; ``limit`` in seconds."""

    def __init__(self, post: Callable[[Callable[[], object]], None], thread: int, limit: float) -> None:
        self._post = post
        self._hub_thread = thread
        self._limit = limit
        self._log = ReportLog(LOGGER)
        self._ended = NativeEvent()
        self._own_thread = NativeThread(self._run, name="pelton-hub")

    def start(self) -> None:
        """Start the thread."""
        self._own_thread.start()

    def stop(self) -> None:
        """Let the thread end, soon. Returns at once; may come more than once."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            answered = NativeEvent()
            began = time.monotonic()
            self._post(answered.set)
            if not answered.wait(self._limit):
                self._tell()
                # Once for each time that it blocks.
                while not answered.wait(self._limit):
                    if self._ended.is_set():
                        return
                LOGGER.warning("The hub went on after %.1f s.", time.monotonic() - began)
            self._ended.wait(self._limit)

    def _tell(self) -> None:
        if self._ended.is_set():
            return
        self._log.write(
            f"The hub has not come to run for {format_seconds(self._limit)}: a greenlet blocks the thread or "
            "computes, and every other request of this process waits for it. It is here:\n"
            f"{stack_of(self._hub_thread)}"
        )
