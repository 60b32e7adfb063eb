"""The threads runner, with a worker that waits for its end and nothing else."""

import threading
from collections.abc import Callable

import pytest

from pelton.worker.runners.base import Runner
from pelton.worker.runners.threads import ThreadsRunner
from support.waiting import eventually


class WaitingWorker:
    """Serves until `stop`, except the numbers in ``stuck``, which wait for `release`."""

    def __init__(self, stuck: tuple[int, ...] = ()) -> None:
        self.names: dict[int, str] = {}
        self.stuck = stuck
        self.stopped = threading.Event()
        self.release = threading.Event()

    def serve(
        self, thread: int, *, once: bool = False, on_departure: Callable[[], None] | None = None
    ) -> None:
        self.names[thread] = threading.current_thread().name
        if once:
            return
        (self.release if thread in self.stuck else self.stopped).wait()

    def stop(self) -> None:
        self.stopped.set()


def test_threads_have_names_and_end() -> None:
    worker = WaitingWorker()
    runner: Runner = ThreadsRunner(worker, 3)
    runner.start()
    runner.stop()
    assert runner.join(10) == []
    assert worker.names == {0: "pelton-0", 1: "pelton-1", 2: "pelton-2"}


def test_stuck_threads_are_told() -> None:
    worker = WaitingWorker(stuck=(1,))
    runner = ThreadsRunner(worker, 2)
    runner.start()
    runner.stop()
    assert [one.name for one in runner.join(0.05)] == ["pelton-1"]
    worker.release.set()
    assert runner.join(10) == []


def test_before_the_start() -> None:
    runner = ThreadsRunner(WaitingWorker(), 1)
    runner.stop()
    assert runner.join(0) == []


def test_a_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(WaitingWorker):
        def serve(
            self, thread: int, *, once: bool = False, on_departure: Callable[[], None] | None = None
        ) -> None:
            raise RuntimeError("inside")

    runner = ThreadsRunner(Faulty(), 1)
    runner.start()
    assert runner.join(10) == []
    assert caplog.records[0].levelno >= 50


def test_extra_threads_take_the_numbers_that_are_free() -> None:
    worker = WaitingWorker()
    runner = ThreadsRunner(worker, 1)
    runner.start()
    for _ in range(2):
        runner.add_thread(once=True)
        eventually(lambda: 1 not in runner._threads, "the thread left")
    runner.add_thread()
    eventually(lambda: len(worker.names) == 2, "it serves")
    runner.stop()
    runner.add_thread()
    assert runner.join(10) == []
    assert worker.names == {0: "pelton-0", 1: "pelton-1"}
