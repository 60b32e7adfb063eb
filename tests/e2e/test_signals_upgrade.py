"""USR2: a new pelton on the same sockets, and nobody who asks notices."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from conftest import StartLive
from support.client import Client, request
from support.gates import Gates
from support.live import PROCESS_APP, Live
from support.load import Load
from support.processes import runs
from support.waiting import eventually

NO_CACHE = {"PYTHONDONTWRITEBYTECODE": "1"}


def write_version(directory: Path, version: str) -> None:
    (directory / "shop.py").write_text(
        f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{version}']\n"
    )


def successor(server: Live, count: int = 2) -> int:
    """The pid in the start line of the ``count``th one."""
    return int(server.log.wait_for(r"listens on .*, pid (\d+)\)", count)[1])


def end(server: Live, pid: int) -> None:
    """End the one that is left, who is no child of this process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    server.wait_until_gone()


def gone(pid: int) -> Callable[[], bool]:
    return lambda: not runs(pid)


def test_an_upgrade_under_load(live: StartLive, tmp_path: Path) -> None:
    write_version(tmp_path, "old")
    server = live("shop", "--workers", "2", directory=tmp_path, environment=NO_CACHE)
    server.ready_workers(2)
    address = server.addresses[0]
    with Load(address) as load:
        load.wait_for(50)
        write_version(tmp_path, "new")
        server.send_signal(signal.SIGUSR2)
        # Connections of the old one end with a response that says so; new ones reach the new one.
        load.wait_for_body("new")
        assert server.process.wait(20) == 0
        load.wait_for(50)
        assert {response.text for response in load.responses[-10:]} == {"new"}
    new = successor(server)
    assert new != server.process.pid
    assert runs(new)
    end(server, new)


def test_upgrades_in_a_row(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    current = server.pid
    address = server.addresses[0]
    for count in (2, 3):
        os.kill(current, signal.SIGUSR2)
        following = successor(server, count)
        # The first one is this process' child, and stays a zombie until it is waited for.
        server.process.poll()
        eventually(gone(current), "the former ends")
        with Client(address) as client:
            assert client.ask(request()).status == 200
        current = following
    # It can do everything that the first one could.
    os.kill(current, signal.SIGHUP)
    server.log.wait_for("is ready", 4)
    end(server, current)


def test_a_running_request_finishes_in_the_old_one(live: StartLive, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    server = live(PROCESS_APP, "--workers", "1", environment=gates.environment)
    old = server.ready_workers(1)[1]
    held = server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    address = server.addresses[0]
    server.send_signal(signal.SIGUSR2)
    new = successor(server)

    def is_served_by_the_new_one() -> bool:
        with Client(address) as client:
            return client.ask(request()).text != str(old)

    # The successor says that it serves, and only then the old one leaves the sockets to it.
    eventually(is_served_by_the_new_one, "new connections go to the successor")
    gates.open("one")
    assert held.response().text == str(old)
    assert server.process.wait(20) == 0
    end(server, new)


def test_a_socket_file_stays(live: StartLive) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        server = live(PROCESS_APP, "--workers", "1", "--bind", f"unix:{path}")
        server.ready_workers(1)
        server.send_signal(signal.SIGUSR2)
        new = successor(server)
        assert server.process.wait(20) == 0
        # The old one must not take the name away from the new one.
        with Client(f"unix:{path}") as client:
            assert client.ask(request()).status == 200
        end(server, new)
        assert not path.exists()


def test_a_new_version_that_does_not_start(live: StartLive, tmp_path: Path) -> None:
    write_version(tmp_path, "old")
    server = live("shop", "--workers", "1", directory=tmp_path, environment=NO_CACHE)
    pid = server.ready_workers(1)[1]
    with Load(server.addresses[0]) as load:
        load.wait_for(10)
        (tmp_path / "shop.py").write_text("raise RuntimeError('broken release')\n")
        server.send_signal(signal.SIGUSR2)
        server.log.wait_for("RuntimeError: broken release")
        # Not only gone, but known to be: until then another try is refused.
        server.log.wait_for("upgrade: failed, this one stays")
        assert len(server.processes()) == 3
        load.wait_for(50)
        assert runs(pid)
        # And another try is possible.
        write_version(tmp_path, "new")
        server.send_signal(signal.SIGUSR2)
        load.wait_for_body("new")
    assert server.process.wait(20) == 0
    end(server, successor(server))


def test_the_old_one_ends_while_the_new_one_starts(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    server.ready_workers(1)
    server.send_signal(signal.SIGUSR2)
    server.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    # Whether the new one was ready in time or not: nobody is left who does not serve.
    starts = "listens on"
    eventually(
        lambda: not server.processes() or len(server.log.all(starts)) == 2, "the new one serves or has gone"
    )
    if server.processes():
        end(server, successor(server))
