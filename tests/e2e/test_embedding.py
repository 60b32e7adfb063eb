"""``pelton.run`` and ``pelton.start`` inside somebody else's program."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

import pelton
from pelton import Running
from support.apps import held, hello
from support.client import Client, request
from support.serving import Belongings
from support.waiting import DEADLINE, Gate


def test_run_in_a_thread_serves_until_it_is_closed() -> None:
    started: queue.SimpleQueue[Running] = queue.SimpleQueue()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread = threading.Thread(
        target=pelton.run, args=(hello,), kwargs={"port": 0, "threads": 2, "on_start": started.put}
    )
    thread.start()
    running = started.get(timeout=DEADLINE)
    with Client(running.addresses[0]) as client:
        assert client.ask(request()).body == b"hello"
        assert running.port == client.socket.getpeername()[1]
    # Signals belong to the main thread, and to whoever has set them.
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    running.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_close_lets_a_running_request_finish(gate: Gate) -> None:
    running = pelton.start(held(gate), port=0)
    with Client(running.addresses[0]) as client:
        client.send(request())
        gate.wait_for()
        closing = threading.Thread(target=running.close)
        closing.start()
        assert not running.wait(0)
        gate.open()
        assert client.response().body == b"held"
        closing.join(DEADLINE)
        assert not closing.is_alive()
    assert running.wait(0)


def test_a_request_may_close_its_own_server() -> None:
    ended = threading.Event()

    def end() -> None:
        running.close()
        ended.set()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        threading.Thread(target=end).start()
        start_response("200 OK", [])
        return [b"bye"]

    running = pelton.start(app, port=0)
    with Client(running.addresses[0]) as client:
        assert client.ask(request()).body == b"bye"
    assert ended.wait(DEADLINE)
    assert running.wait(0)


def test_starting_and_closing_leaves_nothing(tmp_path: Path) -> None:
    def once() -> None:
        with pelton.start(hello, port=0, threads=3) as running, Client(running.addresses[0]) as client:
            assert client.ask(request()).body == b"hello"

    belongings = Belongings(tmp_path)
    once()
    before = belongings.now()
    for _ in range(10):
        once()
    belongings.wait_for(before)


def test_two_at_once_do_not_mix(gate: Gate) -> None:
    with (
        pelton.start(hello, port=0) as first,
        pelton.start(held(gate), port=0) as second,
        Client(second.addresses[0]) as stuck,
        Client(first.addresses[0]) as quick,
    ):
        stuck.send(request())
        gate.wait_for()
        for _ in range(10):
            assert quick.ask(request()).body == b"hello"
        gate.open()
        assert stuck.response().body == b"held"


def test_a_program_that_ends_without_closing_is_not_held_up() -> None:
    program = (
        "import pelton\n"
        "running = pelton.start(lambda environ, start_response: [], port=0)\n"
        "print(running.port)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert int(done.stdout) > 0
    assert done.stderr == ""


def test_an_address_in_use_is_an_exception() -> None:
    with pelton.start(hello, port=0) as running, pytest.raises(Exception, match="already in use"):
        pelton.start(hello, port=running.port)
