"""Who holds a lock.

Owns the search: a reentrant lock knows its owner, a plain one does not, so that the stacks of all threads are
searched for code that has taken it. Must not judge what that means. Called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import FrameType
from typing import Final

from pelton.diagnostics.reading import attribute, rlock_owner, value_of
from pelton.diagnostics.source import Call, Span, With, held_withs, may_lock, place, uses_in
from pelton.diagnostics.waits import Wait

# A search through all threads ends here; more than any worker has.
_MOST_THREADS: Final = 1000
# Frames of one thread that are searched, the innermost.
_MOST_FRAMES: Final = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A thread that holds a lock, and the code with which it took it, if that was found."""

    thread: int
    how: str | None = None
    function: str = ""
    filename: str = ""
    line: int = 0


def holders_of(wait: Wait, frames: dict[int, FrameType]) -> list[Holder]:
    """Who holds what ``wait`` waits for: one thread for a lock, several for a semaphore; none: unknown."""
    if wait.lock is None and not issubclass(type(wait.what), threading.Semaphore):
        return []
    sought = wait.what if wait.lock is None else wait.lock
    owner = rlock_owner(sought)
    if owner is not None:
        taken = _takings(owner, frames[owner], sought) if owner in frames else iter(())
        return [next(taken, Holder(owner))]
    found = [
        holder
        for thread, frame in islice(frames.items(), _MOST_THREADS)
        if (holder := next(_takings(thread, frame, sought), None)) is not None
    ]
    # A plain lock has one holder. A thread in the body of a `with` is more certain than one that called
    # acquire() and has perhaps released it elsewhere.
    if wait.lock is not None:
        found.sort(key=lambda one: one.how is None or not one.how.startswith("with "))
        del found[1:]
    return found


def _takings(thread: int, frame: FrameType, sought: object) -> Iterator[Holder]:
    """Where this thread's functions have taken ``sought``, from the innermost."""
    walking: FrameType | None = frame
    for _ in range(_MOST_FRAMES):
        if walking is None:
            return
        code = walking.f_code
        if may_lock(code):
            taken = _taken_in(walking, sought)
            if taken is not None:
                line = taken.header if isinstance(taken, With) else taken.span
                yield Holder(thread, taken.how, code.co_qualname, code.co_filename, line.first[0])
        walking = walking.f_back


def _taken_in(frame: FrameType, sought: object) -> With | Call | None:
    for one in held_withs(frame):
        if _is(sought, value_of(one.expression, frame)):
            return one
    here = place(frame)
    return None if here is None else _taken_by_call(frame, here, sought)


def _taken_by_call(frame: FrameType, here: Span, sought: object) -> Call | None:
    taken: Call | None = None
    for call in uses_in(frame).calls:
        if call.method not in ("acquire", "release") or call.span.last > here.first:
            continue
        if here.first[1] < 0 and call.span.covers(here):
            continue
        if not _is(sought, value_of(call.expression, frame)):
            continue
        if call.method == "acquire":
            taken = call
        # A release in another branch, as before an early return, was not on the way here.
        elif taken is not None and (
            call.branches == taken.branches or all(one.covers(here) for one in call.branches)
        ):
            taken = None
    return taken


def _is(sought: object, value: object) -> bool:
    if value is sought:
        return True
    # Who holds a condition holds its lock.
    return issubclass(type(value), threading.Condition) and attribute(value, "_lock") is sought
