"""The thread that looks after requests for whose responses nobody waits any more.

Owns what happens to each of them, and in which order. One that took too long, which the front has decided and
answered: report, then interrupt. One whose client has gone in the middle of an endless response: interrupt,
and rouse it. It also has the threads made that lent permits need. Each turn of the loop is the worker's
heartbeat, too: so nothing in it may wait for what the application could hold, such as the lock of a logging
handler. Where greenlets serve, a heartbeat also takes that their hub has come to run: whatever holds it holds
every request, and the thread of this watch would go on as if nothing were wrong.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from pelton.diagnostics.report_log import ReportLog
from pelton.diagnostics.stacks import report
from pelton.exceptions import ClientDisconnected, RequestTimeout
from pelton.process.left_behind import leave_behind
from pelton.process.native_threads import NativeEvent, NativeThread
from pelton.worker.rouse import rouse
from pelton.worker.spare_threads import SpareThreads
from pelton.worker.wsgi.observer import printable

LOGGER = logging.getLogger("pelton.request")

# A worker that has been stopped may have nothing to wait for any more.
_BREATH: Final = 0.01
# Of a path in the log.
_MOST_PATH: Final = 1000


class OverdueRequest(Protocol):
    """A request that still runs although nobody waits for its response (`_engine.Overdue`)."""

    @property
    def client_gone(self) -> bool:
        """Whether its client has gone; if not, it took too long and was answered 504."""

    @property
    def thread(self) -> int:
        """The ident of its thread."""

    @property
    def method(self) -> str:
        """As the client sent it."""

    @property
    def path(self) -> str:
        """As the client sent it, without the query."""

    @property
    def client(self) -> str:
        """Its address."""

    @property
    def age(self) -> float:
        """Seconds since its call began."""


_Overdue = TypeVar("_Overdue", bound=OverdueRequest)


class WatchedWorker(Protocol[_Overdue]):
    """The part of the native worker that is used here."""

    def next_overdue(self, timeout: float, beats: bool = True) -> _Overdue | None:
        """Wait, without the GIL, for the next such request; each is given once. None: the time is over.

        ``beats``: whether the front may take the call for a sign of life.
        """

    def interrupt(self, overdue: _Overdue, exception: type[BaseException]) -> bool:
        """Raise it in the request's thread; False when the request is over."""


@runtime_checkable
class Greenlets(Protocol):
    """A runner whose requests are greenlets, which only their own thread can look at and interrupt."""

    def report(self, overdue: Any) -> str:
        """Where the request's greenlet is, in many lines. Waits for a moment at most."""

    def interrupt(self, overdue: Any, exception: type[BaseException]) -> None:
        """Raise it there, if the request still runs; returns at once."""

    def next_round(self) -> NativeEvent:
        """Happens when the hub next comes to run; returns at once."""


class Watch:
    """Interrupts such requests of one worker, on a thread named "pelton-watch".

    ``name``: how the log calls this process, for example ``worker 3``. ``interval``: seconds between two
    heartbeats at most. ``spares``: who makes threads for requests that were lent a permit, if any are.
    ``greenlets``: the runner, where it is of that kind.
    """

    def __init__(
        self,
        worker: WatchedWorker[_Overdue],
        *,
        name: str,
        interval: float = 1.0,
        spares: SpareThreads | None = None,
        greenlets: Greenlets | None = None,
    ) -> None:
        self._greenlets = greenlets
        # Where greenlets serve: what the hub was asked for last.
        self._next_round: NativeEvent | None = None
        self._name = name
        self._interval = interval
        self._spares = spares
        self._ended = NativeEvent()
        self._log = ReportLog(LOGGER)
        self._thread = NativeThread(partial(self._run, worker), name="pelton-watch")

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, within ``interval`` at the latest. Returns at once; may come more than once."""
        if not self._ended.is_set():
            self._ended.set()
            leave_behind(self._thread)

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False when ``timeout`` seconds were over first."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, worker: WatchedWorker[_Overdue]) -> None:
        try:
            while not self._ended.is_set():
                before = time.monotonic()
                overdue = worker.next_overdue(self._interval, self._hub_runs())
                has_provided = self._spares is not None and self._spares.provide()
                if overdue is not None and overdue.client_gone:
                    self._dismiss(worker, overdue)
                elif overdue is not None:
                    self._end(worker, overdue)
                elif not has_provided and time.monotonic() - before < _BREATH:
                    self._ended.wait(_BREATH)
        except BaseException:
            # Without heartbeats the front takes the worker for frozen, and it is replaced: rightly so.
            LOGGER.critical("The watch ended by a fault of pelton; please report it.", exc_info=True)

    def _hub_runs(self) -> bool:
        """Whether the hub, where there is one, has come to run since the last look."""
        if self._greenlets is None:
            return True
        if self._next_round is not None and not self._next_round.is_set():
            return False
        self._next_round = self._greenlets.next_round()
        return True

    def _end(self, worker: WatchedWorker[_Overdue], overdue: _Overdue) -> None:
        # First the report: it is to show where the thread hangs, not how it unwinds.
        try:
            self._log.write(self._message(overdue))
        except Exception:
            LOGGER.debug("An overdue request could not be reported.", exc_info=True)
        # Once. Code that catches it may be cleaning up; who does not come back within the grace is not worth
        # a second one, but a new worker.
        (self._greenlets or worker).interrupt(overdue, RequestTimeout)

    def _dismiss(self, worker: WatchedWorker[_Overdue], overdue: _Overdue) -> None:
        # Nothing is wrong, so there is no report. An iterable that waits for an event which may never come
        # (as those of server-sent events do) would keep its thread for ever.
        if self._greenlets is not None:
            # What is raised in a greenlet resumes it.
            self._greenlets.interrupt(overdue, ClientDisconnected)
        elif worker.interrupt(overdue, ClientDisconnected):
            rouse(overdue.thread)

    def _message(self, overdue: _Overdue) -> str:
        path = overdue.path if len(overdue.path) <= _MOST_PATH else f"{overdue.path[:_MOST_PATH]}…"
        if self._greenlets is None:
            what, where = "thread", report(overdue.thread)
        else:
            what, where = "greenlet", self._greenlets.report(overdue)
        return (
            f"{printable(overdue.method)} {printable(path)} from {printable(overdue.client)} has run for "
            f"{overdue.age:.1f} s in {self._name} and was answered 504; its {what} is here:\n{where}"
        )
