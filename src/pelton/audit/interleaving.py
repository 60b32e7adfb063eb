"""Differences between requests alone and the same ones at once.

Owns the threads, and many switches between them: a trace lets another one run at lines drawn by chance. Only
requests that give the same response twice when they are alone are compared. Those that change something are
sent beside each other, and not beside those that only ask: what these see of a database may change. Main
thread.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from pelton.audit.calling import MOST_SECONDS, Application, Outcome, call
from pelton.audit.finding import Finding, Kind
from pelton.audit.modules import is_own, where
from pelton.audit.views import where_of, where_raised
from pelton.requests.request import Request

_THREADS: Final = 8
_SWITCH_SECONDS: Final = 1e-5
# Of the application's lines, so many let another thread run.
_SHARE: Final = 0.2
# And a little more: the next one has come.
_A_SECOND: Final = 1.1
# After so long without the end of any request, those that run wait for each other.
_STUCK_SECONDS: Final = 3 * MOST_SECONDS

Different = dict[Request, tuple[Outcome, str]]


def look_for_interleaving(
    application: Application, requests: list[Request], *, rounds: int, seed: int = 0
) -> Iterator[Finding]:
    """Send all at once, ``rounds`` times each, and say which gave something else than alone."""
    expected = {}
    for request in requests:
        first = call(application, request)
        # On another thread, for some show its name; and once more, for some count.
        if first == _on_a_thread(application, request) == call(application, request):
            expected[request] = first
        if first.status.startswith(("5", "raised")):
            place = where_raised(application, request)
            reason = f"Alone it gives {first.status}."
            yield Finding(Kind.FAILS_ALONE, str(request), place, str(request), reason)
    different: Different = {}
    for orders in _orders(list(expected), rounds, random.Random(seed)):
        run = _Run(application, expected, orders, seed)
        for request, found in run.different().items():
            different.setdefault(request, found)
        if run.stuck:
            yield from map(_stuck, run.stuck)
            # What they hold, nobody gets any more.
            return
    of_itself = changing_alone(application, {request: expected[request] for request in different})
    for request, (outcome, beside) in different.items():
        if request in of_itself:
            continue
        alone = expected[request]
        what = "another body" if str(alone) == str(outcome) else str(outcome)
        reason = f"Alone it gives {alone}; at the same time as {beside} it gave {what}."
        place = where_of(application, request)
        yield Finding(Kind.INTERLEAVING, str(request), place, str(request), reason)


def changing_alone(application: Application, expected: dict[Request, Outcome]) -> set[Request]:
    """Those whose responses are others by now, or a little later, though nothing runs beside them.

    Some bodies have the second in which they were made, for example what gzip has packed; some show what is
    in a database.
    """
    if not expected:
        return set()
    now = {request: call(application, request) for request in expected}
    time.sleep(_A_SECOND)
    return {
        request
        for request, alone in expected.items()
        if now[request] != alone or call(application, request) != alone
    }


def _stuck(found: tuple[Request, str, str]) -> Finding:
    request, place, beside = found
    reason = f"It did not end at the same time as {beside}; alone it does. Perhaps they wait for each other."
    return Finding(Kind.INTERLEAVING, str(request), place, str(request), reason)


def _on_a_thread(application: Application, request: Request) -> Outcome | None:
    """None where it does not end there."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(call(application, request)), daemon=True)
    thread.start()
    thread.join(_STUCK_SECONDS)
    return outcomes[0] if outcomes else None


def _orders(requests: list[Request], rounds: int, chance: random.Random) -> Iterator[list[Request]]:
    """Those of one page among themselves, for they share most; then all. Asking and changing ones apart."""
    for is_safe in (True, False):
        of_this_kind = [request for request in requests if request.is_safe is is_safe]
        pages: dict[str, list[Request]] = {}
        for request in of_this_kind:
            pages.setdefault(request.path.partition("?")[0], []).append(request)
        for group in [*pages.values(), *([of_this_kind] if len(pages) > 1 else [])]:
            orders = group * rounds
            chance.shuffle(orders)
            yield orders


class _Run:
    """One run of all orders on several threads."""

    def __init__(
        self, application: Application, expected: dict[Request, Outcome], orders: list[Request], seed: int
    ) -> None:
        self._application = application
        self._expected = expected
        self._orders = iter(orders)
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._running: dict[int, Request] = {}
        self._different: Different = {}
        # When a request has ended for the last time.
        self._ended = time.monotonic()
        # Of requests that do not end: the request, where it stands, and what runs beside it.
        self.stuck: list[tuple[Request, str, str]] = []

    def different(self) -> Different:
        """The requests with another outcome, that outcome, and what ran beside it."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                self._wait_for(thread)
        finally:
            sys.setswitchinterval(before)
        return dict(self._different)

    def _wait_for(self, thread: threading.Thread) -> None:
        while thread.is_alive() and not self.stuck:
            thread.join(1.0)
            if thread.is_alive() and time.monotonic() - self._ended > _STUCK_SECONDS:
                frames = sys._current_frames()
                with self._lock:
                    self.stuck = [
                        (request, where(frames.get(who)), self._beside(who))
                        for who, request in self._running.items()
                    ]

    def _beside(self, me: int) -> str:
        others = dict.fromkeys(str(one) for who, one in self._running.items() if who != me)
        return ", ".join(others) or "nothing else"

    def _work(self) -> None:
        me = threading.get_ident()
        # One at a time: Python refuses to set two traces at once.
        with self._lock:
            sys.settrace(self._enter)
        while True:
            with self._lock:
                request = next(self._orders, None)
                if request is None:
                    return
                self._running[me] = request
                beside = self._beside(me)
            outcome = call(self._application, request)
            with self._lock:
                self._running.pop(me, None)
                self._ended = time.monotonic()
                if outcome != self._expected[request]:
                    self._different.setdefault(request, (outcome, beside))

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._step if is_own(frame.f_code.co_filename) else None

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._chance.random() < _SHARE:
            time.sleep(0)
        return self._step
