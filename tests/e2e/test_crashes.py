"""Processes that die in the middle of something: who is told what, and that everybody else is served on."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, CutOffError, request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP, Live
from support.load import Load
from support.processes import children_of, runs
from support.waiting import eventually


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def obituary(server: Live, how: str, target: str) -> None:
    """Wait for the line that says what a dead worker was running."""
    line = server.log.wait_for(rf"worker [0-9]+ \(pid [0-9]+\) {how} while it ran .*{re.escape(target)}")
    assert re.search(r"GET \S+ from 127\.0\.0\.1 for [0-9]+\.[0-9] s", line.string), line.string


def wait_for_death(pid: int) -> None:
    """Wait until it runs no more; until then it might still accept a connection."""
    eventually(lambda: not runs(pid), f"{pid} is dead")


@pytest.mark.parametrize(
    ("target", "how"),
    [
        ("/segfault", "was killed by SIGSEGV"),
        ("/leave/7", "exited with code 7"),
        ("/leave/0", "exited with code 0"),
        ("/abort", "was killed by SIGABRT"),
        ("/kill", "was killed by SIGKILL"),
    ],
)
def test_a_request_that_kills_its_worker(live: StartLive, target: str, how: str) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH)
    server.ready_workers(2)
    with server.connect() as client:
        response = client.ask(request(target=target))
        assert response.status == 502
        # The connection is the front's, and goes on.
        assert client.ask(request()).status == 200
    server.log.wait_for(rf"worker [0-9]+ \(pid [0-9]+\) {how}")
    obituary(server, how, target)
    server.ready_workers(3)
    eventually(lambda: server.verdict()["workers"]["ready"] == 2, "two serve again")


def test_a_segfault_shows_where_it_was(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    # Its line would otherwise stand in the middle of what the fault handler writes in pieces.
    server.ready_workers(1)
    assert server.ask(request(target="/segfault")).status == 502
    server.log.wait_for("Fatal Python error: Segmentation fault")
    server.log.wait_for(r"process_app\.py.* in segfault")


def test_only_what_ran_is_lost(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "1", *HEALTH, environment=gates.environment)
    server.ready_workers(2)
    running = {}
    for name in ("one", "two"):
        client = server.connect().send(gates.add(name))
        running[name] = (client, int(server.log.wait_for(f"{name} is held by ([0-9]+)")[1]))
    waiting = [server.connect().send(request()) for _ in range(6)]
    server.wait_for_requests(8)
    client, pid = running["one"]
    os.kill(pid, signal.SIGKILL)
    assert client.response().status == 502
    obituary(server, "was killed by SIGKILL", "/hold/one")
    # What had not started is done by others.
    assert [waiter.response().status for waiter in waiting] == [200] * 6
    other, other_pid = running["two"]
    assert runs(other_pid)
    gates.open("two")
    assert other.response().text == str(other_pid)
    assert len(server.log.all("while it ran")) == 1


def test_every_request_of_a_dead_worker_has_a_line(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--threads", "4", environment=gates.environment)
    pid = server.ready_workers(1)[1]
    names = ["one", "two", "three", "four"]
    clients = [server.connect().send(gates.add(name)) for name in names]
    for name in names:
        server.log.wait_for(f"{name} is held")
    os.kill(pid, signal.SIGKILL)
    assert [client.response().status for client in clients] == [502] * 4
    for name in names:
        obituary(server, "was killed by SIGKILL", f"/hold/{name}")


def test_a_path_cannot_forge_an_obituary(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    assert server.ask(request(target="/kill/%0aERROR%1b%5b31m%20forged?secret=1")).status == 502
    line = server.log.wait_for("while it ran .*forged").string
    assert "\x1b" not in line
    assert "secret" not in line
    assert not server.log.all("^ERROR")


def test_a_response_that_has_begun_is_cut_and_not_ended(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", environment=gates.environment)
    pid = server.ready_workers(1)[1]
    client = server.connect().send(gates.add("stream", "/gated-stream/"))
    client.head()
    assert client.piece() == b"first"
    server.log.wait_for("stream is held")
    os.kill(pid, signal.SIGKILL)
    # The chunk that says "this was all" must not come.
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.piece()
    server.ready_workers(2)
    assert server.ask(request()).status == 200


def test_all_workers_at_once(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "3", "--threads", "1")
    workers = server.ready_workers(3)
    clients = [server.connect() for _ in range(12)]
    for pid in workers.values():
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.send(request())
    # Nobody had started these, or nobody knew.
    statuses = [client.response().status for client in clients]
    assert set(statuses) <= {200, 502}
    assert statuses.count(502) <= 3
    server.ready_workers(6)
    assert [client.ask(request()).status for client in clients] == [200] * 12


def test_many_deaths_under_load_cost_no_more_than_what_ran(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "2")
    server.ready_workers(2)
    # Each of them dies young, so that the next one comes after a pause that grows to 2 s.
    kills, lost = 6, 0
    clients = [server.connect() for _ in range(8)]
    for count in range(kills):
        for client in clients:
            client.send(request())
        victim = list(server.ready_workers(2 + count).values())[-1]
        os.kill(victim, signal.SIGKILL)
        statuses = [client.response().status for client in clients]
        assert set(statuses) <= {200, 502}
        lost += statuses.count(502)
        server.ready_workers(3 + count)
    assert lost <= kills * 2
    if lost:
        # The front answers first and tells then.
        server.log.wait_for("answered 502", lost)
    assert len(server.log.all("answered 502")) == lost


# Memory


def test_an_allocation_that_fails_is_the_applications_error(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", prefix=("prlimit", f"--as={8 << 30}", "--"))
    pid = server.ready_workers(1)[1]
    assert server.ask(request(target=f"/allocate/{1 << 40}")).status == 500
    server.log.wait_for("MemoryError")
    assert server.ask(request()).text == str(pid)


def test_a_limit_on_memory_that_kills(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", prefix=("prlimit", f"--as={8 << 30}", "--"))
    server.ready_workers(2)
    # As a native library does that gets no memory, and as the kernel does when there is none.
    for target, how in (("/abort", "SIGABRT"), ("/kill", "SIGKILL")):
        assert server.ask(request(target=target)).status == 502
        obituary(server, f"was killed by {how}", target)
    assert server.ask(request()).status == 200


# The front


def test_a_front_that_dies_is_replaced(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH, environment=gates.environment)
    workers = server.ready_workers(2)
    address = server.addresses[0]
    held = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    front = server.front_pid(2)
    os.kill(front, signal.SIGKILL)
    wait_for_death(front)
    # The backlog belongs to the listening socket, which has not gone: this one is not refused.
    with Client(address) as client:
        assert client.ask(request()).status == 200
    with pytest.raises((CutOffError, ConnectionResetError)):
        held.response()
    server.log.wait_for("front.*SIGKILL")
    assert server.front_pid(2) != front
    # The workers are the same ones, with what they have loaded.
    eventually(lambda: server.verdict()["workers"]["ready"] == 2, "both have come back")
    assert all(runs(pid) for pid in workers.values())
    gates.open("one")
    with Load(address) as load:
        load.wait_for(100)
        assert load.bodies() <= {str(pid) for pid in workers.values()}
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_a_front_that_stands_still_is_replaced(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", module="support.impatient")
    workers = server.ready_workers(2)
    front = server.front_pid(2)
    os.kill(front, signal.SIGSTOP)
    server.log.wait_for(rf"front \(pid {front}\) has given no sign of life for 2s and is killed")
    server.log.wait_for(r'thread "pelton-front" \(tid [0-9]+\): stopped by a signal')
    server.log.wait_for(rf"front \(pid {front}\) was killed by SIGKILL; another one takes over")
    server.log.wait_for(r"front \(pid [0-9]+\) accepts connections")
    assert int(server.ask(request()).text) in workers.values()
    assert not runs(front)


def test_fronts_that_die_again_and_again(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2")
    server.ready_workers(2)
    seen = set()
    # More than that, each a moment after its start, and the supervisor would give up.
    for _ in range(3):
        front = server.front_pid(2)
        seen.add(front)
        os.kill(front, signal.SIGKILL)
        wait_for_death(front)
        assert server.ask(request()).status == 200
        eventually(lambda: len(children_of(server.pid)) == 3, "one front")
    assert len(seen) == 3


def test_a_reload_after_the_fronts_death(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    old = server.ready_workers(1)[1]
    front = server.front_pid(1)
    os.kill(front, signal.SIGKILL)
    wait_for_death(front)
    assert server.ask(request()).text == str(old)
    server.send_signal(signal.SIGHUP)
    new = server.ready_workers(2)[2]
    eventually(lambda: server.ask(request()).text == str(new), "the new one serves")
    eventually(lambda: not runs(old), "the old one ends")
