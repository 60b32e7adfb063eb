"""Threads as they are needed: requests that are held get as many as they are, and whoever asks is told."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.client import Client, request
from support.gates import Gates
from support.live import PROCESS_APP, Live
from support.processes import children_of
from support.waiting import eventually

WORKERS = pytest.mark.parametrize("workers", ["0", "2"], ids=["one process", "two workers"])
# More than any fixed number that pelton had by default.
MANY = 30


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


class Sized:
    """A server with its admin listener."""

    def __init__(self, live: StartLive, gates: Gates, directory: Path, *arguments: str) -> None:
        self._admin = directory / "a"
        self.gates = gates
        self.held: dict[str, Client] = {}
        self.server: Live = live(
            PROCESS_APP,
            *("--bind", "127.0.0.1:0", "--admin-bind", f"unix:{self._admin}", *arguments),
            environment=gates.environment,
        )

        if "--workers" in arguments and "--workers 0" not in " ".join(arguments):
            self.server.ready_workers(2)

    def hold(self, count: int) -> None:
        """So many requests more that do not come back before their gates are opened."""
        for number in range(len(self.held), len(self.held) + count):
            name = f"gate-{number}"
            self.held[name] = self.server.connect().send(self.gates.add(name))

    def let_go(self) -> None:
        """All of them; each is answered."""
        for name, client in self.held.items():
            self.gates.open(name)
            assert client.response().status == 200
        self.held.clear()

    def running(self) -> int:
        """How many of them a thread has begun."""
        return sum(f"{name} is held" in self.server.log.text for name in self.held)

    def told(self) -> list[dict[str, Any]]:
        """What /sizing says of each worker."""
        with Client(f"unix:{self._admin}") as client:
            response = client.ask(request(target="/sizing"))
        assert (response.status, response.get("Content-Type")) == (200, "application/json")
        workers: list[dict[str, Any]] = response.json()["workers"]
        return workers


@WORKERS
def test_as_many_requests_run_as_come(live: StartLive, gates: Gates, tmp_path: Path, workers: str) -> None:
    sized = Sized(live, gates, tmp_path, "--workers", workers)
    sized.hold(MANY)
    eventually(lambda: sized.running() == MANY, "all of them run")
    assert sized.server.ask(request()).status == 200, "and there is room for others"
    told = sized.told()
    assert sum(one["threads"] for one in told) >= MANY
    assert all(one["most"] >= one["threads"] for one in told)
    assert sum(one["running"] for one in told) == MANY
    sized.let_go()


@WORKERS
def test_bounds_are_kept_and_named(live: StartLive, gates: Gates, tmp_path: Path, workers: str) -> None:
    sized = Sized(live, gates, tmp_path, "--workers", workers, "--threads", "2:4")
    most = 4 * max(1, int(workers))
    sized.hold(most)
    eventually(lambda: sized.running() == most, "as many as may")
    sized.hold(2)
    if workers == "0":
        # Of several, whoever has all that it may have is given nothing more: what waits is in the queue.
        eventually(lambda: sized.told()[0]["reason"] == "bound", "that is the bound")
    assert sized.running() == most
    assert [one["threads"] for one in sized.told()] == [4] * max(1, int(workers))
    assert [one["most"] for one in sized.told()] == [4] * max(1, int(workers))
    sized.let_go()


def test_a_number_is_exact(live: StartLive, gates: Gates, tmp_path: Path) -> None:
    sized = Sized(live, gates, tmp_path, "--threads", "3")
    sized.hold(3)
    eventually(lambda: sized.running() == 3, "three run")
    [told] = sized.told()
    assert (told["most"], told["running"]) == (3, 3)
    assert "reason" not in told, "nobody decides anything"
    sized.let_go()


def test_workers_come_with_the_load_and_go_with_it(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1:2", module="support.restless")
    server.ready_workers(1)
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def ask() -> None:
        with Client(server.addresses[0]) as client:
            while not over.is_set():
                statuses[client.ask(request()).status] += 1

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for one in asking:
        one.start()
    try:
        server.ready_workers(2)
        server.log.wait_for(
            r"INFO 2 workers wanted, one more: each has used \d+% of a processor for 2 s, and"
        )
    finally:
        over.set()
        for one in asking:
            one.join()
    server.log.wait_for(r"INFO 1 worker wanted, one fewer: for 2 s all of them together have used \d+% of a")
    eventually(lambda: len(children_of(server.pid)) == 2, "the front and one worker are left")
    assert server.ask(request()).status == 200
    assert set(statuses) == {200}, "no request was lost"


def test_a_number_from_the_environment_is_exact_and_told(live: StartLive) -> None:
    server = live(PROCESS_APP, environment={"WEB_CONCURRENCY": "2"})
    server.ready_workers(2)
    server.log.wait_for(r"INFO .*WEB_CONCURRENCY")
