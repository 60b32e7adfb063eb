"""What requests change of modules, classes and functions, and on which line.

A request is sent several times: what changes with each is shared state; what changes only with the first is
made once. The line is found by sending it again under a trace that compares after each line. Main thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from pelton.audit.calling import MOST_SECONDS, Application, call
from pelton.audit.definitions import is_imported, is_made_under_lock, line_of_making
from pelton.audit.finding import Finding, Kind
from pelton.audit.fingerprint import PLAIN, fingerprint, has_grown, locks_within
from pelton.audit.modules import is_held, is_own, place_of, shown
from pelton.audit.places import Getter, Places
from pelton.audit.views import of_rule
from pelton.requests.request import Request

# How often each request is sent: the first makes what is made once.
_TIMES: Final = 3


def look_for_state(
    application: Application, requests: list[Request], endless: set[Request]
) -> Iterator[Finding]:
    """Send each request, and say what they have changed; each name once.

    Those that do not end are added to ``endless``: they are not to be sent again.
    """
    places = Places(application)
    changes: dict[str, _Changes] = {}
    before = places.picture()
    for request in requests:
        kept = _sizes(places)
        for time in range(_TIMES):
            if not call(application, request).has_ended:
                endless.add(request)
                break
            after = places.picture()
            for name, value in after.items():
                if (name not in before or before[name] != value) and not places.has_arrived(name):
                    found = changes.setdefault(name, _Changes(request))
                    found.add(request, is_first=time == 0, grew=has_grown(before.get(name), value))
            before = after
        for name, size in _sizes(places).items():
            if size > kept.get(name, 0):
                changes.setdefault(name, _Changes(request))
        if request in endless:
            before = places.picture()
            reason = f"Alone it has not ended after {MOST_SECONDS:.0f} seconds; it is left out."
            place = of_rule(application, request)
            yield Finding(Kind.FAILS_ALONE, str(request), place, str(request), reason)
    for name, found in _with_one_name(places, changes).items():
        if finding := _finding(application, places, name, found):
            yield finding


def _with_one_name(places: Places, changes: dict[str, _Changes]) -> dict[str, _Changes]:
    """Without the names under which other modules have imported the same object."""
    objects: dict[int, list[str]] = {}
    for name in changes:
        value = places.getter(name)()
        if value is not None and not issubclass(type(value), PLAIN):
            objects.setdefault(id(value), []).append(name)
    superfluous = set()
    for names in objects.values():
        own = [name for name in names if not is_imported(name)] or names[:1]
        superfluous |= {*names} - {*own}
    return {name: found for name, found in changes.items() if name not in superfluous}


def _sizes(places: Places) -> dict[str, int]:
    return {name: cache.cache_info().currsize for name, cache in places.caches().items()}


@dataclass
class _Changes:
    """How often a name has got another value, and the request that did it first."""

    request: Request
    count: int = 0
    # Whether all of it was: a request that came for the first time and asks only has added to a container.
    is_memory: bool = True

    def add(self, request: Request, *, is_first: bool, grew: bool) -> None:
        """One change."""
        self.count += 1
        self.is_memory = self.is_memory and is_first and grew and request.is_safe


def _finding(application: Application, places: Places, name: str, changes: _Changes) -> Finding | None:
    """None for what is made once, and under a lock."""
    request = str(changes.request)
    if changes.count == 0:
        where = place_of(places.caches()[name])
        return Finding(Kind.OWN_CACHE, name, where, request, "Each worker process keeps results of its own.")
    if changes.count == 1 and is_made_under_lock(name):
        return None
    if changes.count == 1:
        reason = "The first request makes it; two at once may both do."
        return Finding(Kind.LAZY_STATE, name, line_of_making(name), request, reason)
    if changes.is_memory:
        reason = "Requests that come for the first time add to it, as to a cache: each worker has its own."
        return Finding(Kind.OWN_CACHE, name, line_of_making(name), request, reason)
    where, is_locked = _where_changed(application, changes.request, places, name)
    where = where or line_of_making(name)
    if "(" in name:
        reason = "A default value is made once, and every call changes the same one."
        return Finding(Kind.MUTABLE_DEFAULT, name, where, request, reason)
    if is_locked:
        reason = "Requests change it, under a lock; but each worker process has one of its own."
        return Finding(Kind.STATE_PER_WORKER, name, where, request, reason)
    reason = "Requests change it: threads do so at once, and each worker process has one of its own."
    return Finding(Kind.SHARED_STATE, name, where, request, reason)


def _where_changed(application: Application, request: Request, places: Places, name: str) -> tuple[str, bool]:
    """The line after which the value is another one, and whether a lock of the application was held there."""
    locks = [lock for _, value in places.named() for lock in locks_within(value) if not is_held(lock)]
    tracer = _Tracer(places.getter(name), locks)
    sys.settrace(tracer.enter)
    try:
        call(application, request)
    finally:
        sys.settrace(None)
    return tracer.where, tracer.is_locked


class _Tracer:
    """Compares one value after each line of the application's."""

    def __init__(self, getter: Getter, locks: list[Any]) -> None:
        self._getter = getter
        self._locks = locks
        self._before = fingerprint(getter())
        # The lines that ran last, by frame: a change is seen when the next line begins.
        self._last: dict[FrameType, tuple[int, bool]] = {}
        self.where = ""
        self.is_locked = False

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """A function begins; those of libraries are not looked into."""
        if self.where or not is_own(frame.f_code.co_filename):
            return None
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.where:
            return None
        now = fingerprint(self._getter())
        last = self._last.get(frame)
        if now != self._before and last is not None:
            line, self.is_locked = last
            self.where = f"{shown(frame.f_code.co_filename)}:{line}"
            return None
        self._before = now
        self._last[frame] = (frame.f_lineno, any(is_held(lock) for lock in self._locks))
        return self._step
