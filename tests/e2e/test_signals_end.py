"""The end with several processes: in peace, at once, or by force; and what a terminal's Ctrl-C does."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import CutOffError, request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP
from support.load import Load
from support.waiting import eventually


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def test_term_lets_running_and_waiting_requests_finish(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "1", *HEALTH, environment=gates.environment)
    server.ready_workers(2)
    idle = server.connect()
    assert idle.ask(request()).status == 200
    held = {name: server.connect().send(gates.add(name)) for name in ("one", "two")}
    for name in held:
        server.log.wait_for(f"{name} is held")
    waiting = [server.connect().send(request()) for _ in range(3)]
    server.wait_for_requests(5)
    server.send_signal(signal.SIGTERM)
    assert idle.closed()
    assert server.process.poll() is None
    for name in held:
        gates.open(name)
    for client in (*held.values(), *waiting):
        response = client.response()
        assert (response.status, response.keeps_connection) == (200, False)
        assert client.closed()
    assert server.exit_code() == 0
    assert server.processes() == []
    assert "WARNING" not in server.log.text


def test_a_response_under_way_is_finished(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", environment=gates.environment)
    client = server.connect().send(gates.add("stream", "/gated-stream/"))
    client.head()
    assert client.piece() == b"first"
    server.send_signal(signal.SIGTERM)
    server.log.wait_for("SIGTERM")
    gates.open("stream")
    assert client.piece() == b"second"
    assert client.piece() == b""
    assert server.exit_code() == 0


def test_the_graceful_time_is_bounded(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--graceful-timeout", "300ms", environment=gates.environment)
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.connect().send(request(target="/native"))
    server.log.wait_for("is native in")
    server.send_signal(signal.SIGTERM)
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.response()
    assert server.exit_code() == 0
    assert server.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_at_once(live: StartLive, gates: Gates, number: signal.Signals) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--graceful-timeout", "1h", environment=gates.environment)
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.send_signal(number)
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.response()
    assert server.exit_code() == 0
    assert server.processes() == []


def test_an_interrupt_ends_a_drain(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--graceful-timeout", "1h", environment=gates.environment)
    server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    idle = server.connect()
    assert idle.ask(request()).status == 200
    server.send_signal(signal.SIGTERM)
    assert idle.closed()
    server.send_signal(signal.SIGINT)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_a_terminals_interrupt_reaches_all_and_harms_none(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2")
    server.ready_workers(2)
    assert server.ask(request()).status == 200
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.exit_code() == 0
    assert "Traceback" not in server.log.text
    assert "was killed" not in server.log.text
    assert server.processes() == []


def test_the_end_during_a_reload(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH)
    server.ready_workers(2)
    server.send_signal(signal.SIGHUP)
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_a_worker_that_dies_during_the_end_does_not_hold_it_up(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--graceful-timeout", "1h", environment=gates.environment)
    pid = server.ready_workers(1)[1]
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    idle = server.connect()
    assert idle.ask(request()).status == 200
    server.send_signal(signal.SIGTERM)
    assert idle.closed()
    os.kill(pid, signal.SIGKILL)
    assert client.response().status == 502
    # There may be a successor for a moment: while the front has requests, they need a worker.
    assert server.exit_code() == 0
    assert server.processes() == []


def test_under_load_nobody_is_cut_off(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2")
    server.ready_workers(2)
    load = Load(server.addresses[0], clients=8, forgiving=True)
    with load:
        load.wait_for(100)
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        eventually(lambda: len(load.failures) == 8, "all have seen the end")
    # A request that meets its closing connection is lost: against that there is the drain delay. Within an
    # answer nobody may be cut off, and nobody be told anything but 200.
    allowed = "ConnectionRefused|ConnectionReset|BrokenPipe|the end of a status line: b''"
    assert all(re.search(allowed, failure) for failure in load.failures), load.failures
