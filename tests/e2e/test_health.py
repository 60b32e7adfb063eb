"""What the front says of the whole: without any worker, while every thread is stuck, and before the end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.gates import Gates
from support.live import HEALTH, HEALTH_PATH, PROCESS_APP
from support.waiting import eventually

WORKERS = pytest.mark.parametrize("workers", ["0", "2"], ids=["one process", "two workers"])


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@WORKERS
def test_the_verdict_of_an_idle_server(live: StartLive, workers: str) -> None:
    server = live(PROCESS_APP, "--workers", workers, "--threads", "4", *HEALTH)
    expected = max(1, int(workers))
    if workers != "0":
        server.ready_workers(expected)
    eventually(lambda: server.verdict()["workers"]["ready"] == expected, "all are ready")
    for name in ("livez", "readyz"):
        response = server.ask(request(target=f"{HEALTH_PATH}/{name}"))
        assert (response.status, response.get("Content-Type")) == (200, "application/json")
        verdict = response.json()
        # A machine that is busy with other things may count a moment of the server's for more.
        assert verdict.pop("saturation") < 0.1
        assert verdict == {
            "status": "ready",
            "workers": {"ready": expected, "retiring": 0},
            "permits": {"free": 4 * expected, "total": 4 * expected},
            "running": {"count": 0, "oldest_seconds": 0},
            "queue": {"length": 0, "oldest_seconds": 0},
        }
        assert server.ask(request("HEAD", f"{HEALTH_PATH}/{name}")).body == b""


@WORKERS
def test_it_answers_while_every_thread_is_stuck(live: StartLive, gates: Gates, workers: str) -> None:
    server = live(PROCESS_APP, "--workers", workers, "--threads", "1", *HEALTH, environment=gates.environment)
    names = ["one", "two"][: max(1, int(workers))]
    if workers != "0":
        server.ready_workers(2)
    held = [server.connect().send(gates.add(name)) for name in names]
    for name in names:
        server.log.wait_for(f"{name} is held")
    waiting = [server.connect().send(request()) for _ in range(3)]
    server.wait_for_requests(len(names) + 3)
    verdict = server.verdict()
    assert verdict["code"] == 200
    assert verdict["permits"] == {"free": 0, "total": len(names)}
    eventually(lambda: server.verdict()["running"]["oldest_seconds"] > 0.1, "the oldest one's age grows")
    for name in names:
        gates.open(name)
    for client in (*held, *waiting):
        assert client.response().status == 200
    eventually(lambda: server.verdict()["permits"]["free"] == len(names), "all is free")


def test_off_by_default(live: StartLive) -> None:
    server = live(PROCESS_APP)
    for target in ("/livez", "/readyz", f"{HEALTH_PATH}/readyz"):
        assert server.ask(request(target=target)).text == str(server.process.pid)


def test_other_paths_below_it_are_the_applications(live: StartLive) -> None:
    server = live(PROCESS_APP, *HEALTH)
    for target in (HEALTH_PATH, f"{HEALTH_PATH}/", f"{HEALTH_PATH}/readyz/x", "/readyz"):
        assert server.ask(request(target=target)).text == str(server.process.pid)


@WORKERS
def test_an_address_of_its_own(live: StartLive, workers: str, tmp_path: Path) -> None:
    server = live(
        PROCESS_APP, "--workers", workers, "--bind", "unix:s", "--admin-bind", "unix:a", directory=tmp_path
    )
    assert server.addresses == ["unix:s"] or server.addresses[0].endswith("/s")
    eventually((tmp_path / "a").is_socket, "the admin address listens")
    with Client(f"unix:{tmp_path / 'a'}") as admin:
        assert admin.ask(request(target="/livez")).status == 200
        # The start line is the supervisor's; the front learns of its first worker in the same moment.
        eventually(
            lambda: admin.ask(request(target="/readyz")).json()["status"] == "ready", "the first is ready"
        )
        # The application is not to be had here.
        assert admin.ask(request(target="/who")).status == 404
    with Client(f"unix:{tmp_path / 's'}") as client:
        assert client.ask(request(target="/readyz")).text.isdigit()
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not (tmp_path / "a").exists()


def test_it_is_not_ready_before_it_ends_and_serves_on_for_the_delay(live: StartLive, gates: Gates) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "2", "--drain-delay", "1h", "--graceful-timeout", "2h", *HEALTH),
        environment=gates.environment,
    )
    server.ready_workers(2)
    server.send_signal(signal.SIGTERM)
    eventually(lambda: server.verdict()["code"] == 503, "it is not ready any more")
    assert server.verdict()["status"] == "not ready"
    assert server.ask(request(target=f"{HEALTH_PATH}/livez")).status == 200
    # Load balancers need a while to notice: until then everything is as before.
    for _ in range(5):
        with server.connect() as client:
            response = client.ask(request())
            assert (response.status, response.keeps_connection) == (200, True)
    server.send_signal(signal.SIGINT)
    assert server.exit_code() == 0


def test_a_short_delay_ends_by_itself(live: StartLive, gates: Gates) -> None:
    server = live(
        PROCESS_APP, "--workers", "1", "--drain-delay", "2s", *HEALTH, environment=gates.environment
    )
    held = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.send_signal(signal.SIGTERM)
    eventually(lambda: server.verdict()["code"] == 503, "it is not ready any more")
    with server.connect() as late:
        late.send(gates.add("two"))
        server.log.wait_for("two is held")
        gates.open("one")
        gates.open("two")
        assert held.response().status == 200
        assert late.response().status == 200
    assert server.exit_code() == 0


def test_readyz_without_any_worker(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", *HEALTH)
    server.ready_workers(1)
    server.send_signal(signal.SIGWINCH)
    eventually(lambda: server.verdict()["code"] == 503, "nobody serves")
    assert server.verdict()["workers"]["ready"] == 0
    assert server.ask(request(target=f"{HEALTH_PATH}/livez")).status == 200
    server.send_signal(signal.SIGHUP)
    eventually(lambda: server.verdict()["code"] == 200, "somebody serves again")


def test_health_checks_are_in_no_workers_way(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--max-requests", "5", *HEALTH)
    server.ready_workers(1)
    for _ in range(20):
        assert server.verdict()["code"] == 200
    assert len(server.ready_workers(1)) == 1
    assert re.search("is ready", server.log.text)
