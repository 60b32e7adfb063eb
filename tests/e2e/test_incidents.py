"""Planted incidents: whoever has only one of the views finds the line."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import StartLive
from pelton.cli.main import main
from support.client import Client, request
from support.live import Live
from support.waiting import eventually

APPLICATION = Path(__file__).parents[1] / "support" / "incident_app.py"
# Each look is a command of its own, and a busy machine gives the looked-at its processor only now and then.
PATIENCE = 90.0


def line_of(mark: str) -> str:
    lines = APPLICATION.read_text().splitlines()
    (number,) = [at for at, line in enumerate(lines, 1) if line.endswith(f"# {mark}")]
    return f"{APPLICATION}:{number}"


class Incident:
    """A server, and what its commands say."""

    def __init__(self, live: StartLive, folder: Path) -> None:
        self.folder = folder
        self._environment = {"XDG_RUNTIME_DIR": str(folder), "PELTON_TEST_INCIDENTS": str(folder)}
        self.server: Live = live(
            APPLICATION, "--workers", "1", "--threads", "8", environment=self._environment
        )
        self.server.ready_workers()

    def begin(self, path: str, count: int = 1) -> list[Client]:
        return [self.server.connect().send(request(target=path)) for _ in range(count)]

    def command(self, *arguments: str) -> str:
        done = CliRunner().invoke(main, arguments, env=self._environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    def top(self) -> list[dict[str, Any]]:
        told = json.loads(self.command("top", "--json", "--interval", "0.1"))
        rows: list[dict[str, Any]] = told["running"]
        return rows

    def stands_at(self, mark: str, count: int = 1) -> Callable[[], bool]:
        place = line_of(mark)
        return lambda: sum(row.get("at") == place for row in self.top()) >= count

    def profile(self) -> list[str]:
        return self.command("profile", "--seconds", "0.5", "--format", "collapsed").splitlines()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """The incident lasts until the test ends it: what is true of it will be seen."""
        eventually(condition, what, PATIENCE)

    def until_profiled(self, begins: str, contains: str = "") -> None:
        self.until(
            lambda: any(line.startswith(begins) and contains in line for line in self.profile()),
            f"a profile has {begins} … {contains}",
        )


@pytest.fixture
def incident(live: StartLive, tmp_path: Path) -> Incident:
    return Incident(live, tmp_path)


def responses(clients: list[Client], body: bytes) -> None:
    assert [client.response().body for client in clients] == [body] * len(clients)


def test_a_lock_convoy(incident: Incident) -> None:
    clients = incident.begin("/convoy", 4)

    seen: list[dict[str, Any]] = []

    def is_seen() -> bool:
        seen[:] = [row for row in incident.top() if row.get("waits", {}).get("lock")]
        held = all(row["waits"]["held_by"] for row in seen)
        return len(seen) == 3 and held and {row["at"] for row in seen} == {line_of("the convoy")}

    incident.until(is_seen, "three wait for the lock of one")
    waits = seen[0]["waits"]
    assert "stock" in waits["for"]
    assert waits["held_by"][0]["function"] == "convoy"
    incident.until(lambda: "held by thread" in incident.command("dump"), "the dump has the holder")
    incident.until_profiled("GET /convoy;lock;")
    (incident.folder / "moved").touch()
    responses(clients, b"moved")


def test_a_query_that_waits_for_another(incident: Incident) -> None:
    database = sqlite3.connect(incident.folder / "shop.sqlite", isolation_level=None)
    database.execute("create table orders (number)")
    database.execute("begin exclusive")
    clients = incident.begin("/query")
    incident.until(incident.stands_at("the query"), "it stands in the query")
    incident.until_profiled("GET /query;", line_of("the query").rpartition("/")[2])
    database.execute("commit")
    database.close()
    responses(clients, b"stored")


def test_a_dependency_that_hangs(incident: Incident) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        (incident.folder / "port").write_text(str(listener.getsockname()[1]))
        clients = incident.begin("/dependency", 2)
        peers = [listener.accept()[0] for _ in clients]
        incident.until(incident.stands_at("the dependency", 2), "both stand in recv")
        incident.until_profiled("GET /dependency;network;")
        for peer in peers:
            peer.sendall(b"at last")
            peer.close()
        responses(clients, b"at last")


def test_an_interpreter_that_everybody_wants(incident: Incident) -> None:
    clients = incident.begin("/burns", 4)
    incident.until_profiled("GET /burns;interpreter;", line_of("the interpreter").rpartition("/")[2])
    (incident.folder / "burnt").touch()
    responses(clients, b"burnt")


def test_a_leak(incident: Incident) -> None:
    def memory() -> int:
        told = json.loads(incident.command("top", "--json", "--interval", "0.1"))
        return int(told["workers"][0]["process"]["memory_bytes"])

    responses(incident.begin("/leak"), b"kept")
    before = memory()
    for _ in range(40):
        responses(incident.begin("/leak"), b"kept")
    incident.until(lambda: memory() - before > 30 << 20, "the worker's memory has grown by most of it")
