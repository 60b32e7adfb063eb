"""At the limit of connections: the idle ones make room, and whoever asks for health is always answered."""

from __future__ import annotations

from pathlib import Path

from conftest import StartLive
from support.apps import held, hello, routes
from support.client import Client, request
from support.live import PROCESS_APP
from support.serving import Serve
from support.waiting import Gate, eventually

QUICK = request()


def test_an_idle_connection_makes_room_for_a_newcomer_and_the_oldest_goes_first(serve: Serve) -> None:
    server = serve(hello, max_connections=3)
    idle = [server.connect() for _ in range(3)]
    for client in idle:
        assert client.ask(QUICK).keeps_connection
    assert server.connect().ask(QUICK).status == 200
    server.wait_for_counter("closed_for_newcomers", 1)
    assert idle[0].closed()
    assert [client.ask(QUICK).status for client in idle[1:]] == [200, 200]


def test_connections_that_never_said_anything_make_room_too(serve: Serve) -> None:
    server = serve(hello, max_connections=3)
    silent = [server.connect() for _ in range(3)]
    server.wait_for_counter("connections_open", 3)
    assert server.connect().ask(QUICK).status == 200
    assert silent[0].closed()


def test_who_is_served_or_sends_keeps_the_connection(serve: Serve, gate: Gate) -> None:
    server = serve(routes({"/hold": held(gate)}, default=hello), threads=2, max_connections=3)
    running = server.connect().send(request(target="/hold"))
    gate.wait_for()
    half = server.connect().send(QUICK[:-1])
    idle = server.connect()
    assert idle.ask(QUICK).status == 200
    for _ in range(2):
        with server.connect() as newcomer:
            assert newcomer.ask(QUICK).status == 200
    assert idle.closed()
    gate.open()
    assert running.response().body == b"held"
    assert half.send(QUICK[-1:]).response().status == 200


def test_nobody_is_closed_while_nobody_waits(serve: Serve) -> None:
    server = serve(hello, max_connections=3)
    clients = [server.connect() for _ in range(3)]
    for _ in range(3):
        for client in clients:
            assert client.ask(QUICK).status == 200
    assert server.counter("closed_for_newcomers") == 0


def test_health_is_answered_beyond_the_limit(live: StartLive, tmp_path: Path) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "1", "--max-connections", "4", "--keep-alive", "10m"),
        *("--head-timeout", "10m", "--bind", "127.0.0.1:0", "--admin-bind", "unix:a"),
        directory=tmp_path,
    )
    server.ready_workers(1)
    # These have begun to speak, so they do not make room; two more wait in the backlog.
    clients = [server.connect().send(QUICK[:-1]) for _ in range(6)]
    eventually((tmp_path / "a").is_socket, "the admin address listens")
    for _ in range(3):
        with Client(f"unix:{tmp_path / 'a'}") as admin:
            assert admin.ask(request(target="/livez")).status == 200
    for client in clients[:4]:
        assert client.send(QUICK[-1:]).response().status == 200


def test_health_is_answered_where_descriptors_are_few(live: StartLive, tmp_path: Path) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "1", "--keep-alive", "10m", "--head-timeout", "10m"),
        *("--bind", "127.0.0.1:0", "--admin-bind", "unix:a"),
        directory=tmp_path,
        prefix=["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"],
    )
    server.ready_workers(1)
    # Half of the descriptors are for connections; with the reserve of a large server there were 16.
    kept = [server.connect() for _ in range(50)]
    for _ in range(2):
        assert [client.ask(QUICK).status for client in kept] == [200] * 50
    for client in kept:
        client.close()
    clients = [server.connect().send(QUICK[:-1]) for _ in range(200)]
    for _ in range(3):
        with Client(f"unix:{tmp_path / 'a'}") as admin:
            assert admin.ask(request(target="/livez")).status == 200
    assert clients[0].send(QUICK[-1:]).response().status == 200
