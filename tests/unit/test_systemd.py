"""The protocols of systemd, over a real datagram socket and real descriptors."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.process.systemd import Notifier, inherited_descriptors


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        receiver.bind(str(tmp_path / "notify"))
        yield receiver


def test_every_message(systemd: socket.socket) -> None:
    notifier = Notifier(systemd.getsockname())
    notifier.ready("4 workers\nserve")
    assert systemd.recv(1000) == b"READY=1\nSTATUS=4 workers serve"
    notifier.status("caf\xe9")
    assert systemd.recv(1000) == "STATUS=café".encode()
    notifier.main_pid(4711)
    assert systemd.recv(1000) == b"MAINPID=4711"
    notifier.watchdog()
    assert systemd.recv(1000) == b"WATCHDOG=1"
    notifier.stopping()
    assert systemd.recv(1000) == b"STOPPING=1"


def test_reloading_tells_the_time(systemd: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(systemd.getsockname()).reloading()
    first, second = systemd.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        receiver.bind(b"\0pelton-test-%d" % os.getpid())
        Notifier(f"@pelton-test-{os.getpid()}").stopping()
        assert receiver.recv(100) == b"STOPPING=1"


def test_from_the_environment(systemd: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": systemd.getsockname(),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "OTHER": "stays",
    }
    notifier = Notifier.from_environment(environment)
    assert environment == {"OTHER": "stays"}
    assert notifier.watchdog_interval == 15
    assert notifier.environment() == {
        "NOTIFY_SOCKET": systemd.getsockname(),
        "WATCHDOG_USEC": "30000000",
    }
    successor = Notifier.from_environment(notifier.environment())
    assert successor.watchdog_interval == 15
    successor.watchdog()
    assert systemd.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
    ],
)
def test_no_watchdog(environment: dict[str, str]) -> None:
    assert Notifier.from_environment(environment).watchdog_interval is None
    assert environment == {}


def test_without_systemd_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    for notifier in (
        Notifier(None),
        Notifier.from_environment({}),
        Notifier.from_environment({"NOTIFY_SOCKET": ""}),
    ):
        notifier.ready("serving")
        notifier.stopping()
        assert notifier.environment() == {}
    assert caplog.messages == []


def test_a_wrong_address_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready("serving")
    notifier.stopping()
    assert len(caplog.messages) == 1
    assert "systemd cannot be notified at " in caplog.messages[0]
    Notifier("vsock:2:1234").ready("serving")
    assert len(caplog.messages) == 2
    assert {one.levelno for one in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"},
        {"LISTEN_FDS": "2"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
    ],
)
def test_nothing_is_inherited(environment: dict[str, str]) -> None:
    assert inherited_descriptors(environment) == []
    assert environment == {}


_CHILD = """
import os, socket
os.closerange(3, 256)
for one in socket.socketpair():
    os.set_inheritable(one.detach(), True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="3")
from pelton.process.systemd import inherited_descriptors
found = inherited_descriptors()
print(found, [os.get_inheritable(one) for one in found], "LISTEN_FDS" in os.environ)
"""


def test_descriptors_are_inherited() -> None:
    # In a process of its own, where 3 and 4 are free; 5 is promised and missing.
    ended = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "[3, 4] [False, False] False\n"
    assert "LISTEN_FDS names descriptor 5, which is not open" in ended.stderr
