"""A standard error output that nobody reads, and that is full: serving, replacing and ending go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, request
from support.live import PROCESS_APP
from support.processes import runs
from support.waiting import DEADLINE, eventually


class Unread:
    """The command with a full pipe for its messages. ``address`` is where it listens."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.address = f"unix:{directory / 'socket'}"
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        command = [sys.executable, "-m", "pelton", str(PROCESS_APP), "--bind", self.address, *arguments]
        self.process = subprocess.Popen(command, stderr=writer, start_new_session=True)
        os.close(writer)

    def ask(self, target: str = "/") -> str:
        with Client(self.address) as client:
            return client.ask(request(target=target)).text

    def pid_of_a_worker(self) -> int | None:
        """None while nobody serves."""
        try:
            return int(self.ask())
        except (OSError, ValueError):
            return None

    def text(self) -> str:
        """All that was said, once it has ended."""
        with open(self._reader, "rb", closefd=False) as file:
            return file.read().decode()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._reader)


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[list[Unread]]:
    made: list[Unread] = []
    yield made
    for one in made:
        one.end()


def start(unread: list[Unread], directory: Path, *arguments: str) -> Unread:
    server = Unread(directory, *arguments)
    unread.append(server)
    eventually(lambda: server.pid_of_a_worker() is not None, "it serves")
    return server


def wait_for_another(server: Unread, old: int) -> None:
    eventually(lambda: server.pid_of_a_worker() not in (None, old), "another one serves")


@pytest.mark.parametrize("arguments", [["--workers", "1"], ["--workers", "1", "--preload"]])
def test_workers_are_replaced_and_term_is_obeyed(
    unread: list[Unread], tmp_path: Path, arguments: list[str]
) -> None:
    server = start(unread, tmp_path, *arguments)
    for _ in range(3):
        old = server.pid_of_a_worker()
        assert old is not None
        os.kill(old, signal.SIGKILL)
        wait_for_another(server, old)
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(DEADLINE) == 0


def test_one_process_serves_and_ends(unread: list[Unread], tmp_path: Path) -> None:
    server = start(unread, tmp_path, "--workers", "0")
    for _ in range(3):
        assert server.ask() == str(server.process.pid)
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(DEADLINE) == 0


def test_all_is_said_once_somebody_reads(unread: list[Unread], tmp_path: Path) -> None:
    server = start(unread, tmp_path, "--workers", "1")
    old = server.pid_of_a_worker()
    assert old is not None
    os.kill(old, signal.SIGKILL)
    wait_for_another(server, old)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(server.text()))
    reader.start()
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(DEADLINE) == 0
    reader.join(DEADLINE)
    assert f"worker 1 (pid {old}) was killed by SIGKILL" in got[0]
    assert "worker 2 ended" in got[0] or "ended" in got[0]
    assert not runs(old)
