"""The journal's own protocol: fields that no message can forge, nothing that waits."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.logs.formats import ForPeople, Json
from pelton.logs.outputs import StandardError


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.setblocking(False)
        yield listening


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[io.TextIOWrapper]:
    """A standard error output that systemd says is the journal's."""
    with (tmp_path / "errors").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        yield stream


def record(message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("pelton", level, "/x/some.py", 7, message, arguments, None, "function")


def handle(output: StandardError, one: logging.LogRecord, errors: io.TextIOWrapper) -> None:
    with contextlib.redirect_stderr(errors):
        output.handle(one)


def fields_of(data: bytes) -> dict[str, str]:
    """As systemd reads them."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", data[:8])
            value, end, data = data[8 : 8 + length], data[8 + length : 9 + length], data[9 + length :]
            assert end == b"\n"
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


def next_of(journal: socket.socket) -> bytes:
    """The next record; whether somebody listens is asked by an empty one."""
    while not (data := journal.recv(300_000)):
        pass
    return data


def test_a_record_has_fields(journal: socket.socket, errors: io.TextIOWrapper, tmp_path: Path) -> None:
    output = StandardError(ForPeople(), str(tmp_path / "journal"))
    output.form.label = "worker 3"
    handle(output, record("It %s\nPRIORITY=0\nTID=1", "is so"), errors)
    fields = fields_of(next_of(journal))
    assert fields["MESSAGE"] == "It is so\nPRIORITY=0\nTID=1"
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("4", "pelton")
    assert (fields["CODE_FILE"], fields["CODE_LINE"], fields["CODE_FUNC"]) == ("/x/some.py", "7", "function")
    assert (fields["PELTON_PROCESS"], fields["PELTON_LOGGER"]) == ("worker 3", "pelton")
    assert fields["TID"] != "1"
    output.close()
    assert (tmp_path / "errors").read_text() == ""


def test_a_traceback_stays_with_its_message(
    journal: socket.socket, errors: io.TextIOWrapper, tmp_path: Path
) -> None:
    output = StandardError(ForPeople(), str(tmp_path / "journal"))
    try:
        raise ValueError("on purpose \udcff")
    except ValueError:
        failed = record("It failed", level=logging.ERROR)
        failed.exc_info = sys.exc_info()
    handle(output, failed, errors)
    fields = fields_of(next_of(journal))
    assert fields["MESSAGE"].startswith("It failed\nTraceback")
    assert fields["MESSAGE"].endswith("ValueError: on purpose \\udcff")
    assert (fields["PELTON_EXCEPTION"], fields["PRIORITY"]) == ("builtins.ValueError", "3")
    output.close()


def test_what_is_too_large_comes_in_a_sealed_file(
    journal: socket.socket, errors: io.TextIOWrapper, tmp_path: Path
) -> None:
    output = StandardError(ForPeople(), str(tmp_path / "journal"))
    handle(output, record("x" * 5_000_000), errors)
    assert journal.recv(10) == b""
    _, descriptors, _, _ = socket.recv_fds(journal, 10, 1)
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        assert fields_of(file.read())["MESSAGE"] == "x" * 5_000_000
        with pytest.raises(PermissionError):
            os.truncate(f"/proc/self/fd/{file.fileno()}", 0)
    output.close()


def test_a_journal_that_does_not_listen_keeps_nobody_and_hears_of_it(
    journal: socket.socket, errors: io.TextIOWrapper, tmp_path: Path
) -> None:
    output = StandardError(ForPeople(), str(tmp_path / "journal"))
    for number in range(2000):
        handle(output, record("%d", number), errors)
    seen = []
    while True:
        try:
            if data := journal.recv(300_000):
                seen.append(fields_of(data)["MESSAGE"])
        except BlockingIOError:
            break
    assert seen == [str(number) for number in range(len(seen))]
    assert 0 < len(seen) < 2000
    handle(output, record("again"), errors)
    lost = 2000 - len(seen)
    assert fields_of(next_of(journal))["MESSAGE"] == f"again ({lost} messages before this one were lost)"
    handle(output, record("and again"), errors)
    assert fields_of(next_of(journal))["MESSAGE"] == "and again"
    output.close()


def test_without_its_socket_and_for_json_there_are_lines(
    journal: socket.socket, errors: io.TextIOWrapper, tmp_path: Path
) -> None:
    for form, path in ((ForPeople(), "none"), (Json(), "journal")):
        output = StandardError(form, str(tmp_path / path))
        handle(output, record("shown"), errors)
        output.close()
    first, second = (tmp_path / "errors").read_text().splitlines()
    assert first == "<4>shown"
    assert second.startswith("<4>{")
