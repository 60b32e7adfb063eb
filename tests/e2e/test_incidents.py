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


@pytest.fixture
def incident(live: StartLive, tmp_path: Path) -> Incident:
    return Incident(live, tmp_path)


def responses(clients: list[Client], body: bytes) -> None:
    assert [client.response().body for client in clients] == [body] * len(clients)


def test_a_lock_convoy(incident: Incident) -> None:
    clients = incident.begin("/convoy", 4)

    def is_seen() -> bool:
        waiting = [row for row in incident.top() if row.get("waits", {}).get("lock")]
        return len(waiting) == 3 and {row["at"] for row in waiting} == {line_of("the convoy")}

    eventually(is_seen, "three wait for the lock of one")
    waits = next(row["waits"] for row in incident.top() if row.get("waits", {}).get("lock"))
    assert "stock" in waits["for"]
    assert waits["held_by"][0]["function"] == "convoy"
    assert "held by thread" in incident.command("dump")
    assert any(line.startswith("GET /convoy;lock;") for line in incident.profile())
    (incident.folder / "moved").touch()
    responses(clients, b"moved")


def test_a_query_that_waits_for_another(incident: Incident) -> None:
    database = sqlite3.connect(incident.folder / "shop.sqlite", isolation_level=None)
    database.execute("create table orders (number)")
    database.execute("begin exclusive")
    clients = incident.begin("/query")
    eventually(incident.stands_at("the query"), "it stands in the query")
    assert line_of("the query").rpartition("/")[2] in " ".join(incident.profile())
    database.execute("commit")
    database.close()
    responses(clients, b"stored")


def test_a_dependency_that_hangs(incident: Incident) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (incident.folder / "port").write_text(str(listener.getsockname()[1]))
        clients = incident.begin("/dependency", 2)
        peers = [listener.accept()[0] for _ in clients]
        eventually(incident.stands_at("the dependency", 2), "both stand in recv")
        eventually(
            lambda: any(line.startswith("GET /dependency;network;") for line in incident.profile()),
            "they wait for the network",
        )
        for peer in peers:
            peer.sendall(b"at last")
            peer.close()
        responses(clients, b"at last")


def test_an_interpreter_that_everybody_wants(incident: Incident) -> None:
    clients = incident.begin("/burns", 4)

    def is_seen() -> bool:
        found = [line for line in incident.profile() if line.startswith("GET /burns;interpreter;")]
        return any(line_of("the interpreter").rpartition("/")[2] in line for line in found)

    eventually(is_seen, "they wait for the interpreter")
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
    assert memory() - before > 30 << 20
