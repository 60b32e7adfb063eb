"""What greenlets of requests do: one computes, the others wait in the hub.

Owns telling that apart. While the hub comes to run, all are parked and their stacks hold still; while it does
not, one greenlet keeps the thread, and the others wait for that. Any thread but the hub's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final, Protocol, runtime_checkable

from pelton.observe.stacks import Stack

# In the names of files and functions of gevent and eventlet, of the innermost frames.
_LOCKS: Final = ("lock", "semaphore", "event", "queue", "thread")
_LIBRARIES: Final = ("/gevent/", "/eventlet/")
_SERVES: Final = "GreenRunner._serve"


@runtime_checkable
class HasGreenlets(Protocol):
    """A runner whose requests are greenlets."""

    def stack(self, seat: int | None) -> str | None:
        """Where a greenlet is, as text; None if the hub does not come to say."""

    def stacks(self, seats: Sequence[int], patience: float) -> Mapping[int, Stack] | None:
        """Where these are parked; None if the hub does not come to say so in time."""


def seat_of(frame: FrameType | None) -> int | None:
    """Whose frames these are, of a thread that serves greenlets; None: the hub's, or nobody's of ours."""
    while frame is not None:
        if frame.f_code.co_qualname == _SERVES:
            seat = frame.f_locals.get("seat")
            return seat if isinstance(seat, int) else None
        frame = frame.f_back
    return None


def is_sleeping(stack: Stack) -> bool:
    """Whether a parked greenlet waits for a time only."""
    return any(function.rpartition(".")[2] == "sleep" for _, _, function in _of_library(stack))


def is_locked(stack: Stack) -> bool:
    """Whether it waits for another greenlet or thread.

    gevent's locks, events and queues are compiled and have no frames; its sockets have.
    """
    library = _of_library(stack)
    if not library:
        return bool(stack)
    files = (file.rpartition("/")[2] for file, _, _ in library)
    return any(word in name for name in files for word in _LOCKS)


def _of_library(stack: Stack) -> Stack:
    """The innermost frames, as far as they are the library's."""
    found: Stack = []
    for one in reversed(stack):
        if not any(part in one[0] for part in _LIBRARIES):
            break
        found.append(one)
    return found
