"""Turns the signals that mean "end" into something the main thread can wait for.

Owns the handlers for SIGINT and SIGTERM while it is entered. The handlers only put the number into a queue:
they run between any two instructions of the main thread, where taking a lock, even a logger's, could wait
forever.
"""

from __future__ import annotations

import queue
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopSignals:
    """A context manager, for the main thread only (Python allows handlers nowhere else)."""

    def __init__(self) -> None:
        # SimpleQueue.put may interrupt itself; the lock of queue.Queue may not.
        self._received: queue.SimpleQueue[signal.Signals | None] = queue.SimpleQueue()
        self._previous: dict[signal.Signals, Any] = {}

    def wait(self, timeout: float | None = None) -> signal.Signals | None:
        """The next signal; None after `wake`, or when ``timeout`` seconds are over."""
        try:
            return self._received.get(timeout=timeout)
        except queue.Empty:
            return None

    def wake(self) -> None:
        """Let a present or the next `wait` return None. From any thread."""
        self._received.put(None)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell without job control starts background processes with SIGINT ignored, so that a Ctrl-C
            # for the foreground does not end them too.
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None: it was set by C code, and Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received.put(signal.Signals(number))


def on_main_thread() -> bool:
    """Whether signal handlers can be set here."""
    return threading.current_thread() is threading.main_thread()
