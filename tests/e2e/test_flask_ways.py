"""The ways themselves: which of them this pelton has, who serves, how many at once, how each ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.processes import children_of
from support.ways import (
    RELOADER,
    SLOW,
    WAYS,
    WEBSOCKETS,
    Served,
    Way,
    flask_has_serve,
    missing_parts,
    parameters,
)

# Its meetings are of one process.
MEETING = replace(SLOW, one_process=True)

_OF_EVERY_PELTON = {"python", "flask-run", "pelton", "pelton-workers"}
_WITH_FLASKS_DOOR = {"one-line", "one-line-flask-run", "pelton-run", "flask-serve"}


def test_no_way_is_skipped_that_this_pelton_has() -> None:
    """Asked otherwise than the list asks, so that a mistake there cannot switch tests off."""
    assert {way.name for way in WAYS} == _OF_EVERY_PELTON | _WITH_FLASKS_DOOR
    has_door = find_spec("pelton.flask") is not None
    active = {way.name for way in WAYS if not missing_parts(way)}
    assert active == _OF_EVERY_PELTON | (_WITH_FLASKS_DOOR if has_door else set())
    assert flask_has_serve() == has_door, "the installed metadata is old: run `make build`"


def test_no_websocket_is_skipped_that_this_pelton_has() -> None:
    hands_over = find_spec("pelton.worker.wsgi.client_socket") is not None
    assert WEBSOCKETS.is_there() == hands_over


@pytest.fixture
def served(way: Way, tmp_path: Path) -> Iterator[Served]:
    with Served(SLOW, way, tmp_path) as served:
        yield served


@pytest.mark.parametrize("way", parameters(SLOW))
def test_who_serves(way: Way, served: Served) -> None:
    with served.session() as client:
        response = client.get(served.address, timeout=20)
        assert way.software in response.headers["Server"]
        pids = {client.get(served.address, timeout=20).json()["pid"] for _ in range(20)}
    if way.processes == 1:
        assert pids == {served.process.pid}
    else:
        assert pids <= set(children_of(served.process.pid))


@pytest.mark.parametrize("way", parameters(MEETING))
def test_requests_that_wait_for_each_other(served: Served) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with served.session() as client:
            statuses.append(client.get(f"{served.address}/meet?n=4", timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads[:3]:
        thread.start()
    with served.session() as client:
        # Nor do they keep others waiting.
        assert client.get(f"{served.address}/slow?s=0.01", timeout=20).json()["slept"] == 0.01
    threads[3].start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 4


@pytest.mark.parametrize("way", parameters(SLOW))
def test_an_interrupt_leaves_nobody(served: Served) -> None:
    with served.session() as client:
        client.get(served.address, timeout=20)
    served.interrupt()
    served.wait_until_gone()


@pytest.mark.parametrize("way", parameters(SLOW, develops=True, needs=[RELOADER]))
def test_a_debugged_server_leaves_no_child(way: Way, tmp_path: Path) -> None:
    with Served(SLOW, way, tmp_path, debug=True) as served:
        with served.session() as client:
            pid = client.get(served.address, timeout=20).json()["pid"]
        # It is the reloader's child that serves.
        assert pid != served.process.pid
        served.interrupt()
        served.wait_until_gone()
