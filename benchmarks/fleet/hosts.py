"""The hosts and the load balancer: processes on loopback addresses of their own, ended with the block."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from pelton.cli.main import main

ROOT = Path(__file__).parents[2]
TARGET = "benchmarks.fleet.app:app"
# How long one host needs to be left alone, as a load balancer sees it: two questions of the agent, and some.
DRAIN = "4s"


def free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])


@dataclass
class Host:
    """One machine: so many requests at once, each of which takes so long."""

    name: str
    address: str
    threads: int
    seconds: float
    port: int = 0
    agent: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def rate(self) -> float:
        """Requests per second that it can serve."""
        return self.threads / self.seconds

    def start(self) -> None:
        self.port = self.port or free_port(self.address)
        self.agent = self.agent or free_port(self.address)
        command = [sys.executable, "-m", "pelton", TARGET, "--bind", f"{self.address}:{self.port}"]
        command += ["--workers", "1", "--threads", str(self.threads), "--health-path", "/-/health"]
        command += ["--agent-bind", f"{self.address}:{self.agent}", "--drain-delay", DRAIN]
        command += ["--log-level", "warning"]
        environment = {**os.environ, "FLEET_SECONDS": str(self.seconds)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{self.address}:{self.port}/-/health/readyz", timeout=2)
                return
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} does not serve")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """The whole host, as a power cut would, or its supervisor alone, as an administrator does."""
        assert self.process is not None
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        self.process.wait(60)


class Balancer:
    """HAProxy with what `pelton deploy haproxy` writes, and one line for each host."""

    def __init__(self, hosts: list[Host], folder: Path, algorithm: str, *, asks_agents: bool) -> None:
        self.port = free_port("127.0.0.1")
        options = ["--agent-bind", "0.0.0.0:9000"] if asks_agents else []
        made = CliRunner().invoke(main, ["deploy", "haproxy", TARGET, "--health-path", "/-/health", *options])
        if made.exit_code:
            raise RuntimeError(made.output)
        text = made.output.replace("bind :80", f"bind 127.0.0.1:{self.port}")
        text = text.replace("balance leastconn", f"balance {algorithm}").replace("agent-port 9000", "")
        lines = [
            f"    server {host.name} {host.address}:{host.port} check"
            + (f" agent-port {host.agent}" if asks_agents else "")
            for host in hosts
        ]
        text = re.sub(r"    server .*", "\n".join(lines), text)
        self._file = folder / f"{algorithm}-{asks_agents}.cfg"
        self._file.write_text(text)

    def __enter__(self) -> Balancer:
        self._process = subprocess.Popen(
            ["haproxy", "-f", self._file], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2)
                return self
            time.sleep(0.05)
        raise TimeoutError("HAProxy does not serve")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
