"""One look at the threads that run requests: what each of them does, and where.

Owns the classes: computing, waiting for a processor, for the interpreter, for a lock, for the network or a
disk, sleeping. A thread's clocks say how much of the time since the last look it has computed, and how much
it could have; what it did with the rest, its stack and the system call that it is in. Must not know who
looks. Linux; any thread.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

from pelton.observe.green import HasGreenlets, is_locked, is_sleeping, seat_of
from pelton.observe.routes import route_of_frame
from pelton.observe.stacks import Stack, frames_of, native_id, wait_at
from pelton.system import Waiting, thread_clocks, waits_for

if TYPE_CHECKING:
    from pelton.observe.inspector import RunningRequest

COMPUTING, PROCESSOR, INTERPRETER, LOCK, NETWORK, SLEEPING, OTHER = (
    "computing",
    "processor",
    "interpreter",
    "lock",
    "network",
    "sleeping",
    "other",
)
CLASSES: Final = (COMPUTING, PROCESSOR, INTERPRETER, LOCK, NETWORK, SLEEPING, OTHER)

# A hub that comes later than this is kept from running by a greenlet.
_GREEN_PATIENCE: Final = 0.02
_MOST_GREENLETS: Final = 30


@dataclass(frozen=True)
class Seen:
    """What one thread did since the last look: parts of the time, by class."""

    request: RunningRequest
    stack: Stack
    seconds: float
    parts: dict[str, float]
    # The pattern, where somebody says it.
    route: str | None = None

    @property
    def kind(self) -> str:
        """Method and route; the path, where no route is known."""
        return f"{self.request[3]} {self.route or self.request[4]}"

    @property
    def mostly(self) -> str:
        """The class of the largest part."""
        return max(self.parts, key=lambda one: self.parts[one])


@dataclass
class Looker:
    """Remembers the clocks of the last look: of each thread when it was, and what they said.

    ``greenlets``: the runner, where requests are greenlets.
    """

    greenlets: HasGreenlets | None = None
    _clocks: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    _green_looked: float = 0.0
    # Of the requests of the last look.
    _routes: dict[tuple[int, int, str, str], str] = field(default_factory=dict)

    def look(self, requests: list[RunningRequest]) -> list[Seen]:
        """At the threads and greenlets of these requests."""
        self._routes = {key: route for key in map(_key, requests) if (route := self._routes.get(key))}
        green = [one for one in requests if one[1] is not None]
        found = self._look_at_greenlets(green) if green else []
        frames = sys._current_frames()
        now = time.monotonic()
        clocks: dict[int, tuple[float, float, float]] = {}
        for request in requests:
            ident = request[0]
            frame = frames.get(ident)
            if frame is None or request[1] is not None:
                continue
            native = native_id(ident)
            computed, waited = thread_clocks(native)
            before = self._clocks.get(ident)
            clocks[ident] = (now, computed, waited)
            waiting = _waiting(ident, native, frame, frames)
            # A request younger than the last look has not been seen before.
            seconds = request[6] if before is None else min(now - before[0], request[6])
            if before is None or seconds <= 0:
                # Nothing is known of its clocks yet. Who waits for nothing else has computed, mostly.
                parts = {COMPUTING if waiting == INTERPRETER else waiting: 1.0}
            else:
                parts = parts_of((computed - before[1]) / seconds, (waited - before[2]) / seconds, waiting)
            route = self._route(request, partial(route_of_frame, frame))
            found.append(Seen(request, frames_of(frame), seconds, parts, route))
        self._clocks = clocks
        return found

    def _route(self, request: RunningRequest, find: Callable[[], str | None]) -> str | None:
        """It is looked for until there is one: at the beginning of a request nobody has matched it yet."""
        key = _key(request)
        route = self._routes.get(key)
        if route is None and (route := find()) is not None:
            self._routes[key] = route
        return route

    def _look_at_greenlets(self, requests: list[RunningRequest]) -> list[Seen]:
        """They share a thread: at most one computes, or blocks all of them."""
        if self.greenlets is None:
            return []
        # The hub looks, and nothing else runs meanwhile: not at all of them, but each stands for others.
        each = 1.0
        if len(requests) > _MOST_GREENLETS:
            each = len(requests) / _MOST_GREENLETS
            requests = random.sample(requests, _MOST_GREENLETS)
        parked = self.greenlets.stacks([one[1] for one in requests if one[1] is not None], _GREEN_PATIENCE)
        now = time.monotonic()
        since, self._green_looked = now - self._green_looked, now
        threads = sys._current_frames()
        found = []
        for request in requests:
            ident, seat, *_ = request
            seconds = min(since, request[6]) * each
            find: Callable[[], str | None] = _nowhere
            if parked is not None:
                find = partial(self.greenlets.route, -1 if seat is None else seat)
                stack = parked.get(-1 if seat is None else seat, [])
                kind = SLEEPING if is_sleeping(stack) else LOCK if is_locked(stack) else NETWORK
            elif seat_of(threads.get(ident)) == seat:
                find = partial(route_of_frame, threads.get(ident))
                stack = frames_of(threads.get(ident))
                kind = _waiting(ident, self.greenlets.native_id(), threads[ident], threads)
                kind = COMPUTING if kind == INTERPRETER else kind
            else:
                # Another one keeps the thread, and where this one is parked nobody can look safely.
                stack, kind = [], INTERPRETER
            found.append(Seen(request, stack, seconds, {kind: 1.0}, self._route(request, find)))
        return found


def _key(request: RunningRequest) -> tuple[int, int, str, str]:
    ident, _, slot, method, path, *_ = request
    return ident, slot, method, path


def _nowhere() -> None:
    """Where a greenlet is parked, nobody can look safely."""


def parts_of(computing: float, ready: float, waiting: str) -> dict[str, float]:
    """Shares of the time, by class: computed, ready without a processor, and what it did with the rest."""
    computing = min(1.0, max(0.0, computing))
    ready = min(1.0 - computing, max(0.0, ready))
    parts = {COMPUTING: computing, PROCESSOR: ready}
    parts[waiting] = parts.get(waiting, 0.0) + 1.0 - computing - ready
    return {name: part for name, part in parts.items() if part > 0.001} or {waiting: 1.0}


def _waiting(ident: int, native: int | None, frame: FrameType, frames: dict[int, FrameType]) -> str:
    kind = Waiting.UNKNOWN if native is None else waits_for(native)
    if kind is Waiting.IO:
        return NETWORK
    if kind is Waiting.SLEEP:
        return SLEEPING
    wait = wait_at(ident, frame, frames)
    if wait is not None:
        return LOCK
    # Our look holds the interpreter: who does not wait for anything else, waits for that.
    return INTERPRETER if kind in (Waiting.LOCK, Waiting.NOTHING) else OTHER
