"""Greenlets in development: one process, patched before the application is imported."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, request
from support.started import Lines, heed_interrupts
from support.waiting import DEADLINE, eventually

# With what a script does before it imports anything else.
SCRIPT = """\
import sys

import pelton

pelton.install(worker_kind=sys.argv[1])
import time


def app(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


pelton.run_simple("127.0.0.1", 0, app, **eval(sys.argv[2]))
"""
KINDS = pytest.mark.parametrize("kind", ["gevent", "eventlet"])


class Script:
    """The script as a process, and what it says."""

    def __init__(self, directory: Path, kind: str, arguments: str) -> None:
        heed_interrupts()
        file = directory / "script.py"
        file.write_text(SCRIPT)
        self.process = subprocess.Popen(
            [sys.executable, str(file), kind, arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        assert self.process.stdout is not None
        self.output = Lines(self.process.stdout, threading.Condition())

    def end(self) -> None:
        """Whatever happened."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self.output.join()


@pytest.fixture
def scripts() -> Iterator[list[Script]]:
    started: list[Script] = []
    yield started
    for one in started:
        one.end()


@KINDS
@pytest.mark.parametrize("threaded", [False, True])
def test_they_serve_in_one_process(tmp_path: Path, scripts: list[Script], kind: str, threaded: bool) -> None:
    scripts.append(one := Script(tmp_path, kind, f"dict(threaded={threaded})"))
    address = one.output.wait_for(r"http://[\d.:]+")[0]
    clients = [Client(address).send(request()) for _ in range(5)]
    for client in clients:
        with client:
            assert client.response().body == b"hello"
    one.output.wait_for("GET / HTTP", count=5)
    # Plain threads would stop the hub for ever.
    assert bool(re.search("one at a time", one.output.text)) is not threaded
    one.process.send_signal(signal.SIGINT)
    # Sooner than anybody would be given up.
    assert one.process.wait(4) == 0


@KINDS
@pytest.mark.parametrize("arguments", ["dict(processes=2)", "dict(processes=2, use_reloader=True)"])
def test_with_processes_they_say_why_not(
    tmp_path: Path, scripts: list[Script], kind: str, arguments: str
) -> None:
    scripts.append(one := Script(tmp_path, kind, arguments))
    assert one.process.wait(DEADLINE) == 1
    one.output.wait_for(f"{kind} cannot be combined with worker processes: .* supervisor .* patched")
    one.output.wait_for(f"-k {kind} --workers 2")
    assert "Running on" not in one.output.text


def answer_of(address: str) -> bytes:
    """The response to a request that waits for a process which is being started, as long as that takes."""
    with Client(address) as client:
        client.socket.settimeout(4 * DEADLINE)
        return client.ask(request()).body


@KINDS
def test_the_reloader_is_beside_the_hub(tmp_path: Path, scripts: list[Script], kind: str) -> None:
    scripts.append(one := Script(tmp_path, kind, "dict(use_reloader=True)"))
    address = one.output.wait_for(r"http://[\d.:]+")[0]
    assert answer_of(address) == b"hello"
    file = tmp_path / "script.py"
    file.write_text(file.read_text().replace('b"hello"', 'b"other"'))
    one.output.wait_for("Detected change")
    # The line comes first, then the old process makes way.
    eventually(lambda: answer_of(address) == b"other", "the new code is served")
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(4 * DEADLINE) == 0
