"""Turns signals into something that can be waited for.

Owns the handlers for the signals that it is given, and the interpreter's wake-up descriptor, while it is
entered.

The interpreter runs a signal's handler on the main thread, when that executes bytecode the next time. If the
system delivers the signal to another thread while the main thread waits for a lock, that is never. So the
main thread waits for a pipe: the C level writes each signal's number into it, on whatever thread.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, Self

from pelton._engine import KeptDescriptor, own_signal
from pelton.process.native_threads import allocate_lock, is_patched, read, write
from pelton.process.readiness import wait_readable

# No signal has this number.
_WAKE = b"\0"
STOP = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """A context manager, for the main thread only (Python allows handlers nowhere else).

    ``numbers``: the signals to wait for. A SIGINT that is ignored stays so. ``unclaimed``: more of them, each
    only if nobody handles or ignores it yet. ``shared``: signals to be noticed, too; a handler that is there
    already goes on to be called.
    """

    def __init__(
        self,
        numbers: Iterable[signal.Signals] = STOP,
        *,
        unclaimed: Iterable[signal.Signals] = (),
        shared: Iterable[signal.Signals] = (),
    ) -> None:
        self._numbers = tuple(numbers)
        self._unclaimed = tuple(unclaimed)
        self._shared = tuple(shared)
        # Those that are reported although the handler is another's.
        self._noticed: set[signal.Signals] = set()
        self._reader, self._writer = -1, -1
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_descriptor = -1
        # A child that the application forks must not tell its parent of the child's signals.
        self._kept: list[KeptDescriptor] = []
        # Against `wake` on another thread at the very end: the descriptor may have become another file.
        self._closing = allocate_lock()

    def fileno(self) -> int:
        """Readable when `received` has something to tell."""
        return self._reader

    def received(self) -> list[signal.Signals]:
        """What has come since the last call, in this order; does not wait."""
        try:
            data = read(self._reader, 1024)
        except BlockingIOError:
            return []
        # The application may have handlers of its own, whose signals come by here too.
        return [signal.Signals(number) for number in data if self._is_meant(number)]

    def wait(self, timeout: float | None = None) -> signal.Signals | None:
        """The next signal; None after `wake`, or when ``timeout`` seconds are over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not wait_readable([self._reader], left):
                return None
            try:
                number = read(self._reader, 1)[0]
            except BlockingIOError:
                # In a child that a view has forked: its hub may still hear of its parent's pipe (an epoll
                # instance outlives a fork), and has one of its own in that place, which stays empty.
                continue
            if number == _WAKE[0]:
                return None
            if self._is_meant(number):
                return signal.Signals(number)

    def _is_meant(self, number: int) -> bool:
        return number in self._previous or number in self._noticed

    def wake(self) -> None:
        """Let a present or the next `wait` return None. From any thread."""
        with self._closing:
            if self._writer >= 0:
                write(self._writer, _WAKE)

    def leave_to_parent(self) -> None:
        """In a child just forked, with all signals still blocked: handlers and pipe are the parent's."""
        signal.set_wakeup_fd(-1)
        for number in self._previous:
            signal.signal(number, signal.SIG_DFL)
        self._close()

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        self._kept = [KeptDescriptor(self._reader), KeptDescriptor(self._writer)]
        # What the C level writes must never block it; and `received` takes what there is.
        os.set_blocking(self._writer, False)
        os.set_blocking(self._reader, False)
        self._previous_descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            # A shell without job control starts background processes with SIGINT ignored, so that a Ctrl-C
            # for the foreground does not end them too.
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = take(number)
        for number in self._unclaimed:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._previous[number] = take(number)
        for number in self._shared:
            # The C level tells of each signal that has a handler in Python.
            if callable(signal.getsignal(number)):
                self._noticed.add(number)
            else:
                self._previous[number] = take(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            own_signal(number, False)
            # None: it was set by C code, and Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_descriptor)
        with self._closing:
            self._close()

    def _close(self) -> None:
        for kept in self._kept:
            kept.close()
        os.close(self._reader)
        os.close(self._writer)
        self._reader = self._writer = -1


def take(number: signal.Signals) -> Any:
    """Let ``number`` do nothing, but in children that the application forks; returns the former handler."""
    previous = signal.signal(number, nothing)
    own_signal(number, True)
    return previous


def nothing(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal does not do what it does by default; the pipe has its number."""


def heeds_interrupts() -> bool:
    """Whether a Ctrl-C would be heard: not on another thread, nor where a shell has had SIGINT ignored."""
    return on_main_thread() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def on_main_thread() -> bool:
    """Whether signal handlers can be set here."""
    if is_patched():
        # What `threading` calls a thread is a greenlet then. The first thread has the number of its process.
        return threading.get_native_id() == os.getpid()
    return threading.current_thread() is threading.main_thread()
