"""What is said about an application that takes long to load."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from pelton.diagnostics.load_watch import LoadWatch
from pelton.process import native_threads
from support.waiting import eventually


class Lines:
    """What came to the log so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def texts(self) -> list[str]:
        return list(self._caplog.messages)

    def wait_for(self, count: int) -> None:
        eventually(lambda: len(self.texts) >= count, lambda: f"{count} lines: {self.texts}")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level("WARNING", "pelton")
    return Lines(caplog)


def connect(lines: Lines, count: int) -> None:
    lines.wait_for(count)


def test_it_says_where_it_is(lines: Lines) -> None:
    with LoadWatch("worker 3", first=0.01):
        connect(lines, 1)
    text = lines.texts[0]
    assert text.startswith("worker 3 is still loading the application after 0.01 s; it is here:\n")
    # From where it is loaded on, and not how the test run came there.
    assert f'File "{__file__}"' in text.splitlines()[1]
    assert text.splitlines()[1].endswith("in connect")


def test_and_again_more_rarely(lines: Lines) -> None:
    with LoadWatch("worker 3", first=0.01):
        connect(lines, 3)
    after = [one.split(" after ")[1].split(";")[0] for one in lines.texts]
    assert after[:3] == ["0.01 s", "0.07 s", "0.43 s"]


def test_nobody_sees_its_thread_before_it_speaks() -> None:
    before = threading.enumerate()
    with LoadWatch("worker 3", first=60.0):
        assert threading.enumerate() == before


def test_without_a_thread_it_loads_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: object, arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native_threads, "_start_new_thread", fail)
    with LoadWatch("worker 3"):
        loaded = True
    assert loaded


def test_it_ends_with_the_loading(lines: Lines) -> None:
    before = threading.enumerate()
    with contextlib.suppress(KeyError), LoadWatch("worker 3", first=0.01):
        connect(lines, 1)
        raise KeyError
    eventually(lambda: threading.enumerate() == before, "its thread is gone")


def test_imports_are_shown_without_their_machinery(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hangs_at_import.py").write_text("import pelton_test_database as d\n\nd.connect()\n")
    database = ModuleType("pelton_test_database")
    vars(database)["connect"] = lambda: connect(lines, 1)
    monkeypatch.setitem(sys.modules, database.__name__, database)
    with LoadWatch("worker 3", first=0.01):
        importlib.import_module("hangs_at_import")
    text = lines.texts[0]
    assert re.search(r"hangs_at_import\.py\", line 3, in <module>", text)
    assert "importlib" not in text
