"""Waiting without sleeping: gates that a test holds, and conditions that come true.

Every wait here ends at `DEADLINE`, far above what any of them needs, so that a fault shows as a failed
test and not as a hanging one. It is below every default timeout of the server: a wake-up that gets lost
must not be made good by the next timer before the test notices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

DEADLINE = 10.0

# Between two looks at a number that nobody announces (a counter of the front, a directory of the kernel).
_LOOK_AGAIN = 0.002


def eventually(
    condition: Callable[[], bool], what: Callable[[], object] | str, seconds: float = DEADLINE
) -> None:
    """Return as soon as ``condition`` holds; fail with ``what`` (if callable, made then) if it never does.

    ``seconds``: only for what takes as long by itself.
    """
    deadline = time.monotonic() + seconds
    never = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what() if callable(what) else what}")
        never.wait(_LOOK_AGAIN)


class Gate:
    """Stops the threads of an application at one place until the test lets them go.

    The application calls `hold`. The test calls `wait_for` to know that so many have arrived, and `open`.
    """

    def __init__(self) -> None:
        self._arrivals = threading.Semaphore(0)
        self._open = threading.Event()
        self._lock = threading.Lock()
        self._inside = 0
        self.most_inside = 0

    def hold(self) -> None:
        """Announce the calling thread and wait until the gate is open."""
        with self._lock:
            self._inside += 1
            self.most_inside = max(self.most_inside, self._inside)
        try:
            self._arrivals.release()
            if not self._open.wait(DEADLINE):
                raise TimeoutError("the test never opened the gate")
        finally:
            with self._lock:
                self._inside -= 1

    def wait_for(self, count: int = 1) -> None:
        """Wait until ``count`` more threads have arrived."""
        for _ in range(count):
            if not self._arrivals.acquire(timeout=DEADLINE):
                raise AssertionError("the application never came to the gate")

    @property
    def inside(self) -> int:
        """Threads that are held now."""
        with self._lock:
            return self._inside

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._open.set()


class Tally:
    """Counts events that happen on other threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def add(self) -> None:
        """One more."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """How many so far."""
        with self._changed:
            return self._count

    def wait_for(self, count: int) -> None:
        """Wait until there are at least ``count``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, DEADLINE):
                raise AssertionError(f"{self._count} instead of {count}")
