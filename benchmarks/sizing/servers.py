"""The servers, and what they take: threads and resident memory of all their processes."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import HOST, ROOT, free_port

TARGET = "benchmarks.sizing.app:app"
FIXED = (1, 4, 8, 16, 64, 200)
READY = 60.0


class DoesNotServeError(Exception):
    """It ended, or took too long: with what the scene leaves to it, so many threads cannot be."""


@dataclass(frozen=True)
class Server:
    """One command; ``{port}`` stands for the port."""

    name: str
    module: tuple[str, ...]
    is_pelton: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether it is pelton with a number of threads."""
        return self.is_pelton and "--threads" in self.module


def pelton(*options: str) -> Server:
    """With these options; none is the default."""
    name = " ".join(["pelton", *options]) if options else "pelton (default)"
    return Server(
        name, ("pelton", TARGET, "--bind", HOST + ":{port}", "--log-level", "warning", *options), True
    )


PEERS = (
    Server("granian", ("granian", "--interface", "wsgi", "--host", HOST, "--port", "{port}", TARGET)),
    Server(
        "gunicorn gthread, 64",
        (
            "gunicorn",
            "-b",
            HOST + ":{port}",
            "-k",
            "gthread",
            "--threads",
            "64",
            "--no-control-socket",
            TARGET,
        ),
    ),
    Server("Werkzeug", ("flask", "--app", TARGET, "run", "--host", HOST, "--port", "{port}", "--no-reload")),
)


@dataclass
class Started:
    """One that runs."""

    process: "subprocess.Popen[bytes]"
    port: int

    def cost(self) -> tuple[int, int]:
        """Threads and resident KiB, of all processes."""
        threads = memory = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
                if os.getsid(int(status.parent.name)) == self.process.pid:
                    threads += int(fields["Threads"])
                    memory += int(fields.get("VmRSS", "0 kB").split()[0])
        return threads, memory


@contextlib.contextmanager
def running(server: Server, python: Path, address_space_mib: int = 0) -> Iterator[Started]:
    """Start it, wait until it serves, end it. ``address_space_mib``: of each process; 0: no limit."""
    port = free_port()
    words = [word.format(port=port) for word in server.module]
    limit = ("sh", "-c", f'ulimit -v {address_space_mib * 1024} && exec "$@"', "sh")
    process = subprocess.Popen(
        [*(limit if address_space_mib else ()), str(python), "-m", *words],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        end = time.monotonic() + READY
        while True:
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/quick", timeout=5).read()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > end:
                    raise DoesNotServeError(server.name) from error
                time.sleep(0.05)
        yield Started(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
