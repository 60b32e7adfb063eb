"""Everything stands still for a while (a paused container, a stalled machine): nobody is to blame for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import request
from support.gates import Gates
from support.live import PROCESS_APP
from support.processes import group_of, process
from support.waiting import eventually


def stand_still(seconds: float) -> None:
    """This process, too, has to wait for a pause to be over: it is the time itself that matters."""
    threading.Event().wait(seconds)


def pause(pids: list[int], seconds: float, first: int, meanwhile: Callable[[], object] = int) -> None:
    """Stop them all; ``first`` goes on a little before the others."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    eventually(
        lambda: all((found := process(pid)) is not None and found.state == "T" for pid in pids), "all stopped"
    )
    meanwhile()
    stand_still(seconds)
    os.kill(first, signal.SIGCONT)
    stand_still(0.6)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("limit", ["--worker-timeout", "--request-timeout"])
def test_a_pause_of_the_whole_server_harms_no_request(live: StartLive, tmp_path: Path, limit: str) -> None:
    gates = Gates(tmp_path)
    server = live(
        *(PROCESS_APP, "--workers", "2", "--threads", "4", limit, "3s"), environment=gates.environment
    )
    server.ready_workers(2)
    names = [f"gate{number}" for number in range(6)]
    clients = [server.connect().send(gates.add(name)) for name in names]
    for name in names:
        server.log.wait_for(f"{name} is held")
    pause(group_of(server.process.pid), 4.0, server.front_pid(2))
    for name in names:
        gates.open(name)
    assert [client.response().status for client in clients] == [200] * len(names)
    assert not server.log.all("no sign of life|is to be replaced|has run for")
    assert len(server.ready_workers(2)) == 2


def test_a_request_that_came_during_a_pause_harms_no_worker(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--worker-timeout", "2s")
    server.ready_workers(1)
    client = server.connect()
    assert client.ask(request()).status == 200
    front = server.front_pid(1)
    pause(group_of(server.process.pid), 4.0, front, lambda: client.send(request()))
    assert client.response().status == 200
    assert not server.log.all("no sign of life|is to be replaced")


def test_a_worker_that_hangs_after_a_pause_is_found_all_the_same(live: StartLive, tmp_path: Path) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--worker-timeout", "2s")
    server.ready_workers(1)
    pause(group_of(server.process.pid), 3.0, server.front_pid(1))
    client = server.connect().send(request(target="/native-with-lock"))
    server.log.wait_for("no sign of life")
    assert client.response().status == 502
