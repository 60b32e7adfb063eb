"""Differences between requests alone and the same ones at once.

Owns the threads, and many switches between them: a trace lets another one run at lines drawn by chance. Only
requests that give the same response twice when they are alone are compared. Main thread.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from pelton.audit.calling import Application, Outcome, call
from pelton.audit.finding import Finding, Kind
from pelton.audit.modules import is_own
from pelton.requests.request import Request

_THREADS: Final = 8
_SWITCH_SECONDS: Final = 1e-5
# Of the application's lines, so many let another thread run.
_SHARE: Final = 0.2
# And a little more: the next one has come.
_A_SECOND: Final = 1.1


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
            reason = f"Alone it gives {first.status}."
            yield Finding(Kind.FAILS_ALONE, str(request), "", str(request), reason)
    if not expected:
        return
    different: dict[Request, tuple[Outcome, str]] = {}
    for orders in _orders(list(expected), rounds, random.Random(seed)):
        for request, found in _Run(application, expected, orders, seed).different().items():
            different.setdefault(request, found)
    of_time = depending_on_time(application, list(different))
    for request, (outcome, beside) in different.items():
        if request in of_time:
            continue
        alone = expected[request]
        what = "another body" if str(alone) == str(outcome) else str(outcome)
        reason = f"Alone it gives {alone}; at the same time as {beside} it gave {what}."
        yield Finding(Kind.INTERLEAVING, str(request), "", str(request), reason)


def depending_on_time(application: Application, requests: list[Request]) -> set[Request]:
    """Those whose responses differ a little later, though nothing runs beside them.

    Some bodies have the second in which they were made, for example what gzip has packed.
    """
    if not requests:
        return set()
    before = {request: call(application, request) for request in requests}
    time.sleep(_A_SECOND)
    return {request for request in requests if call(application, request) != before[request]}


def _on_a_thread(application: Application, request: Request) -> Outcome:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(call(application, request)))
    thread.start()
    thread.join()
    return outcomes[0]


def _orders(requests: list[Request], rounds: int, chance: random.Random) -> Iterator[list[Request]]:
    """Those of one page among themselves, for they share most; then all."""
    pages: dict[str, list[Request]] = {}
    for request in requests:
        pages.setdefault(request.path.partition("?")[0], []).append(request)
    groups = [*pages.values(), *([requests] if len(pages) > 1 else [])]
    for group in groups:
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
        self._different: dict[Request, tuple[Outcome, str]] = {}

    def different(self) -> dict[Request, tuple[Outcome, str]]:
        """The requests with another outcome, that outcome, and what ran beside it."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        return self._different

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
                beside = ", ".join(dict.fromkeys(str(one) for who, one in self._running.items() if who != me))
            outcome = call(self._application, request)
            with self._lock:
                self._running.pop(me, None)
                if outcome != self._expected[request]:
                    self._different.setdefault(request, (outcome, beside or "nothing else"))

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._step if is_own(frame.f_code.co_filename) else None

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._chance.random() < _SHARE:
            time.sleep(0)
        return self._step
