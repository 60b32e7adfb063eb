"""The banner and the access lines of a development server."""

from __future__ import annotations

import io
import logging
import os
import socket
from collections.abc import Iterator
from datetime import datetime

import pytest

from pelton.config.address import TcpAddress, UnixAddress
from pelton.development import access_lines, messages
from pelton.development.access_lines import AccessLines
from pelton.development.messages import LOGGER, Mode, access_line, places
from support.waiting import Gate

NOW = datetime(2026, 11, 21, 11, 58, 50)
AT = "[21/Nov/2026 11:58:50]"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger as nobody has configured it."""
    handlers, level, propagate = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    LOGGER.handlers[:] = []
    LOGGER.setLevel(logging.NOTSET)
    yield LOGGER
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(level)
    LOGGER.propagate = propagate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("peer", "status", "line", "expected"),
    [
        ("127.0.0.1", "200", "GET / HTTP/1.1", f'127.0.0.1 - - {AT} "GET / HTTP/1.1" 200 -'),
        ("::1", "304", "GET /a%20b?c HTTP/1.1", f'::1 - - {AT} "GET /a%20b?c HTTP/1.1" 304 -'),
        ("", "200", "GET /%C3%A9 HTTP/1.0", f'<local> - - {AT} "GET /é HTTP/1.0" 200 -'),
        # Cut off, or nothing that is a request: there is no status to tell.
        ("1.2.3.4", "0", "GET / HTTP/1.1", f'1.2.3.4 - - {AT} "GET / HTTP/1.1" - -'),
        ("1.2.3.4", "400", "nonsense", f'1.2.3.4 - - {AT} "nonsense" 400 -'),
        # As the front escapes it: raw UTF-8 is readable, a quote or a control character stays escaped.
        ("1.2.3.4", "200", r"GET /\xc3\xa9 HTTP/1.1", f'1.2.3.4 - - {AT} "GET /é HTTP/1.1" 200 -'),
        (
            "1.2.3.4",
            "400",
            r"GET /\x22\x1b[31m\xff HTTP/1.1",
            f'1.2.3.4 - - {AT} "GET /\\x22\\x1b[31m\\xff HTTP/1.1" 400 -',
        ),
        ("1.2.3.4", "200", "GET /%1b%0a%22 HTTP/1.1", f'1.2.3.4 - - {AT} "GET /%1b%0a%22 HTTP/1.1" 200 -'),
    ],
)
def test_access_lines(peer: str, status: str, line: str, expected: str) -> None:
    found = access_line(peer, status, line, colour=False, now=NOW)
    assert found.lower() == expected.lower()


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ("101", "\x1b[1m"),
        ("200", ""),
        ("302", "\x1b[32m"),
        ("304", "\x1b[36m"),
        ("404", "\x1b[33m"),
        ("403", "\x1b[1m\x1b[31m"),
        ("500", "\x1b[1m\x1b[35m"),
    ],
)
def test_colours_by_status(status: str, codes: str) -> None:
    line = access_line("h", status, "GET / HTTP/1.1", colour=True, now=NOW)
    end = "\x1b[0m" if codes else ""
    assert line == f'h - - {AT} "{codes}GET / HTTP/1.1{end}" {status} -'


def test_where_it_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_network_hosts", lambda family: ["10.1.2.3"])
    assert places([TcpAddress("127.0.0.1", 80), UnixAddress("/s")]) == ["http://127.0.0.1:80", "unix:/s"]
    assert places([TcpAddress("0.0.0.0", 80)]) == [
        "all addresses (0.0.0.0)",
        "http://127.0.0.1:80",
        "http://10.1.2.3:80",
    ]
    monkeypatch.setattr(messages, "_network_hosts", lambda family: [])
    assert places([TcpAddress("::", 80)]) == ["all addresses (::)", "http://[::1]:80"]


def test_network_hosts_are_numbers() -> None:
    for host in messages._network_hosts(socket.AF_INET):
        socket.inet_aton(host)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode(0, 8), "8 threads"),
        (Mode(0, 1), "one at a time"),
        (Mode(3, 1), "3 processes, one at a time in each"),
        (Mode(1, 4), "1 process, 4 threads"),
        (Mode(2, 1000, "connection"), "2 processes, 1000 connections in each"),
    ],
)
def test_the_mode(mode: Mode, expected: str) -> None:
    assert str(mode) == expected


def test_the_banner(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    messages.banner([TcpAddress("127.0.0.1", 5000)], Mode(0, 8, reloader=True))
    assert stream.getvalue().splitlines() == [
        " * Running on http://127.0.0.1:5000",
        " * Served by pelton: 8 threads; reloader on, debugger off",
        "\x1b[33m * Ctrl-C stops it\x1b[0m",
    ]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not messages.is_colourful()


def test_an_unconfigured_logger_gets_a_handler(logger: logging.Logger) -> None:
    logger.propagate = False
    messages.set_up_logger()
    messages.set_up_logger()
    assert (len(logger.handlers), logger.level) == (1, logging.INFO)


def test_what_somebody_has_configured_stays(logger: logging.Logger) -> None:
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    handler = logging.NullHandler()
    logger.addHandler(handler)
    messages.set_up_logger()
    assert (logger.handlers, logger.level) == ([handler], logging.ERROR)


# The pipe


def test_every_line_is_logged_in_order_the_last_ones_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    lines = AccessLines()
    writer = os.open(lines.path, os.O_WRONLY)
    for number in range(500):
        os.write(writer, b"127.0.0.1 200 GET /%d HTTP/1.1\n" % number)
    lines.start()
    for number in range(500, 1000):
        text = b"127.0.0.1 200 GET /%d HTTP/1.1\n" % number
        # Cut anywhere, as reads from a pipe may be.
        os.write(writer, text[: number % 20])
        os.write(writer, text[number % 20 :])
    lines.close()
    os.close(writer)
    lines.close()
    found = [record.getMessage().split('"')[1] for record in caplog.records if record.name == "werkzeug"]
    assert found == [f"GET /{number} HTTP/1.1" for number in range(1000)]


def test_a_handler_that_raises_stops_no_line(logger: logging.Logger) -> None:
    seen = []

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            raise RuntimeError("full")

    logger.addHandler(Raising())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    lines = AccessLines()
    lines.start()
    writer = os.open(lines.path, os.O_WRONLY)
    os.write(writer, b"h 200 GET /1 HTTP/1.1\nh 200 GET /2 HTTP/1.1\n")
    os.close(writer)
    lines.close()
    assert len(seen) == 2


def test_it_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    lines = AccessLines()
    lines.start()
    lines.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_handler_that_hangs_does_not_hold_up_the_end(
    logger: logging.Logger, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_lines, "_PATIENCE", 0.0)

    class Hanging(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gate.hold()

    logger.addHandler(Hanging())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    lines = AccessLines()
    lines.start()
    writer = os.open(lines.path, os.O_WRONLY)
    os.write(writer, b"h 200 GET /1 HTTP/1.1\n")
    gate.wait_for()
    lines.close()
    os.close(writer)
