"""What slow clients cost the others.

    python -m benchmarks.slow_clients [--servers a,b] [--scenes x,y] [--out FILE]

Each scene starts a server with 8 threads, brings ten times as many slow clients (or 5,000 silent
connections), lets them settle, and then asks for a greeting a few times, each on a new connection, as
somebody who knows nothing of the others. What is counted: how many of these were answered within a second,
the slowest answer, and the server's memory before and with the slow clients. Everything is bounded.
"""

import argparse
import contextlib
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure, peers
from benchmarks.peers import PELTON, Peer, running
from benchmarks.rows import Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON

ROW = Row("slow", "", "benchmarks.apps.generated:app", threads=8)
SLOW = 10 * ROW.threads
SILENT = 5000
ASKED = 5
PATIENCE = 5.0
# A server that does not take connections any more will not take the rest either.
MOST_FAILURES = 10
SERVERS = ("pelton", "gunicorn-gthread", "granian", "waitress", "waitress+limits", "gthread+limits")


@dataclass(frozen=True)
class Scene:
    """``begin`` is what each slow client sends, ``drip`` what it sends or takes now and then."""

    name: str
    title: str
    count: int
    begin: bytes
    drip: bytes = b""
    takes: int = 0
    settle: float = 4.0


SCENES = (
    Scene(
        "heads", f"{SLOW} slow heads: a byte per second", SLOW, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"
    ),
    Scene(
        "uploads",
        f"{SLOW} slow uploads of 10 kB: a byte per second",
        SLOW,
        b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\nx",
        b"x",
    ),
    Scene(
        "readers",
        f"{SLOW} slow readers of a generated response of 100 MB: 4 kB per second; looked at after 40 s",
        SLOW,
        b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
        takes=4096,
        settle=40.0,
    ),
    Scene("silent", f"{SILENT} connections that say nothing", SILENT, b""),
)


@dataclass
class Outcome:
    """What those who asked for the greeting saw."""

    within_a_second: int
    slowest: float
    median: float
    memory_before: int
    memory_with: int
    connected: int


def look_at(peer: Peer, scene: Scene) -> Outcome:
    """One scene with one server."""
    python = PELTON_PYTHON if peer.name == PELTON else PEERS_PYTHON
    with running(peer, ROW, python) as server, contextlib.ExitStack() as stack:
        before = measure.pss_bytes(server.process.pid)
        slow = list(_slow_clients(server.port, scene, stack))
        _settle(slow, scene)
        times = [_ask(server.port) for _ in range(ASKED)]
        memory = measure.pss_bytes(server.process.pid)
    return Outcome(
        sum(seconds <= 1.0 for seconds in times),
        max(times),
        statistics.median(times),
        before,
        memory,
        len(slow),
    )


def _slow_clients(port: int, scene: Scene, stack: contextlib.ExitStack) -> Iterator[socket.socket]:
    failures = 0
    for _ in range(scene.count):
        if failures >= MOST_FAILURES:
            return
        client = stack.enter_context(socket.socket())
        # Its window must not be the whole response.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(1.0)
        try:
            client.connect(("127.0.0.1", port))
            if scene.begin:
                client.sendall(scene.begin)
        except OSError:
            failures += 1
            continue
        client.setblocking(False)
        yield client


def _settle(slow: list[socket.socket], scene: Scene) -> None:
    end = time.monotonic() + scene.settle
    while time.monotonic() < end:
        for client in slow:
            with contextlib.suppress(OSError):
                if scene.drip:
                    client.send(scene.drip)
                if scene.takes:
                    client.recv(scene.takes)
        time.sleep(1.0)


def _ask(port: int) -> float:
    """Seconds until the greeting was there; the patience if it did not come."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = b""
            while not received.endswith(b"hello") and time.monotonic() - began < PATIENCE:
                piece = client.recv(65536)
                if not piece:
                    break
                received += piece
            if received.endswith(b"hello"):
                return time.monotonic() - began
    except OSError:
        pass
    return PATIENCE


def _report(rows: list[tuple[Scene, str, Outcome]], write: Callable[[str], object]) -> None:
    write("# What slow clients cost the others\n\n")
    write(
        f"8 threads each; {ASKED} requests of somebody else, each on a new connection, after the slow ones"
        " settled.\n"
    )
    for scene in SCENES:
        mine = [(name, outcome) for one, name, outcome in rows if one is scene]
        if not mine:
            continue
        write(f"\n## {scene.title}\n\n")
        write("| server | within 1 s | median | slowest | memory before | with them |\n")
        write("| --- | ---: | ---: | ---: | ---: | ---: |\n")
        for name, outcome in mine:
            slowest = "> 5 s" if outcome.slowest >= PATIENCE else f"{outcome.slowest * 1000:.0f} ms"
            median = "> 5 s" if outcome.median >= PATIENCE else f"{outcome.median * 1000:.0f} ms"
            write(
                f"| {name} | {outcome.within_a_second} of {ASKED} | {median} | {slowest} "
                f"| {outcome.memory_before / 2**20:.0f} MiB | {outcome.memory_with / 2**20:.0f} MiB |\n"
            )


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description="What slow clients cost the others.")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--scenes", default=",".join(scene.name for scene in SCENES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    measure.raise_file_limit()
    chosen = peers.select(options.servers.split(","))
    rows = []
    for scene in SCENES:
        if scene.name not in options.scenes.split(","):
            continue
        for peer in chosen:
            print(f"{scene.name} {peer.name}", file=sys.stderr, flush=True)
            rows.append((scene, peer.name, look_at(peer, scene)))
    _report(rows, sys.stdout.write)
    if options.out:
        with options.out.open("w") as file:
            _report(rows, file.write)


if __name__ == "__main__":
    main()
