"""The order of the end, with a front and a runner that only write down what is asked of them."""

import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from pelton.config.address import UnixAddress
from pelton.config.settings import settings_from
from pelton.front.running import Running
from pelton.logs.access import OFF
from pelton.logs.level_counts import LevelCounts
from pelton.net.listeners import open_listeners


class RecordedFront:
    """Ends when `end` is called, or when it is stopped."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.notices: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def end(self) -> None:
        self.notices.put(None)

    def next_notice(self) -> Any:
        return self.notices.get()

    def drain(self) -> None:
        self.calls.append("drain")

    def counters(self) -> dict[str, int]:
        return {"requests": 1}

    def start(self) -> None:
        self.calls.append("front start")

    def stop(self) -> None:
        self.calls.append("front stop")
        self.end()

    def join(self, timeout: float | None = None) -> bool:
        return True


class RecordedRunner:
    kind = "recorded"

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def start(self) -> None:
        self.calls.append("runner start")

    def stop(self) -> None:
        self.calls.append("runner stop")

    def join(self, timeout: float) -> list[threading.Thread]:
        self.calls.append("runner join")
        return []


@pytest.fixture
def front() -> RecordedFront:
    return RecordedFront()


@pytest.fixture
def running(front: RecordedFront, tmp_path: Path) -> Running:
    listeners = open_listeners([UnixAddress(str(tmp_path / "x.sock"))])
    recorded: Any = front
    settings = settings_from({"graceful_timeout": "10ms"})
    made = Running(
        recorded, RecordedRunner(front.calls), listeners, settings, counts=LevelCounts(settings, OFF)
    )
    made._start()
    return made


def test_a_front_that_does_not_end_is_stopped_after_the_deadline(
    running: Running, front: RecordedFront, tmp_path: Path
) -> None:
    running.close()
    # The runner hears of the end twice: from stop(), and from the thread that sees the front end.
    in_order = list(dict.fromkeys(front.calls))
    assert in_order == ["runner start", "front start", "drain", "front stop", "runner stop", "runner join"]
    assert not (tmp_path / "x.sock").exists()
    assert not running.failed
    assert "ended" in repr(running)


def test_the_socket_file_goes_when_draining_begins(
    running: Running, front: RecordedFront, tmp_path: Path
) -> None:
    running.drain()
    assert not (tmp_path / "x.sock").exists()
    assert "draining" in repr(running)
    front.end()
    assert running.wait(10)
    assert "runner stop" in front.calls
    running.stop()
    running.stop()
    assert front.calls.count("front stop") == 1


def test_a_front_that_ends_by_itself_has_failed(running: Running, front: RecordedFront) -> None:
    front.end()
    assert running.wait(10)
    assert running.failed
    running.stop()


def test_notices_are_logged(running: Running, front: RecordedFront, caplog: pytest.LogCaptureFixture) -> None:
    class Notice:
        level = "warning"
        message = "100% of the descriptors are used"
        asked = None
        event = None
        worker = None

    front.notices.put(Notice())
    running.close()
    assert ("pelton", 30, Notice.message) in caplog.record_tuples
