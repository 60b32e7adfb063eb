"""What a load balancer is told by the agent's port, and what a real HAProxy makes of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.live import Live
from support.waiting import eventually

_APP = """
import pathlib, time

def app(environ, start_response):
    gate = pathlib.Path(__file__).with_name("gate")
    while environ["PATH_INFO"] == "/wait" and not gate.exists():
        time.sleep(0.02)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def told(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as asked:
        return asked.makefile().read()


def weight(port: int) -> int:
    words = told(port).split()
    assert words[:2] == ["ready", "up"]
    return int(words[2].removesuffix("%"))


class Shop:
    """A server with two threads in one worker, which can be kept."""

    def __init__(self, live: StartLive, folder: Path) -> None:
        (folder / "shop.py").write_text(_APP)
        self.gate, self._live, self._folder = folder / "gate", live, folder
        self.port, self.agent = free_port(), free_port()

    def start(self, *more: str) -> Live:
        words = ("--workers", "1", "--threads", "2", "--agent-bind", f"127.0.0.1:{self.agent}")
        more = ("--bind", f"127.0.0.1:{self.port}", "--health-path", "/-/health", *more)
        started: Live = self._live("shop", *words, *more, directory=self._folder)
        started.ready_workers(1)
        return started

    def keep(self) -> list[threading.Thread]:
        """Takes all threads until the gate opens."""

        def ask() -> None:
            with Client(f"http://127.0.0.1:{self.port}") as client:
                assert client.ask(request(target="/wait")).status == 200

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for one in asking:
            one.start()
        return asking


@pytest.fixture
def shop(live: StartLive, tmp_path: Path) -> Shop:
    return Shop(live, tmp_path)


def test_the_weight_is_what_is_free_and_an_end_is_told(shop: Shop) -> None:
    server = shop.start("--drain-delay", "20s")
    eventually(lambda: weight(shop.agent) == 100, "an idle server wants all it can get")
    asking = shop.keep()
    eventually(lambda: weight(shop.agent) < 30, "a busy one wants little")
    with Client(server.addresses[0]) as client:
        found = client.ask(request(target="/-/health/saturation")).json()
        assert found["weight"] < 30
        assert found["saturation"] > 0.9
    shop.gate.touch()
    for one in asking:
        one.join()
    eventually(lambda: weight(shop.agent) > 35, "it is free again, and says so slowly")
    os.kill(server.pid, signal.SIGTERM)
    eventually(lambda: told(shop.agent) == "drain\n", "it is about to end")
    with Client(server.addresses[0]) as client:
        assert client.ask(request(target="/")).text == "ok"
    os.kill(server.pid, signal.SIGINT)


def test_without_workers_it_is_out_of_use(shop: Shop) -> None:
    server = shop.start()
    os.kill(server.pid, signal.SIGWINCH)
    eventually(lambda: told(shop.agent) == "maint\n", "nobody is there to take requests")
    os.kill(server.pid, signal.SIGHUP)
    eventually(lambda: told(shop.agent).startswith("ready up"), "they are there again")


# With HAProxy

_PROXY = """
global
    stats socket {folder}/stats level admin
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    option redispatch 1
    retries 2
backend shops
    balance leastconn
    option httpchk GET /-/health/readyz
    server one 127.0.0.1:{port} weight 100 check inter 200ms agent-check agent-port {agent} agent-inter 100ms
"""
# As "show servers state" has them.
_DRAINED, _OUT = 0x08, 0x01


class Proxy:
    def __init__(self, shop: Shop, folder: Path) -> None:
        self._socket = folder / "stats"
        (folder / "proxy.cfg").write_text(_PROXY.format(folder=folder, port=shop.port, agent=shop.agent))
        self.process = subprocess.Popen(["haproxy", "-db", "-f", folder / "proxy.cfg"])

    def _state(self) -> list[str]:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self._socket))
            asked.sendall(b"show servers state shops\n")
            return asked.makefile().read().splitlines()[2].split()

    @property
    def weight(self) -> int:
        return int(self._state()[7])

    @property
    def administration(self) -> int:
        return int(self._state()[6])


@pytest.fixture
def proxy(shop: Shop, tmp_path: Path) -> Iterator[Proxy]:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    made = Proxy(shop, tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_haproxy_follows(shop: Shop, proxy: Proxy, tmp_path: Path) -> None:
    server = shop.start("--drain-delay", "30s")
    eventually((tmp_path / "stats").exists, "HAProxy is there")
    eventually(lambda: proxy.weight == 100, "all of its share")
    asking = shop.keep()
    eventually(lambda: proxy.weight < 30, "less of it")
    shop.gate.touch()
    for one in asking:
        one.join()
    eventually(lambda: proxy.weight > 35, "more of it again")
    os.kill(server.pid, signal.SIGWINCH)
    eventually(lambda: bool(proxy.administration & _OUT), "out of use without workers")
    os.kill(server.pid, signal.SIGHUP)
    eventually(lambda: proxy.administration == 0, "in use again")
    os.kill(server.pid, signal.SIGTERM)
    eventually(lambda: bool(proxy.administration & _DRAINED), "drained before the end")
    os.kill(server.pid, signal.SIGINT)
    assert server.exit_code() == 0
    # The next version, on the same ports.
    shop.start()
    eventually(lambda: proxy.administration == 0 and proxy.weight > 90, "ready again")
