"""Locks that greenlets of eventlet and real threads may both take: what `logging` gets.

Owns the locks, and the places of the standard library where they stand. Why: eventlet makes locks that only
greenlets of one thread can share. Pelton's own threads (the watch, the reports) write to the log, too. Where
one of them holds a lock of eventlet's kind while a greenlet or another thread waits for it, that one is never
woken: release starts a timer in a hub of the wrong thread. Any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import greenlet

from pelton.process.native_threads import allocate_lock

# Between two looks of a greenlet at a lock that somebody has. Contention is rare, and short.
_LOOK_SECONDS: Final = 0.001
# How long a hub may wait for another thread: all its greenlets do meanwhile.
_HUB_PATIENCE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Waiting:
    """How to wait on this thread.

    ``sleep`` lets its other greenlets go on; ``hub`` gives its hub, None where it has none.
    """

    hub: Callable[[], Any]
    sleep: Callable[[float], object]


class SharedRLock:
    """As `threading.RLock`; its owner is a greenlet, or a thread without any. Waiters are not in a line."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._at_fork_reinit()

    def _at_fork_reinit(self) -> None:
        # `logging` calls it in a forked child, where whoever had it may not be any more.
        self._lock = allocate_lock()
        self._owner: greenlet.greenlet | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more where it is the caller's; False where it was not to be had in time."""
        current = _current()
        if current is None:
            return True
        if self._owner is not current:
            if not self._lock.acquire(False) and not (blocking and self._wait(current, timeout)):
                return False
            self._owner = current
        self._count += 1
        return True

    def release(self) -> None:
        """Give it back, once for each time that it was taken. Raises RuntimeError where another has it."""
        current = _current()
        if current is None:
            return
        if self._owner is not current:
            raise RuntimeError("cannot release a lock that somebody else has")
        self._count -= 1
        if self._count == 0:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _wait(self, current: greenlet.greenlet, timeout: float) -> bool:
        hub = self._waiting.hub()
        if hub is None:
            taken: bool = self._lock.acquire(True, timeout)
            return taken
        if hub.greenlet is current:
            # It cannot let others go on. A thread will release it; a greenlet of this hub never would.
            if self._lock.acquire(True, _HUB_PATIENCE_SECONDS):
                return True
            raise RuntimeError("the hub waits for a lock that one of its greenlets may have")
        deadline = None if timeout < 0 else time.monotonic() + timeout
        while not self._lock.acquire(False):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._waiting.sleep(_LOOK_SECONDS)
        return True


def _current() -> greenlet.greenlet | None:
    try:
        return greenlet.getcurrent()
    except RuntimeError:
        # At the end of the interpreter: nobody else runs, and handlers of the log are still taken down.
        return None


def share(waiting: Waiting) -> None:
    """Give the log of this process locks that wait so.

    Of `logging`: its own, those of handlers, and those of handlers to come. Also the one under which
    `threading` keeps its list: what a thread of pelton's is called stands there.
    """
    if isinstance(logging._lock, SharedRLock):  # type: ignore[attr-defined]
        return

    def create_lock(handler: logging.Handler) -> None:
        handler.lock = SharedRLock(waiting)  # type: ignore[assignment]
        logging._register_at_fork_reinit_lock(handler)  # type: ignore[attr-defined]

    logging._lock = SharedRLock(waiting)  # type: ignore[attr-defined]
    logging.Handler.createLock = create_lock  # type: ignore[method-assign,assignment]
    for reference in logging._handlerList[:]:  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.lock = SharedRLock(waiting)
    threading._active_limbo_lock = SharedRLock(waiting)  # type: ignore[attr-defined]
