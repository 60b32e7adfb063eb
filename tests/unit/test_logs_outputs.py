"""The log: hostile messages stay one record, files follow a rotation, syslog and the journal get theirs."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pelton.config.settings import Settings, settings_from
from pelton.exceptions import ConfigError, StartError
from pelton.logs import formats, outputs
from pelton.logs.setup import label_process, set_up_logs

LOGGER = logging.getLogger("pelton")


@contextmanager
def logs(**values: Any) -> Iterator[Settings]:
    """The logs of these settings, with no handlers elsewhere."""
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    settings = settings_from(values)
    try:
        set_up_logs(settings)
        yield settings
    finally:
        root.handlers[:] = handlers
        for handler in LOGGER.handlers[:]:
            LOGGER.removeHandler(handler)
            handler.close()
        LOGGER.setLevel(logging.NOTSET)
        LOGGER.propagate = True


def test_json_has_opentelemetrys_names(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logs(log_format="json", error_log=path):
        label_process("worker 3")
        try:
            raise ValueError("no\nline")
        except ValueError:
            LOGGER.exception("failed: %s", "x")
    (line,) = path.read_text().splitlines()
    fields = json.loads(line)
    assert fields["body"] == "failed: x"
    assert (fields["severity_text"], fields["severity_number"]) == ("ERROR", 17)
    assert fields["exception.type"] == "builtins.ValueError"
    assert fields["exception.message"] == "no\nline"
    assert "raise ValueError" in fields["exception.stacktrace"]
    assert fields["pelton.process"] == "worker 3"
    assert fields["process.pid"] == os.getpid()
    assert fields["timestamp"].endswith("Z")


def hostile(draw: random.Random) -> str:
    """A text of what ends lines, drives terminals, ends strings, or is no text at all."""
    parts = [
        "\n",
        "\r",
        "\x1b[2J",
        '"',
        "\\",
        "\u2028",
        "\u202e",
        "\x7f",
        "\x00",
        "\x85",
        "\udcff",
        "😀",
        '","body":"',
    ]
    return "".join(draw.choice(parts) for _ in range(draw.randrange(12)))


def test_hostile_messages_forge_no_line(tmp_path: Path) -> None:
    draw = random.Random(7)
    path = tmp_path / "log"
    messages = [f"{number}:{hostile(draw)}" for number in range(2000)]
    with logs(log_format="json", error_log=path):
        for message in messages:
            LOGGER.warning("%s", message)
    data = path.read_bytes()
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in data)
    assert [json.loads(line)["body"] for line in data.decode().splitlines()] == messages


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    with logs(error_log=path):
        LOGGER.warning("one")
        path.rename(moved)
        LOGGER.warning("two \udcff")
    assert moved.read_text().endswith("WARNING one\n")
    assert path.read_text().endswith("WARNING two \\udcff\n")


def test_a_file_that_cannot_be_made_anew_is_used_on(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    kept = tmp_path / "kept"
    with logs(error_log=directory / "log"):
        (directory / "log").rename(kept)
        directory.rmdir()
        LOGGER.warning("one")
    assert kept.read_text().endswith("one\n")


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="error log"), logs(error_log=tmp_path / "no" / "log"):
        pass


def test_syslog(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(10)
        with logs(log_syslog=f"unix:{path}"):
            LOGGER.error("first\nsecond")
            assert receiver.recv(9000).decode() == f"<27>pelton[{os.getpid()}]: first\\nsecond"
            # One that takes nothing loses records; nobody waits for it.
            for number in range(5000):
                LOGGER.error("%d", number)


@pytest.mark.parametrize("target", [":514", "host:port", "host:99999"])
def test_no_syslog(target: str) -> None:
    with pytest.raises(ConfigError, match="no address of a syslog"):
        outputs.open_syslog(target, formats.ForPeople())


def test_the_journal_gets_priorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # What it gets otherwise is in test_logs_journal.py.
    monkeypatch.setattr(outputs.StandardError, "_native", lambda _: None)
    path = tmp_path / "journal"
    with path.open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(sys, "stderr", stream)
        with logs():
            LOGGER.warning("one\ntwo")
            LOGGER.info("three")
    assert path.read_text() == "<4>one\n<4>two\n<6>three\n"


def test_another_stream_is_not_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "1:2", "nonsense"):
        monkeypatch.setenv("JOURNAL_STREAM", value)
        assert not outputs.goes_to_journal(sys.__stderr__ or sys.stderr)


@pytest.mark.parametrize(("level", "number"), [(10, 5), (20, 9), (30, 13), (40, 17), (50, 21), (25, 9)])
def test_severities(level: int, number: int) -> None:
    assert formats._severity(level) == number
