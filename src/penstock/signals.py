"""Turns the signals that mean "end" into something the main thread can wait for.

Owns the handlers for SIGINT and SIGTERM, and the interpreter's wake-up descriptor, while it is entered.

The interpreter runs a signal's handler on the main thread, when that executes bytecode the next time. If the
system delivers the signal to another thread while the main thread waits for a lock, that is never. So the
main thread waits for a pipe: the C level writes each signal's number into it, on whatever thread.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

# No signal has this number.
_WAKE = b"\0"


class StopSignals:
    """A context manager, for the main thread only (Python allows handlers nowhere else)."""

    def __init__(self) -> None:
        self._reader, self._writer = -1, -1
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_descriptor = -1
        # Against `wake` on another thread at the very end: the descriptor may have become another file.
        self._closing = threading.Lock()

    def wait(self, timeout: float | None = None) -> signal.Signals | None:
        """The next signal; None after `wake`, or when ``timeout`` seconds are over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            # Interrupted by a handler, `select` goes on with the time that is left (PEP 475).
            if not select.select([self._reader], [], [], left)[0]:
                return None
            number = os.read(self._reader, 1)[0]
            if number == _WAKE[0]:
                return None
            # The application may have handlers of its own, whose signals come by here too.
            if number in self._previous:
                return signal.Signals(number)

    def wake(self) -> None:
        """Let a present or the next `wait` return None. From any thread."""
        with self._closing:
            if self._writer >= 0:
                os.write(self._writer, _WAKE)

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        # What the C level writes must never block it.
        os.set_blocking(self._writer, False)
        self._previous_descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell without job control starts background processes with SIGINT ignored, so that a Ctrl-C
            # for the foreground does not end them too.
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, _nothing)
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
        signal.set_wakeup_fd(self._previous_descriptor)
        with self._closing:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal does not do what it does by default; the pipe has its number."""


def on_main_thread() -> bool:
    """Whether signal handlers can be set here."""
    return threading.current_thread() is threading.main_thread()
