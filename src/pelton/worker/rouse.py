"""Rousing a thread that waits for a word from another one, so that an exception can reach it.

An exception for another thread is raised when that thread next runs Python code, which one that waits in
``queue.get()`` may never do. All of Python's own waiting (queues, events, conditions, futures, semaphores)
ends in `threading.Condition.wait`, which makes a lock for itself, takes it, and takes it once more; who
notifies lets it go. So does this module. For the condition it is a wake-up too many, and the exception
meets the thread at that very call, in the ``try`` whose ``finally`` puts everything back: the case for which
CPython has it (an interrupted ``wait``). Other waits, for a lock or in C, cannot be ended from outside.

Called with the thread's exception already pending, from any other thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from types import FrameType
from typing import Final

_WAIT: Final = threading.Condition.wait.__code__
_LOCK: Final = type(threading.Lock())


def rouse(thread: int) -> bool:
    """Wake the thread with this ident if it waits in `threading.Condition.wait`; whether it does."""
    frame: FrameType | None = sys._current_frames().get(thread)
    if frame is None or frame.f_code is not _WAIT:
        return False
    waiter = frame.f_locals.get("waiter")
    if type(waiter) is not _LOCK:
        return False
    # Fails where somebody has notified it in this very moment.
    with contextlib.suppress(RuntimeError):
        waiter.release()
    return True
