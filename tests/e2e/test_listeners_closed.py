"""A listening socket that somebody else shuts down: the server says so, and goes on with what it has."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from conftest import StartLive
from support.client import Client, request
from support.live import PROCESS_APP
from support.processes import sleeps
from support.waiting import eventually

QUICK = request()


def test_a_listener_shut_down_from_outside_is_told_of_and_left_alone(live: StartLive, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as shared, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        server = live(
            *(PROCESS_APP, "--workers", "1", "--bind", f"fd://{shared.fileno()}"),
            *("--bind", f"fd://{other.fileno()}"),
            descriptors=[shared.fileno(), other.fileno()],
        )
        server.ready_workers(1)
        with Client(f"unix:{tmp_path / 's'}") as client:
            kept = server.connect()
            assert kept.ask(QUICK).status == 200
            # The socket is the same one, whoever holds it.
            shared.shutdown(socket.SHUT_RDWR)
            server.log.wait_for(r"127\.0\.0\.1:[0-9]+ .*does not accept connections any more")
            assert kept.ask(QUICK).status == 200
            assert client.ask(QUICK).status == 200
        front = server.front_pid(1)
        eventually(lambda: all(sleeps(front) for _ in range(50)), "the front has nothing to do")
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_in_one_process_the_end_is_not_held_up(live: StartLive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as shared:
        server = live(
            *(PROCESS_APP, "--workers", "0", "--bind", f"fd://{shared.fileno()}"),
            descriptors=[shared.fileno()],
        )
        assert server.ask(QUICK).status == 200
        shared.shutdown(socket.SHUT_RDWR)
        server.log.wait_for("does not accept connections any more")
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
