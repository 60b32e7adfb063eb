"""USR1: files that somebody has moved away are opened again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import request
from support.live import PROCESS_APP
from support.waiting import eventually


@pytest.mark.parametrize("workers", ["0", "2"], ids=["one process", "two workers"])
def test_the_access_log_is_opened_again(live: StartLive, tmp_path: Path, workers: str) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    server = live(PROCESS_APP, "--workers", workers, "--access-log", path)
    assert server.ask(request(target="/before")).status == 200
    eventually(lambda: "/before" in path.read_text(), "a line")
    path.rename(moved)
    server.send_signal(signal.SIGUSR1)
    eventually(path.exists, "a new file")
    with server.connect() as client:
        for _ in range(10):
            assert client.ask(request(target="/after")).status == 200
    eventually(
        lambda: path.read_text().count("/after") + moved.read_text().count("/after") == 10, "all lines"
    )

    def is_in_use() -> bool:
        # The supervisor has made the file; the front takes it a moment later.
        assert server.ask(request(target="/last")).status == 200
        return "/last" in path.read_text()

    eventually(is_in_use, "a line in the new file")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert "/before" not in path.read_text()


def test_the_access_log_of_several_workers(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--access-log", "-")
    for number in range(10):
        assert server.ask(request(target=f"/{number}")).status == 200
    for number in range(10):
        server.output.wait_for(rf'"GET /{number} HTTP/1\.1" 200 ')
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert len(server.output.text.splitlines()) == 10


def test_a_signal_for_the_logs_without_logs_does_nothing(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    pid = server.ready_workers(1)[1]
    for _ in range(3):
        server.send_signal(signal.SIGUSR1)
        assert server.ask(request()).text == str(pid)
