"""Workers whose hub or interpreter is kept by native code: what they were given and have not started is run
by others."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client
from support.gates import Gates
from support.live import Live
from support.waiting import eventually

APP = Path(__file__).parents[1] / "support" / "green_app.py"
KINDS = pytest.mark.parametrize("kind", ["gevent", "eventlet", "threads"])


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


class Holding:
    """Requests that wait at gates of their own."""

    def __init__(self, server: Live, gates: Gates, names: str) -> None:
        self._gates = gates
        self._clients: dict[str, Client] = {name: server.connect().send(gates.add(name)) for name in names}
        self._server = server

    def workers(self) -> list[str]:
        """The process that runs each, when all of them are run."""
        log = self._server.log
        return [log.wait_for(f"{name} is held by (\\d+)")[1] for name in self._clients]

    def end(self) -> None:
        for name, client in self._clients.items():
            self._gates.open(name)
            assert client.response().body == b"went through"


@KINDS
def test_others_run_what_a_jammed_worker_has_not_started(live: StartLive, gates: Gates, kind: str) -> None:
    server = live(
        f"{APP}:app", "-k", kind, "--workers", "2", "--threads", "16", environment=gates.environment
    )
    server.log.wait_for("is ready", count=2)
    jam = server.connect().send(gates.add("jam", "/jam/"))
    jammed = server.log.wait_for(r"jam jams (\d+)")[1]
    # Of so few about a half is given to each.
    first = Holding(server, gates, "abcdef")
    assert jammed not in first.workers()
    # Known now, it gets none at all.
    second = Holding(server, gates, "ghi")
    assert jammed not in second.workers()
    first.end()
    gates.open("jam")
    assert jam.response().body == b"went through"
    second.end()
    # As willing as before.
    names = iter(string.ascii_uppercase)

    def gets_some() -> bool:
        both = Holding(server, gates, next(names) + next(names))
        workers = both.workers()
        both.end()
        return jammed in workers

    eventually(gets_some, "the worker that was jammed gets requests again")
    # Nothing was run twice.
    held = [match[1] for match in server.log.all("(\\w) is held by")]
    assert len(held) == len(set(held))
