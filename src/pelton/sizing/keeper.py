"""Keeps as many threads as the policy says, in one worker.

Owns the thread "pelton-sizing", which observes (in the native module, without the interpreter), asks `policy`
and makes threads or lets them go. Must not decide anything itself, and must not wait for what the application
could hold: its messages are written by a thread of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pelton.diagnostics.report_log import ReportLog
from pelton.process.left_behind import leave_behind
from pelton.process.native_threads import NativeEvent, NativeThread
from pelton.process.resources import has_interpreter_lock
from pelton.sizing.contention import Common, common_wait
from pelton.sizing.policy import FORESIGHT, LOOK_FROM, PATIENCE, Decision, Need, Observation, Why, decide
from pelton.system import memory_left, processors

LOGGER = logging.getLogger("pelton")

# How often is looked while nobody waits: what it costs is one wake-up.
_LOOK: Final = 2.0
# How often it is looked again whether more threads would help, where they would not.
_AGAIN: Final = 0.05
# How often is looked, in the native module, while all threads are at requests.
_TICK: Final = 0.001
# Processor time is a share of at least so much time: of less, the start of the threads themselves is most.
_WINDOW: Final = 0.02
# Changes by more than double are logged, but no more often than this.
_LOGGED_EVERY: Final = 10.0
# The front knows them by number: REASONS in crates/front/src/handlers/health.rs.
_REASONS: Final = list(Why)
# Of places where many threads wait, so many are logged.
_MOST_PLACES: Final = 100
# A thread that cannot be started is not asked for again for so long.
_REFUSED: Final = 5.0


class SizedWorker(Protocol):
    """The part of the native worker that is used here."""

    def observe(
        self, timeout: float, patience: float, foresight: float, tick: float, expected: int
    ) -> tuple[int, int, int, int, float, float, float]:
        """Wait until all threads have been at requests for ``foresight``, or one waited for ``patience``."""

    def dismiss(self, count: int) -> None:
        """Let so many threads return that have nothing to do."""

    def tell_sized(self, threads: int, computing: int, reason: int) -> None:
        """Tell the front, for whoever asks there."""


class SizedRunner(Protocol):
    """A runner whose threads come and go."""

    def add_threads(self, count: int) -> None:
        """So many threads more, soon. Raises RuntimeError where the system has none left."""

    def idents(self) -> list[int]:
        """Of its threads."""

    @property
    def bounds(self) -> tuple[int, int]:
        """How many there are at least and at most."""


@dataclass
class _Computed:
    """The share of the time in which threads computed, over windows that are not too short."""

    since: float = 0.0
    seconds: float = 0.0
    share: float = 0.0

    def note(self, seconds: float, now: float) -> float:
        if now - self.since >= _WINDOW:
            self.share = max(0.0, seconds - self.seconds) / (now - self.since)
            self.since, self.seconds = now, seconds
        return self.share


class Keeper:
    """Keeps the threads of one worker. ``name``: how the log calls this process."""

    def __init__(
        self,
        worker: SizedWorker,
        runner: SizedRunner,
        *,
        name: str,
        bound: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._runner = runner
        self._name = name
        self._bound = bound
        self._clock = clock
        self._need = Need()
        self._computed = _Computed(since=clock())
        # The lock never goes away later, so nobody asks for processors where it is.
        self._processors = 1.0 if has_interpreter_lock() else processors()
        self._logged_threads = runner.bounds[0]
        self._logged_at = clock() - _LOGGED_EVERY
        self._refused_until = clock()
        self._grew = Why.NEEDED
        self._common: Common | None = None
        self._logged_places: set[str] = set()
        self._ended = NativeEvent()
        self._news = ReportLog(LOGGER, patience=0, level=logging.INFO)
        self._faults = ReportLog(LOGGER, patience=0, level=logging.WARNING)
        self._thread = NativeThread(self._run, name="pelton-sizing")

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, with the worker. Returns at once; may come more than once."""
        if not self._ended.is_set():
            self._ended.set()
            leave_behind(self._thread)

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False when ``timeout`` seconds were over first."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        expected = self._runner.bounds[0]
        try:
            while not self._ended.is_set():
                expected = self._turn(expected)
        except BaseException:
            LOGGER.critical("The sizing ended by a fault of pelton; please report it.", exc_info=True)

    def _turn(self, expected: int) -> int:
        """Observe, decide, do; gives how many threads there are or will be in a moment."""
        values = self._worker.observe(_LOOK, PATIENCE, FORESIGHT, _TICK, expected)
        if self._ended.is_set():
            return expected
        now = self._clock()
        seen = self._seen(*values, now=now)
        least, most = self._runner.bounds
        decision, self._need = decide(seen, self._need, least, most, now)
        if decision.permits > seen.threads:
            self._grew = decision.why
            self._worker.dismiss(0)
            made = self._make(decision.permits - seen.threads, now)
            expected = seen.threads + made
        else:
            expected = decision.permits
            self._worker.dismiss(seen.threads - decision.permits)
        self._worker.tell_sized(expected, round(seen.computing * 1000), _REASONS.index(decision.why))
        self._tell(decision, seen, now)
        if decision.why is Why.SAME and self._common is not None:
            self._tell_of_common(self._common, seen.threads)
        is_held = decision.permits <= seen.threads and (seen.is_full or decision.holds)
        if is_held or now < self._refused_until:
            self._ended.wait(_AGAIN)
        return expected

    def _seen(
        self,
        threads: int,
        idle: int,
        most_busy: int,
        waiting: int,
        head_age: float,
        lock_wait: float,
        computed: float,
        *,
        now: float,
    ) -> Observation:
        looks = (head_age >= PATIENCE or idle == 0) and threads >= LOOK_FROM
        self._common = common_wait(self._runner.idents()) if looks else None
        return Observation(
            threads=threads,
            most_busy=most_busy,
            waiting=waiting,
            head_age=head_age,
            lock_wait=lock_wait,
            computing=self._computed.note(computed, now) / self._parallel(),
            is_full=idle == 0,
            same=0 if self._common is None else self._common.threads,
            memory_left=memory_left() if looks else None,
        )

    def _parallel(self) -> float:
        """How many threads can compute at the same time. Not kept: an extension can bring the lock back."""
        return 1.0 if has_interpreter_lock() else self._processors

    def _make(self, count: int, now: float) -> int:
        """How many will certainly be there."""
        try:
            self._runner.add_threads(count)
        except RuntimeError as error:
            self._refused_until = now + _REFUSED
            self._faults.write(f"The system refuses {self._name} another thread: {error}.")
            return 0
        return count

    def _tell(self, decision: Decision, seen: Observation, now: float) -> None:
        """A line when the threads have become more than twice as many, or fewer than half."""
        permits, before = decision.permits, self._logged_threads
        if (permits <= 2 * before and 2 * permits >= before) or now < self._logged_at + _LOGGED_EVERY:
            return
        # What is only on its way is logged when it has arrived: a burst is one line.
        if decision.why in (Why.NEEDED, Why.PASSING, Why.AHEAD):
            return
        self._logged_threads, self._logged_at = permits, now
        self._news.write(
            f"{self._name} has {permits} threads instead of {before}: {self._reason(decision, before)} "
            f"(the threads compute {seen.computing:.0%} of the time; most: {self._runner.bounds[1]}, by "
            f"{self._bound})"
        )

    def _tell_of_common(self, common: Common, threads: int) -> None:
        # Once for each place: it may last for hours.
        if common.where in self._logged_places or len(self._logged_places) >= _MOST_PLACES:
            return
        self._logged_places.add(common.where)
        self._news.write(
            f"{common.threads} of {threads} threads of {self._name} wait in {common}: more threads will not "
            "help"
        )

    def _reason(self, decision: Decision, before: int) -> str:
        return (self._grew if decision.permits > before else decision.why).value
