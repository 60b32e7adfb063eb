"""Applications that fork while they run a request: the child reaches nobody, and does not live on by mistake.

A child that comes back out of the view holds a copy of everything that its parent has. Each test asks with
tokens of its own, so that a response of somebody else is seen.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import StartLive
from support.client import Client, CutOffError, request
from support.live import Live
from support.processes import runs
from support.waiting import eventually

FORK_APP = Path(__file__).parents[1] / "support" / "fork_app.py"
KINDS = ("threads", "sync", "gevent", "eventlet", "asyncio", "tornado")
MODES = pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])

# What the child ends with.
CODES = {
    "returns": "0",
    "raises": "1",
    "exits": "7",
    "executes": "1",
    "executes-well": "5",
    "leaves": "3",
    "writes": "1",
    "yields": "0",
    "is-terminated": str(-signal.SIGTERM),
    "later": "0",
    "subprocess": "4",
    "preexec": "4",
    "multiprocessing-fork": "6",
    "multiprocessing-spawn": "6",
    "multiprocessing-forkserver": "6",
    "terminated": str(-signal.SIGTERM),
}


def start(live: StartLive, kind: str, workers: str, *others: str) -> Live:
    server = live(FORK_APP, "-k", kind, "--workers", workers, *others)
    assert server.ask(request(target="/plain/up")).text == "up"
    return server


@pytest.mark.parametrize("kind", KINDS)
@MODES
def test_only_the_parent_answers(live: StartLive, kind: str, workers: str) -> None:
    server = start(live, kind, workers)
    with server.connect() as client:
        for number, (how, code) in enumerate(CODES.items()):
            if (kind, how) == ("eventlet", "multiprocessing-forkserver"):
                # eventlet takes that way away, also without a server.
                continue
            text = client.ask(request(target=f"/{how}/{kind}-{number}")).text
            assert (how, text) == (how, f"{kind}-{number} {code}")
            # The connection goes on, and no child answers on it.
            assert client.ask(request(target=f"/plain/{number}")).text == str(number)
        assert client.ask(request(target="/in-close/x")).text == "x"
        assert client.ask(request(target="/plain/last")).text == "last"
    came_back = {"returns", "raises", "exits", "executes", "writes", "yields", "later", "in-close"}
    server.log.wait_for("came back from the application's code", len(came_back))
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    server.wait_until_gone()
    assert len(server.log.all("came back")) == len(came_back)


class Clients:
    """Threads that ask in turns for forks and for plain answers; `foreign` are answers to somebody else."""

    def __init__(self, server: Live, count: int, requests: int) -> None:
        self.foreign: list[str] = []
        self.answered = 0
        self._address = server.addresses[0]
        self._requests = requests
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _ask(self, client_number: int) -> None:
        try:
            with Client(self._address) as client:
                for number in range(self._requests):
                    token = f"{client_number}-{number}"
                    how = "quickly" if (number + client_number) % 12 == 0 else "plain"
                    text = client.ask(request(target=f"/{how}/{token}")).text
                    if text != token:
                        self.foreign.append(f"{token}: {text!r}")
                    self.answered += 1
        except (OSError, AssertionError) as error:
            self.foreign.append(f"{client_number}: {error!r}")


@pytest.mark.parametrize("kind", KINDS)
@MODES
def test_nobody_gets_the_response_of_a_child_under_load(live: StartLive, kind: str, workers: str) -> None:
    server = start(live, kind, workers)
    clients = Clients(server, 8, 120)
    clients.run()
    assert clients.foreign == []
    assert clients.answered == 8 * 120
    # All children have ended, also those for whom nobody waits.
    eventually(
        lambda: len(server.log.all("came back from the application's code")) == 8 * 10,
        lambda: server.log.text[-2000:],
    )
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    server.wait_until_gone()


@pytest.mark.parametrize("kind", KINDS)
@MODES
def test_a_child_that_lives_on_holds_nothing(
    live: StartLive, kind: str, workers: str, strays: list[int]
) -> None:
    server = start(live, kind, workers)
    idle = server.connect()
    assert idle.ask(request(target="/plain/idle")).text == "idle"
    with server.connect() as client:
        strays.append(hanging := int(client.ask(request(target="/hang/a")).text.split()[1]))
        strays.append(daemon := int(client.ask(request(target="/daemon/b")).text.split()[1]))
    server.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert runs(hanging)
    assert runs(daemon)
    # The clients' connections have ended, and the port is free.
    with pytest.raises(CutOffError):
        idle.response()
    address = urlsplit(server.addresses[0])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((address.hostname, address.port))
        again.listen()


@MODES
def test_a_child_has_none_of_the_servers_descriptors(live: StartLive, workers: str) -> None:
    server = start(live, "threads", workers)
    others = [server.connect() for _ in range(30)]
    for one in others:
        assert one.ask(request(target="/plain/o")).text == "o"
    found = server.ask(request(target="/descriptors/t")).text.split("\n")[1:]
    assert not [one for one in found if "eventpoll" in one or "eventfd" in one or "pelton" in one], found
    # Those that lead nowhere; no client's, which would be thirty more.
    assert len([one for one in found if one.startswith("socket:")]) < 15, found


@MODES
def test_a_child_may_read_what_it_has(live: StartLive, workers: str) -> None:
    server = start(live, "threads", workers)
    for size, by_worker in ((100, "0"), (200_000, "9"), (5_000_000, "0")):
        body = b"x" * size
        text = server.ask(request("POST", "/body/t", body=body)).text
        # What lies in memory that others see, and will use again, is no child's.
        assert text == f"t {by_worker if workers == '1' else '0'}", size


def test_a_signal_for_a_child_is_not_the_servers(live: StartLive, strays: list[int]) -> None:
    server = start(live, "threads", "0")
    strays.append(child := int(server.ask(request(target="/hang/a")).text.split()[1]))
    os.kill(child, signal.SIGTERM)
    eventually(lambda: not runs(child), "it has ended")
    assert server.ask(request(target="/plain/on")).text == "on"
    assert not server.log.all("SIGTERM")


@pytest.mark.parametrize(
    "arguments", [("--workers", "0"), ("--workers", "1"), ("--workers", "1", "--preload")]
)
def test_a_fork_at_import_makes_no_second_server(
    live: StartLive, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code = (
        "import os, sys\n"
        "pid = os.fork()\n"
        "if pid:\n"
        "    print('ended with', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n"
    )
    (tmp_path / "forking.py").write_text(code)
    server = live("forking", *arguments, directory=tmp_path)
    server.log.wait_for("ended with 0")
    assert len({server.ask(request()).text for _ in range(20)}) == 1
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


@pytest.fixture
def strays() -> Iterator[list[int]]:
    """Processes to be ended by the test."""
    found: list[int] = []
    yield found
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in found:
        eventually(lambda pid=pid: not runs(pid), f"{pid} is gone")  # type: ignore[misc]
