"""The watch over overdue requests, with a worker that hands them out one by one."""

import ctypes
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from pelton.diagnostics.report_log import ReportLog
from pelton.exceptions import ClientDisconnected, RequestTimeout
from pelton.process.native_threads import NativeEvent
from pelton.worker import watch as module
from pelton.worker.watch import Watch
from support.waiting import DEADLINE, Gate, Tally, eventually


@dataclass(frozen=True)
class Overdue:
    thread: int
    method: str = "GET"
    path: str = "/path"
    client: str = "10.0.0.1"
    age: float = 30.14
    client_gone: bool = False


class FakeWorker:
    """Gives what is put into ``overdue``, and remembers what was interrupted."""

    def __init__(self) -> None:
        self.overdue = queue.Queue[Overdue]()
        self.interrupted = queue.Queue[tuple[Overdue, type[BaseException]]]()
        self.beats = Tally()
        self.still_runs = True

    def next_overdue(self, timeout: float, beats: bool = True) -> Overdue | None:
        self.beats.add()
        try:
            return self.overdue.get(timeout=timeout)
        except queue.Empty:
            return None

    def interrupt(self, overdue: Overdue, exception: type[BaseException]) -> bool:
        self.interrupted.put((overdue, exception))
        return self.still_runs


@contextmanager
def watching(worker: FakeWorker, *, interval: float = 0.01) -> Iterator[Watch]:
    watch = Watch(worker, name="worker 3", interval=interval)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        assert watch.join(DEADLINE)


@contextmanager
def hanging() -> Iterator[int]:
    event = threading.Event()
    entered = threading.Event()

    def view() -> None:
        entered.set()
        event.wait(DEADLINE)

    thread = threading.Thread(target=view)
    thread.start()
    assert entered.wait(DEADLINE)
    try:
        yield thread.ident or 0
    finally:
        event.set()
        thread.join(DEADLINE)


def test_reports_and_then_interrupts(caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker()
    with hanging() as ident, watching(worker):
        overdue = Overdue(ident)
        worker.overdue.put(overdue)
        assert worker.interrupted.get(timeout=DEADLINE) == (overdue, RequestTimeout)
        # It is in the log by now: the report comes first.
        (record,) = [one for one in caplog.records if one.name == "pelton.request"]
    first, second, *_ = record.getMessage().splitlines()
    assert first == (
        "GET /path from 10.0.0.1 has run for 30.1 s in worker 3 and was answered 504; its thread is here:"
    )
    assert second.startswith("  File ")
    assert "event.wait(DEADLINE)" in record.getMessage()
    assert record.levelno == logging.ERROR
    assert worker.interrupted.empty()


def test_each_request_is_reported_and_interrupted_once(caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker()
    worker.still_runs = False
    with watching(worker):
        for path in ("/1", "/2"):
            worker.overdue.put(Overdue(-1, path=path))
            assert worker.interrupted.get(timeout=DEADLINE)[0].path == path
        worker.beats.wait_for(worker.beats.count + 2)
    assert worker.interrupted.empty()
    assert [one.split(" from")[0] for one in caplog.messages] == ["GET /1", "GET /2"]


def test_a_request_whose_client_has_gone_is_interrupted_and_roused(caplog: pytest.LogCaptureFixture) -> None:
    met: list[type[BaseException]] = []

    def view() -> None:
        try:
            queue.Queue[int]().get()
        except BaseException as error:
            met.append(type(error))

    class Real(FakeWorker):
        def interrupt(self, overdue: Overdue, exception: type[BaseException]) -> bool:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(overdue.thread), ctypes.py_object(exception)
            )
            return super().interrupt(overdue, exception)

    worker = Real()
    thread = threading.Thread(target=view)
    thread.start()
    overdue = Overdue(thread.ident or 0, client_gone=True)
    with watching(worker):
        worker.overdue.put(overdue)
        assert worker.interrupted.get(timeout=DEADLINE) == (overdue, ClientDisconnected)
        thread.join(DEADLINE)
    assert met == [ClientDisconnected]
    assert caplog.messages == []


def test_nobody_is_roused_whose_request_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    roused: list[int] = []
    monkeypatch.setattr(module, "rouse", roused.append)
    worker = FakeWorker()
    worker.still_runs = False
    with watching(worker):
        worker.overdue.put(Overdue(7, client_gone=True))
        worker.interrupted.get(timeout=DEADLINE)
        worker.beats.wait_for(worker.beats.count + 2)
    assert roused == []


def test_a_client_cannot_forge_lines(caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker()
    with watching(worker):
        worker.overdue.put(Overdue(-1, method="G\x1b", path="/a\nERROR b" + "x" * 5000, client="[::1]\r"))
        worker.interrupted.get(timeout=DEADLINE)
    (message,) = caplog.messages
    assert message.startswith("G\\x1b /a\\nERROR bxxx")
    assert "x… from [::1]\\r has run" in message
    assert len(message.splitlines()[0]) < 1200


def test_a_report_that_fails_stops_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> str:
        raise MemoryError

    monkeypatch.setattr(module, "report", fails)
    worker = FakeWorker()
    with watching(worker):
        for _ in range(2):
            worker.overdue.put(Overdue(-1))
            worker.interrupted.get(timeout=DEADLINE)
    assert caplog.messages == []


def test_a_log_that_takes_nothing_stops_nothing() -> None:
    gate = Gate()

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gate.hold()

    handler = Stuck()
    logger = logging.getLogger("pelton.request")
    logger.addHandler(handler)
    worker = FakeWorker()
    try:
        with watching(worker):
            for _ in range(3):
                worker.overdue.put(Overdue(-1))
                worker.interrupted.get(timeout=DEADLINE)
            gate.wait_for(1)
            beats = worker.beats.count
            worker.beats.wait_for(beats + 3)
            assert gate.inside == 1
            gate.open()
            gate.wait_for(2)
    finally:
        gate.open()
        logger.removeHandler(handler)


def test_beats_while_nothing_is_overdue() -> None:
    worker = FakeWorker()
    with watching(worker):
        worker.beats.wait_for(5)


def test_greenlets_beat_only_while_their_hub_comes_to_run() -> None:
    seen = queue.Queue[bool]()

    class Counting(FakeWorker):
        def next_overdue(self, timeout: float, beats: bool = True) -> Overdue | None:
            seen.put(beats)
            return super().next_overdue(timeout)

    class Hub:
        def __init__(self) -> None:
            self.rounds: list[NativeEvent] = []

        def report(self, overdue: object) -> str:
            return ""

        def interrupt(self, overdue: object, exception: type[BaseException]) -> None:
            pass

        def next_round(self) -> NativeEvent:
            self.rounds.append(NativeEvent())
            return self.rounds[-1]

    hub, worker = Hub(), Counting()
    watch = Watch(worker, name="worker 3", interval=0.01, greenlets=hub)
    watch.start()
    try:
        for asked in range(1, 4):
            while not seen.get(timeout=DEADLINE):
                pass
            # Held: no sign of life, and it is not asked again.
            assert not any(seen.get(timeout=DEADLINE) for _ in range(3))
            assert len(hub.rounds) == asked
            hub.rounds[-1].set()
    finally:
        watch.stop()
        assert watch.join(DEADLINE)


def test_a_worker_that_returns_at_once_is_not_asked_all_the_time() -> None:
    class Stopped(FakeWorker):
        def next_overdue(self, timeout: float, beats: bool = True) -> Overdue | None:
            self.beats.add()
            return None

    waits: list[float | None] = []

    class Counting(NativeEvent):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return super().wait(timeout)

    worker = Stopped()
    watch = Watch(worker, name="worker 3")
    watch._ended = Counting()
    watch.start()
    worker.beats.wait_for(3)
    watch.stop()
    watch.stop()
    assert watch.join(DEADLINE)
    assert len(waits) >= 2


def test_a_fault_of_ours_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(FakeWorker):
        def next_overdue(self, timeout: float, beats: bool = True) -> Overdue | None:
            raise RuntimeError("inside")

    watch = Watch(Faulty(), name="worker 3")
    watch.start()
    assert watch.join(DEADLINE)
    assert caplog.records[0].levelno == logging.CRITICAL
    watch.stop()


def test_before_the_start() -> None:
    watch = Watch(FakeWorker(), name="worker 3")
    watch.stop()
    assert watch.join(0)


def test_reports_wait_in_a_bounded_number() -> None:
    gate, written = Gate(), Tally()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gate.hold()
            written.add()

    logger = logging.Logger("test")
    logger.addHandler(Slow())
    log = ReportLog(logger, patience=0.01)
    log.write("first")
    gate.wait_for(1)
    for number in range(300):
        log.write(str(number))
    gate.open()
    written.wait_for(101)
    log.write("last")
    written.wait_for(102)
    eventually(lambda: log._waiting.empty(), "all written")
    assert written.count == 102


def test_a_handler_that_raises_does_not_end_the_reports() -> None:
    written = Tally()

    class Faulty(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.add()
            raise OSError

    logger = logging.Logger("test")
    logger.addHandler(Faulty())
    log = ReportLog(logger)
    log.write("first %s")
    log.write("second")
    assert written.count == 2


def raised_in(function: Callable[[], object]) -> bool:
    try:
        function()
    except Exception:
        return False
    except RequestTimeout:
        return True
    return False


def test_except_exception_does_not_swallow_it() -> None:
    def view() -> None:
        raise RequestTimeout

    assert raised_in(view)
    assert f"{RequestTimeout.__module__}.{RequestTimeout.__name__}" == "pelton.RequestTimeout"
