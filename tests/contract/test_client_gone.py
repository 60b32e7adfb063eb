"""Clients who go while they are served: what the application is told, and when its response ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.client import Client, request
from support.kinds import WAYS_HERE
from support.live import Live
from support.scene import Scene
from support.serving import Serve, Server

Play = Callable[..., Scene]
Leave = Callable[[Client], None]


@pytest.fixture(scope="module")
def processes() -> Iterator[Live]:
    """For all tests that need no settings of their own."""
    with contextlib.ExitStack() as stack:
        yield Scene.processes(stack)


@pytest.fixture(params=WAYS_HERE)
def play(request: pytest.FixtureRequest, tmp_path: Path, serve: Serve) -> Iterator[Play]:
    """Sets the scene in each way of serving; called with settings."""
    with contextlib.ExitStack() as stack:

        def made(**settings: Any) -> Scene:
            if request.param == "one process":
                return Scene.in_one_process(tmp_path, serve, **settings)
            if not settings:
                return Scene(tmp_path, request.getfixturevalue("processes"))
            return Scene.in_processes(tmp_path, stack, **settings)

        yield made


def leave_in_order(client: Client) -> None:
    client.close()


def leave_by_reset(client: Client) -> None:
    client.reset()


def stop_sending(client: Client) -> None:
    client.finish_sending()


@pytest.fixture(params=[leave_in_order, leave_by_reset, stop_sending])
def leave(request: pytest.FixtureRequest) -> Leave:
    how: Leave = request.param
    return how


# client_gone


def test_it_is_false_while_somebody_waits_and_true_when_he_goes(play: Play, leave: Leave) -> None:
    scene = play()
    client = scene.connect().send(scene.request("/asked"))
    scene.wait_for("gone: False")
    leave(client)
    scene.wait_for("gone: True")
    if leave is stop_sending:
        # Who only sends no more may still read.
        assert client.response("POST").body == b"still here"
    client.close()
    scene.check_idle()


def test_it_is_true_from_the_beginning_for_a_client_that_had_left(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.request("/asked")).finish_sending()
    assert client.response("POST").body == b"still here"
    assert "gone: True" in scene.notes


def test_it_is_true_when_the_time_is_over(play: Play) -> None:
    scene = play(request_timeout=0.3, request_timeout_grace=60)
    client = scene.connect().send(scene.request("/side-effect"))
    assert client.response("POST").status == 504
    scene.check_idle()


def test_kept_beyond_its_request_it_says_true_for_ever(play: Play) -> None:
    scene = play(threads=1)
    client = scene.connect()
    for _ in range(4):
        kept = eval(client.ask(scene.request("/keep")).body)
        assert kept[1] is False
        assert all(one is True for one in kept[0])
        assert client.ask(request()).body == b"hello"
    assert len(kept[0]) >= 3


# Requests that have not begun to answer, or whose end is known


def test_a_half_closed_client_gets_its_response(play: Play) -> None:
    scene = play()
    gate = scene.add_gate("gate")
    # Each of them is at the gate, or has begun, when the client stops sending.
    for path, expected in (("late", b"012"), ("known", b"0123456789")):
        client = scene.connect().send(scene.request(f"/{path}/{gate}"))
        scene.wait_for(f"at {gate}")
        client.finish_sending()
        scene.open_gate(gate)
        assert client.response("POST").body == expected
        (scene.directory / "notes").unlink()
    scene.check_idle()


def test_what_may_matter_to_others_is_not_interrupted(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.request("/side-effect"))
    scene.wait_for("at work")
    client.reset()
    scene.wait_for("done")
    assert scene.notes == ["at work", "done"]
    scene.check_idle()


# Endless answers


@pytest.mark.parametrize("kind", ["empty", "pieces", "large", "looping", "queue", "event"])
def test_an_endless_response_ends_with_its_client(play: Play, leave: Leave, kind: str) -> None:
    scene = play()
    client = scene.connect(receive_buffer=4096).send(scene.request(f"/endless/{kind}"))
    client.head()
    assert client.piece() == b"data: first\n\n"
    scene.wait_for("begun")
    leave(client)
    if kind in ("looping", "queue", "event"):
        # It yields nothing at which it could end.
        scene.wait_for("ClientDisconnected: ")
    else:
        scene.wait_for("GeneratorExit: ")
    # Whatever comes after that is left alone.
    scene.wait_for("closed")
    scene.check_idle()


def test_it_ends_within_a_second(play: Play) -> None:
    scene = play()
    for kind, end in (("empty", "GeneratorExit: "), ("queue", "ClientDisconnected: ")):
        times = []
        for count in range(1, 4):
            client = scene.connect().send(scene.request(f"/endless/{kind}"))
            client.head()
            scene.wait_for("begun", count)
            left = time.monotonic()
            client.close()
            scene.wait_for(end, count)
            times.append(time.monotonic() - left)
        # The quickest: a machine under load may be slow, but not three times.
        assert min(times) < 1, times
        (scene.directory / "notes").unlink()


def test_threads_are_free_again(play: Play) -> None:
    scene = play(threads=2)
    for _ in range(3):
        clients = [scene.connect().send(scene.request("/endless/queue")) for _ in range(2)]
        for client in clients:
            client.head()
            client.close()
        assert scene.ask(request()).body == b"hello"
    scene.check_idle()


def test_short_streams_reach_a_half_closed_client(play: Play) -> None:
    scene = play()
    gate = scene.add_gate("event0")
    client = scene.connect().send(scene.request("/events/1")).finish_sending()
    scene.wait_for(f"at {gate}")
    scene.open_gate(gate)
    assert client.response("POST").body == b"data: 0\n\n"


# Server-sent events


def test_each_event_leaves_at_once(play: Play) -> None:
    scene = play()
    gates = [scene.add_gate(f"event{number}") for number in range(5)]
    client = scene.connect().send(scene.request("/events/5"))
    for number, gate in enumerate(gates):
        scene.wait_for(f"at {gate}")
        scene.open_gate(gate)
        if number == 0:
            assert client.head().framing == "chunked"
        # It is here while the application waits at the next gate.
        assert client.piece() == f"data: {number}\n\n".encode()
    assert client.piece() == b""
    scene.check_idle()


def test_a_reader_that_does_not_keep_up_stops_the_application(tmp_path: Path, serve: Serve) -> None:
    scene = Scene.in_one_process(
        tmp_path, serve, response_buffer_bytes=65_536, response_file_bytes=0, write_idle_seconds=600.0
    )
    assert isinstance(scene.server, Server)
    client = scene.connect(receive_buffer=4096).send(scene.request("/endless/large"))
    client.head()
    scene.wait_for("begun")
    # Bounded by what is lent at once, however long nobody reads.
    assert scene.server.counter("response_bytes_held") < 4 * 2**20
    assert len(client.piece()) == 13
    # Between processes a piece comes in parts, as large as there is room.
    large = 0
    while large < 1_000_000:
        large += len(client.piece())
    assert large == 1_000_000
    client.reset()
    scene.wait_for("GeneratorExit: ")
    scene.check_idle()
