"""What greenlets of requests do: one computes, the others wait in the hub.

Owns telling that apart. While the hub comes to run, all are parked and their stacks hold still; while it does
not, one greenlet keeps the thread, and the others wait for that. Any thread but the hub's.
"""

from __future__ import annotations

import linecache
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Final, Protocol, runtime_checkable

from pelton.observe.stacks import Stack, application_frame

# In the names of files and functions of gevent and eventlet, of the innermost frames.
_LOCKS: Final = ("lock", "semaphore", "event", "queue", "thread")
LIBRARIES: Final = ("/gevent/", "/eventlet/")
_SERVES: Final = "GreenRunner._serve"


@runtime_checkable
class HasGreenlets(Protocol):
    """A runner whose requests are greenlets."""

    def native_id(self) -> int | None:
        """The system's number of the hub's thread."""

    def stack(self, seat: int | None) -> str | None:
        """Where a greenlet is, as text; None if the hub does not come to say."""

    def route(self, seat: int) -> str | None:
        """The route of its request, as the last look at the stacks has found it."""

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
        if not any(part in one[0] for part in LIBRARIES):
            break
        found.append(one)
    return found


def waits_for_greenlet(stack: Stack) -> dict[str, Any]:
    """What a parked one waits for, as its own line says it. Who has that, no lock of greenlets knows."""
    place = application_frame(stack)
    text = "" if place is None else linecache.getline(place[0], place[1]).strip()
    return {"for": text.rstrip(":"), "how": "", "object": "", "lock": True, "held_by": []}


def waits_for_hub(seat: int | None, stack: Stack) -> dict[str, Any]:
    """That of all others while the greenlet with this stack keeps the thread."""
    file, line, function = application_frame(stack) or ("", 0, "")
    name = "its thread" if seat is None else f"greenlet {seat}"
    held = {"ident": 0, "name": name, "how": "runs", "function": function, "file": file, "line": line}
    return {"for": "the hub", "how": "", "object": "", "lock": False, "held_by": [held] if stack else []}
