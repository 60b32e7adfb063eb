"""Writes reports to the log for a thread that must not be held up by it.

Owns one thread, "pelton-reports", which is started by the first report. Why: the request that hangs may
hang in a logging handler and hold its lock; then nobody gets anything into the log any more, but the thread
that found it out has to go on.
"""

from __future__ import annotations

import logging
from _queue import SimpleQueue  # not from `queue`, where gevent replaces it
from typing import Final

from pelton.process.native_threads import NativeEvent, NativeThread, allocate_lock

# How long the writer of a report waits for it to be in the log, so that usually the lines are in order.
_PATIENCE: Final = 0.5
# Reports that wait for a log which takes nothing; further ones are lost.
_MOST_WAITING: Final = 100


class ReportLog:
    """Reports for ``logger``, from any thread; errors, unless ``level`` says otherwise."""

    def __init__(
        self, logger: logging.Logger, *, patience: float = _PATIENCE, level: int = logging.ERROR
    ) -> None:
        self._logger = logger
        self._level = level
        self._patience = patience
        self._waiting: SimpleQueue[tuple[str, NativeEvent]] = SimpleQueue()
        self._lock = allocate_lock()
        self._thread: NativeThread | None = None
        self._is_behind = False

    def write(self, message: str) -> None:
        """Write it; waits for a moment at most, and not at all while an earlier report is not written."""
        self._start()
        written = NativeEvent()
        # One thread writes at a time, or nearly so: a report more than the bound would do no harm.
        if self._waiting.qsize() >= _MOST_WAITING:
            return
        self._waiting.put((message, written))
        if not self._is_behind:
            self._is_behind = not written.wait(self._patience)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = NativeThread(self._run, name="pelton-reports")
                self._thread.start()

    def _run(self) -> None:
        while True:
            message, written = self._waiting.get()
            try:
                self._logger.log(self._level, "%s", message)
            except Exception:
                # A filter or handler of the application; there is nowhere else to say it.
                pass
            finally:
                self._is_behind = False
                written.set()
