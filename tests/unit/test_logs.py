"""The log for people, and what access records are written to."""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pelton.exceptions import StartError
from pelton.logs.access import OFF, open_access_log
from pelton.logs.setup import label_process, set_up_logging

LOGGER = logging.getLogger("pelton")


@contextmanager
def bare_logging() -> Iterator[None]:
    """No handlers anywhere, as at the start of a process; all as it was afterwards.

    No fixture: pytest adds its handlers again before the test itself.
    """
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        LOGGER.handlers.clear()
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.propagate = True


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging():
        set_up_logging("info")
        LOGGER.debug("not shown")
        LOGGER.info("shown")
        logging.getLogger("pelton.application").error("%s", "as it is")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO shown")
    assert "\x1b" not in first
    assert second == "as it is"


def test_lines_of_several_processes(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging():
        set_up_logging("info")
        label_process("worker 3")
        LOGGER.info("shown")
        logging.getLogger("pelton.application").error("%s", "as it is")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO [worker 3] shown")
    assert second == "as it is"


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with bare_logging():
        set_up_logging("info")
        LOGGER.warning("careful")
        monkeypatch.setenv("NO_COLOR", "1")
        LOGGER.warning("plain")
    coloured, plain = terminal.getvalue().splitlines()
    assert "\x1b[33mWARNING\x1b[0m careful" in coloured
    assert plain.endswith(" WARNING plain")


def test_users_configuration_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    own = logging.NullHandler()
    with bare_logging():
        LOGGER.addHandler(own)
        set_up_logging("debug")
        LOGGER.error("to the user's handler only")
        assert LOGGER.handlers == [own]
        assert LOGGER.propagate
    assert capsys.readouterr().err == ""


def test_access_log_appends(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    descriptor = open_access_log(str(path))
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert path.read_text() == "before\nafter\n"


def test_access_log_off_and_impossible(tmp_path: Path) -> None:
    assert open_access_log(None) == OFF
    with pytest.raises(StartError, match="No such file or directory"):
        open_access_log(str(tmp_path / "nowhere" / "access.log"))


def test_access_log_on_standard_output_is_a_copy() -> None:
    descriptor = open_access_log("-")
    assert descriptor > 2
    assert os.path.samestat(os.fstat(descriptor), os.fstat(1))
    os.close(descriptor)
