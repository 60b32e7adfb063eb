"""As the first process of a container, and as a service of systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.gates import Gates
from support.live import PROCESS_APP, Live
from support.processes import children_of, runs, zombies_of
from support.waiting import DEADLINE, eventually

# A process namespace of its own, where the command is process 1.
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def has_namespaces() -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=DEADLINE).returncode == 0
    return False


in_a_container = pytest.mark.skipif(not has_namespaces(), reason="no right to make a process namespace")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def first_process(server: Live) -> int:
    """The command's pid, seen from outside."""
    assert server.pid == 1
    (pid,) = children_of(server.process.pid)
    return pid


# As process 1


@in_a_container
def test_orphans_are_reaped(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "1", prefix=CONTAINER, environment=gates.environment)
    first = first_process(server)
    server.ready_workers(1)
    own = set(children_of(first))
    gates.add("orphan")
    assert int(server.ask(request(target="/orphan/orphan")).text) > 1
    eventually(lambda: len(set(children_of(first)) - own) == 1, "the orphan has come to process 1")
    (orphan,) = set(children_of(first)) - own
    gates.open("orphan")
    eventually(lambda: not runs(orphan) and not zombies_of(first), "it is gone altogether")
    assert set(children_of(first)) == own
    assert server.ask(request()).status == 200


@in_a_container
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_ends_in_order(live: StartLive, number: signal.Signals) -> None:
    server = live(PROCESS_APP, "--workers", "2", prefix=CONTAINER)
    server.ready_workers(2)
    assert server.ask(request()).status == 200
    os.kill(first_process(server), number)
    assert server.exit_code() == 0
    assert server.processes() == []


@in_a_container
def test_process_1_refuses_an_upgrade(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", prefix=CONTAINER)
    server.ready_workers(1)
    os.kill(first_process(server), signal.SIGUSR2)
    server.log.wait_for("upgrade: refused")
    assert server.ask(request()).status == 200
    assert len(server.log.all("listens on")) == 1


@in_a_container
def test_process_1_killed_takes_everybody_with_it(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", prefix=CONTAINER)
    server.ready_workers(2)
    os.kill(first_process(server), signal.SIGKILL)
    server.wait_until_gone()


# systemd


@pytest.fixture
def notices() -> Iterator[socket.socket]:
    """Where systemd would listen for a service's messages."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"{directory}/notify")
        made.settimeout(DEADLINE)
        yield made


def wait_for_notice(notices: socket.socket, wanted: str) -> dict[str, str]:
    """The first message that says ``wanted``."""
    while True:
        text = notices.recv(4096).decode()
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if wanted in text.splitlines():
            return fields


WORKERS = pytest.mark.parametrize("workers", ["0", "2"], ids=["one process", "two workers"])


@WORKERS
def test_systemd_is_told(live: StartLive, notices: socket.socket, workers: str) -> None:
    path = notices.getsockname()
    server = live(PROCESS_APP, "--workers", workers, environment={"NOTIFY_SOCKET": path})
    wait_for_notice(notices, "READY=1")
    assert server.ask(request()).status == 200
    if workers != "0":
        server.ready_workers(2)
        server.send_signal(signal.SIGHUP)
        assert int(wait_for_notice(notices, "RELOADING=1")["MONOTONIC_USEC"]) > 0
        wait_for_notice(notices, "READY=1")
    server.send_signal(signal.SIGTERM)
    wait_for_notice(notices, "STOPPING=1")
    assert server.exit_code() == 0


def test_ready_is_said_when_somebody_serves(live: StartLive, notices: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('at import')\n")
    path = notices.getsockname()
    server = live("broken", "--workers", "1", directory=tmp_path, environment={"NOTIFY_SOCKET": path})
    assert server.exit_code() == 3
    notices.setblocking(False)
    said = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            said += notices.recv(4096) + b"\n"
    assert b"READY=1" not in said


def test_the_watchdog_is_fed(live: StartLive, notices: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": notices.getsockname(), "WATCHDOG_USEC": "200000"}
    server = live(PROCESS_APP, "--workers", "1", environment=environment)
    for _ in range(3):
        wait_for_notice(notices, "WATCHDOG=1")
    assert server.ask(request()).status == 200


def test_an_upgrade_names_the_new_process(live: StartLive, notices: socket.socket) -> None:
    server = live(PROCESS_APP, "--workers", "1", environment={"NOTIFY_SOCKET": notices.getsockname()})
    wait_for_notice(notices, "READY=1")
    server.send_signal(signal.SIGUSR2)
    new = int(server.log.wait_for(r"listens on .*, pid (\d+)\)", 2)[1])
    wait_for_notice(notices, f"MAINPID={new}")
    assert server.process.wait(20) == 0
    os.kill(new, signal.SIGTERM)
    server.wait_until_gone()


# Puts the descriptor under number 3, where systemd's protocol wants it, and says for whom it is.
_ACTIVATE = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


@WORKERS
def test_socket_activation(live: StartLive, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # Connected before anybody is there.
        with Client(address) as early:
            early.send(request())
            server = live(
                *(PROCESS_APP, "--workers", workers),
                prefix=(sys.executable, "-c", _ACTIVATE, str(listener.fileno())),
                descriptors=[listener.fileno()],
                any_port=False,
            )
            assert server.addresses == [address]
            assert early.response().status == 200
        response = server.ask(request(target="/told")).json()
        # Its children are not activated.
        assert not [name for name in response["environ"] if name.startswith("LISTEN_")]
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        # It is systemd's, and listens on.
        with Client(address):
            pass


# One process


def the_server(server: Live) -> int:
    """The pid of the process that serves, seen from outside: process 1 is beside it."""
    assert server.addresses, "it listens: before that there may be no child"
    (first,) = children_of(server.process.pid)
    assert server.pid > 1
    (pid,) = children_of(first)
    return pid


@in_a_container
def test_orphans_of_one_process_are_reaped(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, prefix=CONTAINER, environment=gates.environment)
    serves = the_server(server)
    (first,) = children_of(server.process.pid)
    gates.add("orphan")
    # The application's own child has its exit code, or this would be no response.
    assert server.ask(request(target="/orphan/orphan")).status == 200
    eventually(lambda: len(children_of(first)) == 2, "the orphan has come to process 1")
    (orphan,) = set(children_of(first)) - {serves}
    gates.open("orphan")
    eventually(lambda: not runs(orphan) and not zombies_of(first), "it is gone altogether")
    assert children_of(first) == [serves]


@in_a_container
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process_ends_in_order(live: StartLive, number: signal.Signals) -> None:
    server = live(PROCESS_APP, prefix=CONTAINER)
    assert server.ask(request()).status == 200
    (first,) = children_of(server.process.pid)
    os.kill(first, number)
    assert server.exit_code() == 0
    assert server.processes() == []


@in_a_container
def test_sigterm_is_obeyed_while_the_application_is_imported(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import sys, time\nprint('begins', file=sys.stderr)\ntime.sleep(60)\n")
    server = live("slow", directory=tmp_path, prefix=CONTAINER)
    server.log.wait_for("begins")
    (first,) = children_of(server.process.pid)
    os.kill(first, signal.SIGTERM)
    assert server.exit_code() == 128 + signal.SIGTERM
    assert server.processes() == []


@in_a_container
def test_the_exit_code_is_the_commands(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('at import')\n")
    server = live("broken", directory=tmp_path, prefix=CONTAINER)
    assert server.exit_code() == 3
