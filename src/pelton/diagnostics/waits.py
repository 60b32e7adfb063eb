"""What a thread waits for: the lock, or the object by which another thread shall tell it something.

Owns the knowledge of how Python's own condition, event, semaphore and queue are built upon locks. Must not
look for who holds them. Called from any thread.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from types import FrameType
from typing import Final

from pelton.diagnostics.reading import LOCK, MISSING, attribute, is_lock, is_taken, rlock_owner, value_of
from pelton.diagnostics.source import Call, With, current_use

# What happens in these is named after what the code outside has called.
LOOKED_THROUGH: Final = tuple(
    one.__code__.co_filename for one in (threading.Condition.wait, queue.Queue.get, Future.result)
)
# Waits that end in C without a lock that Python could see.
_NATIVE_WAITS: Final = frozenset({(queue.SimpleQueue, "get")})


@dataclass(frozen=True, slots=True)
class Wait:
    """A thread that does not come on by itself."""

    what: object
    """The object that the code names: a lock, a condition, a queue, …; MISSING when it cannot be known."""
    text: str
    """How the code names it: ``self._lock``."""
    how: str
    """What the code does: ``with self._lock``, ``ready.wait()``."""
    lock: object | None
    """The lock (`reading.is_lock`) that must be let go; None: somebody must notify."""
    instruction: int
    """Where the innermost frame stood."""


def wait_of(thread: int, frame: FrameType) -> Wait | None:
    """What the thread with this ident and this innermost frame waits for, as far as it can be known."""
    instruction = frame.f_lasti
    use = current_use(frame)
    if use is None:
        return None
    if not _is_looked_through(frame):
        return _direct(thread, use, value_of(use.expression, frame), instruction)
    lock = _lock_inside(use, frame)
    if lock is not None and not _is_waited_for(lock, thread):
        return None
    outer: FrameType | None = frame
    while outer is not None and _is_looked_through(outer):
        outer = outer.f_back
    named = None if outer is None else current_use(outer)
    if outer is None or named is None:
        what = value_of(use.expression, frame)
        return Wait(what, use.text, use.how, lock, instruction)
    return Wait(value_of(named.expression, outer), named.text, named.how, lock, instruction)


def _direct(thread: int, use: With | Call, what: object, instruction: int) -> Wait | None:
    if isinstance(use, Call) and (type(what), use.method) in _NATIVE_WAITS:
        return Wait(what, use.text, use.how, None, instruction)
    if not is_lock(what) or not _is_waited_for(what, thread):
        return None
    if isinstance(use, Call) and use.method not in ("acquire", "__enter__"):
        return None
    return Wait(what, use.text, use.how, what, instruction)


def _lock_inside(use: With | Call, frame: FrameType) -> object | None:
    """The lock for which one of Python's own synchronizing methods waits; None when it waits for a word."""
    if isinstance(use, Call):
        # A notification is a lock, too, which nobody holds; the end of a thread was one before Python 3.13.
        if frame.f_code.co_name in ("wait", "_wait_for_tstate_lock") and use.method == "acquire":
            return None
        if use.method == "_acquire_restore":
            found = attribute(value_of(use.expression, frame), "_lock")
            return found if is_lock(found) else None
        if use.method not in ("acquire", "__enter__"):
            return None
    found = value_of(use.expression, frame)
    return _innermost(found)


def _innermost(found: object) -> object | None:
    # `with self._cond` and `with self.mutex` where these are no plain locks: what is in them.
    for _ in range(2):
        if found is MISSING or is_lock(found):
            break
        found = attribute(found, "_lock")
    return found if is_lock(found) else None


def _is_waited_for(lock: object, thread: int) -> bool:
    # Otherwise the thread was only just passing there.
    return is_taken(lock) and (type(lock) is LOCK or rlock_owner(lock) != thread)


def _is_looked_through(frame: FrameType) -> bool:
    return frame.f_code.co_filename in LOOKED_THROUGH
