"""The worker kind "threads": each request runs on one of some threads.

Owns those threads. Which of them takes the next request is decided in the native module, how many there are
in `pelton.sizing`.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from pelton.config.bounds import Bounds
from pelton.config.settings import Settings
from pelton.worker.runners.base import Runner

LOGGER = logging.getLogger("pelton")


class ServingWorker(Protocol):
    """The part of the native worker that is used here."""

    def serve(
        self, thread: int, *, once: bool = False, on_departure: Callable[[], None] | None = None
    ) -> None:
        """Run requests on the calling thread until `stop` or until it departs; with ``once`` a lent one."""

    def stop(self) -> None:
        """Let every serving thread return."""


# So many others each new thread of a batch starts before it serves.
_HELPED = 2


class _Batch:
    """Threads that are still to be started, by several threads at the same time."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.refused: RuntimeError | None = None

    def take(self) -> bool:
        """Whether the caller is to start one."""
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def refuse(self, error: RuntimeError) -> None:
        """The system has none left: nobody is to try again."""
        with self._lock:
            self._left, self.refused = 0, error


class ThreadsRunner:
    """Threads named pelton-0, pelton-1, …, which the application sees as the current thread.

    ``bounds``: with how many it begins, and how many there may be; the same, where there is one number.
    """

    def __init__(self, worker: ServingWorker, bounds: int | tuple[int, int], kind: str = "threads") -> None:
        self.bounds = (bounds, bounds) if isinstance(bounds, int) else bounds
        self._worker = worker
        self._kind = kind
        # By their numbers; guarded by the lock, as extra ones come and go.
        self._threads: dict[int, threading.Thread] = {}
        # Numbers below this are in use, or were and are free again: the lowest is used first.
        self._numbers = 0
        self._free: list[int] = []
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def kind(self) -> str:
        """As it was made."""
        return self._kind

    def start(self) -> None:
        """Start the threads; they wait for requests."""
        for _ in range(self.bounds[0]):
            self._begin(once=False)

    def add_thread(self, *, once: bool = False) -> None:
        """One thread more: because it is needed, for another one that stays with a request, or, with
        ``once``, for one request that was lent a permit (see `pelton.worker.spare_threads`).

        Raises RuntimeError where the system has no thread left. Does nothing after `stop`.
        """
        self._begin(once=once)

    def add_threads(self, count: int) -> None:
        """So many more, soon.

        Whoever starts a thread waits until that has begun to run, which takes milliseconds where others have
        the processors. So the new ones help to start the rest. Raises RuntimeError as `add_thread`.
        """
        batch = _Batch(count)
        self._start_some(batch, count)
        if batch.refused is not None:
            raise batch.refused

    def idents(self) -> list[int]:
        """Of the threads that there are, as `threading.get_ident` names them."""
        with self._lock:
            return [one.ident for one in self._threads.values() if one.ident is not None]

    def stop(self) -> None:
        """Let each thread end after the request that it runs."""
        with self._lock:
            self._stopped = True
        self._worker.stop()

    def join(self, timeout: float) -> list[threading.Thread]:
        """Wait at most ``timeout`` seconds for all threads together; returns those that still run."""
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads.values())
        # A request may itself stop pelton: its thread cannot wait for its own end.
        others = [one for one in threads if one is not threading.current_thread() and one.is_alive()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in others if thread.is_alive()]

    def _start_some(self, batch: _Batch, most: int) -> None:
        for _ in range(most):
            if not batch.take():
                return
            try:
                self._begin(once=False, batch=batch)
            except RuntimeError as error:
                batch.refuse(error)

    def _begin(self, *, once: bool, batch: _Batch | None = None) -> None:
        with self._lock:
            if self._stopped:
                return
            number = heapq.heappop(self._free) if self._free else self._numbers
            self._numbers = max(self._numbers, number + 1)
            # Daemons: code of the application that never returns must not keep the process from ending.
            thread = threading.Thread(
                target=self._serve, args=(number, once, batch), name=f"pelton-{number}", daemon=True
            )
            self._threads[number] = thread
        # Without the lock: it returns when the new thread runs, which may be starting others itself.
        try:
            thread.start()
        except RuntimeError:
            self._forget(number)
            raise

    def _serve(self, number: int, once: bool, batch: _Batch | None) -> None:
        try:
            if batch is not None:
                self._start_some(batch, _HELPED)
            # One that is there for a single request leaves anyway.
            self._worker.serve(number, once=once, on_departure=None if once else self.add_thread)
        except BaseException:
            # Faults of the application end in the observer, so this one is ours. The other threads go on.
            LOGGER.critical("A serving thread ended by a fault of pelton; please report it.", exc_info=True)
        finally:
            self._forget(number)

    def _forget(self, number: int) -> None:
        # A thread that has to stop is waited for by its entry; any other leaves its number to the next.
        with self._lock:
            if not self._stopped and self._threads.pop(number, None) is not None:
                heapq.heappush(self._free, number)


def threads(worker: ServingWorker, settings: Settings) -> Runner:
    """As many threads as the settings say."""
    return ThreadsRunner(worker, bounds_of(settings))


def one_thread(worker: ServingWorker, settings: Settings) -> Runner:
    """The kind "sync": one request at a time."""
    return ThreadsRunner(worker, (1, 1), kind="sync")


def bounds_of(settings: Settings) -> tuple[int, int]:
    """Threads at least and at most, of settings whose bounds are settled (`pelton.sizing.limits`)."""
    threads = settings.threads
    if not isinstance(threads, Bounds):
        return threads, threads
    if threads.least is None or threads.most is None:
        raise AssertionError("bounds that nobody has settled")
    return threads.least, threads.most
