"""Workers come and go: reload, limits of a worker's life, more and fewer of them. Clients notice nothing of
it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP, Live
from support.load import Load
from support.processes import children_of, runs
from support.waiting import eventually

PRELOAD = pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["each loads", "preload"])
# A module that is written twice within a second would be taken from its cache.
NO_CACHE = {"PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def write_version(directory: Path, version: str) -> None:
    (directory / "shop.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        f"    return [b'{version}']\n"
    )


def wait_for_workers(server: Live, count: int) -> None:
    """Wait until so many workers, and nobody else but the front, are left; needs `HEALTH`."""

    def settled() -> bool:
        verdict = server.verdict()["workers"]
        return verdict == {"ready": count, "retiring": 0} and len(children_of(server.pid)) == count + 1

    eventually(settled, lambda: f"{count} workers: {server.verdict()}, {children_of(server.pid)}")


# Reload


@PRELOAD
def test_a_reload_brings_the_new_code_and_loses_nothing(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    write_version(tmp_path, "old")
    server = live("shop", "--workers", "2", *preload, directory=tmp_path, environment=NO_CACHE)
    before = server.ready_workers(2)
    with Load(server.addresses[0]) as load:
        load.wait_for(50)
        assert load.bodies() == {"old"}
        write_version(tmp_path, "new")
        server.send_signal(signal.SIGHUP)
        load.wait_for_body("new")
        eventually(lambda: not any(runs(pid) for pid in before.values()), "the old workers are gone")
        load.wait_for(50)
        assert {response.text for response in load.responses[-20:]} == {"new"}
    server.log.wait_for("reload: ")
    assert "ERROR" not in server.log.text
    # They were as many as before at any time: two have come, two have gone.
    assert len(server.ready_workers(4)) == 4


@PRELOAD
def test_a_reload_of_broken_code_keeps_the_old_workers(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    write_version(tmp_path, "old")
    server = live("shop", "--workers", "2", *preload, directory=tmp_path, environment=NO_CACHE)
    before = server.ready_workers(2)
    with Load(server.addresses[0]) as load:
        load.wait_for(10)
        (tmp_path / "shop.py").write_text("raise RuntimeError('broken release')\n")
        server.send_signal(signal.SIGHUP)
        server.log.wait_for("RuntimeError: broken release")
        server.log.wait_for("reload: ")
        load.wait_for(50)
        assert load.bodies() == {"old"}
        assert all(runs(pid) for pid in before.values())
        write_version(tmp_path, "repaired")
        server.send_signal(signal.SIGHUP)
        load.wait_for_body("repaired")
        eventually(lambda: not any(runs(pid) for pid in before.values()), "the old workers are gone")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_many_reloads_under_load(live: StartLive, tmp_path: Path) -> None:
    write_version(tmp_path, "same")
    server = live("shop", "--workers", "2", *HEALTH, directory=tmp_path, environment=NO_CACHE)
    before = server.ready_workers(2)
    with Load(server.addresses[0], clients=8) as load:
        for _ in range(10):
            server.send_signal(signal.SIGHUP)
            load.wait_for(100)
        eventually(lambda: not any(runs(pid) for pid in before.values()), "the old workers are gone")
        wait_for_workers(server, 2)
        load.wait_for(50)


def test_a_running_request_keeps_its_worker_until_it_is_over(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--threads", "2", environment=gates.environment)
    old = server.ready_workers(1)[1]
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.send_signal(signal.SIGHUP)
    new = server.ready_workers(2)[2]
    eventually(lambda: server.ask(request()).text == str(new), "the new one serves")
    assert runs(old)
    gates.open("one")
    response = client.response()
    assert (response.status, response.text) == (200, str(old))
    # The connection is the front's, so it does not end with the worker.
    assert response.keeps_connection
    assert client.ask(request()).text == str(new)
    eventually(lambda: not runs(old), "the old one ends")
    server.log.wait_for(rf"worker 1 \(pid {old}\) ended")


def test_a_request_that_outlives_the_graceful_time_is_answered_502(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--graceful-timeout", "300ms", environment=gates.environment)
    server.ready_workers(1)
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.send_signal(signal.SIGHUP)
    assert client.response().status == 502
    server.log.wait_for(r"worker 1 \(pid [0-9]+\).*GET /hold/one from 127\.0\.0\.1")
    assert client.ask(request()).text == str(server.ready_workers(2)[2])


# The length of a life


def test_a_worker_is_replaced_after_so_many_requests(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--max-requests", "20", *HEALTH)
    server.ready_workers(2)
    with Load(server.addresses[0], clients=4) as load:
        load.wait_for(300)
        server.ready_workers(6)
    assert len(load.bodies()) >= 4
    wait_for_workers(server, 2)


def test_max_requests_with_one_worker_leaves_no_gap(live: StartLive) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "1", "--threads", "2", "--max-requests", "10"),
        *("--max-requests-jitter", "5"),
    )
    with Load(server.addresses[0]) as load:
        load.wait_for(10)
        server.ready_workers(5)
    assert len(load.bodies()) >= 3


def test_a_worker_is_replaced_when_it_is_old(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--worker-lifetime", "1s")
    first = server.ready_workers(1)[1]
    with Load(server.addresses[0]) as load:
        second = server.ready_workers(2)[2]
        load.wait_for_body(str(second))
        eventually(lambda: not runs(first), "the first ends")


def test_a_worker_is_replaced_when_it_is_large(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--max-rss", "300MiB")
    first = server.ready_workers(1)[1]
    assert server.ask(request(target=f"/grow/{400 << 20}")).text == str(first)
    with Load(server.addresses[0]) as load:
        second = server.ready_workers(2)[2]
        load.wait_for_body(str(second))
        eventually(lambda: not runs(first), "the first ends")


def test_a_worker_that_is_asked_to_end_is_replaced_first(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", environment=gates.environment)
    first = server.ready_workers(1)[1]
    client = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    os.kill(first, signal.SIGTERM)
    server.ready_workers(2)
    gates.open("one")
    assert client.response().text == str(first)
    eventually(lambda: not runs(first), "it ends")
    assert client.ask(request()).status == 200


# More and fewer


def test_one_more_and_one_less(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", *HEALTH)
    server.ready_workers(1)
    with Load(server.addresses[0]) as load:
        for count in (2, 3):
            server.send_signal(signal.SIGTTIN)
            wait_for_workers(server, count)
        for count in (2, 1):
            server.send_signal(signal.SIGTTOU)
            wait_for_workers(server, count)
        # One stays in any case.
        server.send_signal(signal.SIGTTOU)
        load.wait_for(100)
        wait_for_workers(server, 1)


def test_the_number_survives_a_reload(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", *HEALTH)
    server.ready_workers(1)
    server.send_signal(signal.SIGTTIN)
    server.ready_workers(2)
    server.send_signal(signal.SIGHUP)
    server.ready_workers(4)
    wait_for_workers(server, 2)


def test_all_workers_may_rest_for_a_while(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH)
    workers = server.ready_workers(2)
    server.send_signal(signal.SIGWINCH)
    eventually(lambda: not any(runs(pid) for pid in workers.values()), "the workers end")
    with server.connect() as client:
        client.send(request())
        server.wait_for_requests(1)
        server.send_signal(signal.SIGHUP)
        # It waited in the queue for a worker.
        assert client.response().status == 200
    wait_for_workers(server, 2)


# Accidents


def test_a_killed_worker_is_replaced_at_once(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH)
    workers = server.ready_workers(2)
    for count, pid in enumerate(workers.values(), start=3):
        os.kill(pid, signal.SIGKILL)
        server.log.wait_for(rf"worker [0-9]+ \(pid {pid}\) was killed by SIGKILL")
        server.ready_workers(count)
    wait_for_workers(server, 2)
    assert server.ask(request()).status == 200


def test_workers_that_die_while_idle_cost_no_request(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", *HEALTH)
    server.ready_workers(2)
    with server.connect() as client:
        for count in range(3, 9):
            victim = int(client.ask(request()).text)
            os.kill(victim, signal.SIGKILL)
            # At once, perhaps before anybody knows of the death.
            assert client.ask(request()).status in (200, 502)
            server.ready_workers(count)
            assert client.ask(request()).status == 200
