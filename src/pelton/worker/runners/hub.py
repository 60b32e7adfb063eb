"""What a runner of greenlets needs of an event loop, and how other threads reach it.

Owns the calls that other threads hand over. Must not import gevent or eventlet: each has a module of its own
that gives a `Hub`. A *hub* is the greenlet that runs the loop, on the thread of all those that it resumes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from pelton._engine import KeptDescriptor
from pelton.process.native_threads import allocate_lock, close
from pelton.system import new_bell, ring_bell, silence_bell


class Greenlet(Protocol):
    """The part of a greenlet that is used here."""

    gr_frame: FrameType | None

    def switch(self) -> Any:
        """Run it, from the hub, until it parks; begins it the first time."""

    def throw(self, kind: type[BaseException]) -> Any:
        """As `switch`, with an exception for where it is parked."""


class Turn(Protocol):
    """Something to be called by the hub once, after it has looked at sockets and timers."""

    def start(self) -> None:
        """Have it called in the hub's next round; does nothing if that is so already."""

    def stop(self) -> None:
        """Do not have it called."""


class Hub(Protocol):
    """The event loop of one thread. All of it for that thread only."""

    def watch(self, descriptor: int, function: Callable[[], None]) -> Callable[[], None]:
        """Call ``function`` in the hub whenever the descriptor is readable; returns what ends that."""

    def turn(self, function: Callable[[], None]) -> Turn:
        """For ``function``, not started."""

    def greenlet(self, function: Callable[[], None]) -> Greenlet:
        """One that runs ``function``, not begun."""

    def current(self) -> Greenlet:
        """The greenlet that calls this."""

    def park(self) -> None:
        """Let the hub run, until it switches back."""


class Calls:
    """Functions for the hub's thread, from any other."""

    def __init__(self, hub: Hub) -> None:
        """On the hub's thread. Raises OSError when the process has no descriptor left."""
        self._waiting: deque[Callable[[], object]] = deque()
        self._descriptor = new_bell()
        self._kept = KeptDescriptor(self._descriptor)
        # So that nobody rings a descriptor that was closed meanwhile and is another file by now.
        self._lock = allocate_lock()
        self._end_watch = hub.watch(self._descriptor, self._run)

    def post(self, function: Callable[[], object]) -> None:
        """Have it called in the hub; never, if the hub does not come to run. From any thread."""
        self._waiting.append(function)
        with self._lock:
            if self._descriptor >= 0:
                ring_bell(self._descriptor)

    def close(self) -> None:
        """Call nothing more; on the hub's thread."""
        self._end_watch()
        with self._lock:
            self._kept.close()
            close(self._descriptor)
            self._descriptor = -1

    def _run(self) -> None:
        silence_bell(self._descriptor)
        while self._waiting:
            self._waiting.popleft()()
