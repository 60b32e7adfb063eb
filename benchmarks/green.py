"""pelton's gevent beside gunicorn's.

    python -m benchmarks.green [--peers-python FILE] [--seconds N] [--rounds N] [--out FILE]

Two questions. How long 1,000 requests take together that each wait for a second, asleep or for another server
(`requests` over the loopback), in one process; and what the memory is then. What a quick request costs:
req/s, processor time of all the server's processes, latency, with wrk at 64 connections, bare WSGI and
Flask. The
servers take turns within each round, and the median of the rounds counts. The peers' interpreter needs
gunicorn, gevent, flask and requests; pelton's needs gevent, flask and requests.
"""

import argparse
import contextlib
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, measure
from benchmarks.peers import ROOT, Peer, Start, running
from benchmarks.rows import BARE, FLASK, Row
from benchmarks.run import PELTON_PYTHON

TOGETHER = 1000
WAITING = "benchmarks.apps.waiting:app"
PATIENCE = 60.0


def _pelton(workers: int) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        options = ["--bind", start.address, "--workers", str(workers), "--worker-class", "gevent"]
        return [start.script("pelton"), *options, start.app]

    return command


def _gunicorn(start: Start) -> list[str]:
    options = ["--bind", start.address, "--workers", "1", "--worker-class", "gevent", "--no-control-socket"]
    return [start.script("gunicorn"), *options, start.app]


SERVERS = (
    Peer("pelton, one process", "pelton", _pelton(0)),
    Peer("pelton, one worker", "pelton", _pelton(1)),
    Peer("gunicorn", "gunicorn", _gunicorn),
)
QUICK = (Row("hello", "Hello, bare WSGI", BARE), Row("flask", "Hello, Flask", FLASK))
LONG = (
    Row("sleep", f"{TOGETHER} requests that sleep for a second", WAITING, "/sleep"),
    Row("nested", f"{TOGETHER} requests that ask another server, which takes a second", WAITING, "/nested"),
)


@dataclass(frozen=True)
class Together:
    """How long it took, how many were answered 200, and the memory idle and with all of them inside."""

    seconds: float
    answered: int
    memory_idle: int
    memory_full: int


def together(port: int, root: int, path: str) -> Together:
    """All connections are there before the first request is sent."""
    idle = measure.pss_bytes(root)
    data = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    waiting: dict[socket.socket, bytes] = {}
    answered = 0
    full = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(TOGETHER):
            client = socket.create_connection(("127.0.0.1", port))
            client.setblocking(False)
            waiting[client] = b""
            selector.register(client, selectors.EVENT_READ)
        began = time.monotonic()
        for client in waiting:
            client.send(data)
        ended = began
        while waiting and time.monotonic() - began < PATIENCE:
            ready = selector.select(0.5 if not full else 5.0)
            if not full and time.monotonic() - began > 0.6:
                # Nobody can be ready before a second is over, so looking takes no time from anybody.
                full = measure.pss_bytes(root)
            for key, _events in ready:
                client = key.fileobj  # type: ignore[assignment]
                with contextlib.suppress(BlockingIOError):
                    try:
                        piece = client.recv(4096)
                    except ConnectionError:
                        piece = b""
                    waiting[client] += piece
                    if not piece:
                        answered += waiting.pop(client).startswith(b"HTTP/1.1 200")
                        selector.unregister(client)
                        client.close()
                        ended = time.monotonic()
            if not full and time.monotonic() - began > 0.5:
                full = measure.pss_bytes(root)
        for client in waiting:
            client.close()
    return Together(ended - began, answered, idle, full)


@contextlib.contextmanager
def slow_server() -> Iterator[str]:
    """Answers each request after a second, on a thread of this process; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    ending = threading.Event()
    thread = threading.Thread(target=_answer_late, args=(listener, ending))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        ending.set()
        thread.join()
        listener.close()


def _answer_late(listener: socket.socket, ending: threading.Event) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    due: dict[socket.socket, float] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while not ending.is_set():
            for key, _events in selector.select(0.01):
                if key.fileobj is listener:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            client, _ = listener.accept()
                            selector.register(client, selectors.EVENT_READ)
                else:
                    client = key.fileobj  # type: ignore[assignment]
                    selector.unregister(client)
                    due[client] = time.monotonic() + 1.0
            now = time.monotonic()
            for client in [one for one, when in due.items() if when <= now]:
                del due[client]
                with contextlib.suppress(OSError):
                    client.recv(65536)
                    client.sendall(response)
                client.close()


def without_server(python: Path) -> float:
    """Seconds that the nested calls take where nobody serves: no server can be faster."""
    with slow_server() as other:
        command = [str(python), "-m", "benchmarks.apps.without_server", other, str(TOGETHER)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE, cwd=ROOT)
    return float(done.stdout)


@dataclass(frozen=True)
class Quick:
    """Per second, microseconds of processor time per request, and wrk's 99th percentile in milliseconds."""

    rate: float
    cost: float
    p99: float


def quick(row: Row, port: int, root: int, seconds: int) -> Quick:
    load.warm_up(row, port, 1.0)
    before = measure.cpu_seconds(root)
    found = load.run(row, port, seconds)
    used = measure.cpu_seconds(root) - before
    return Quick(found.requests / found.seconds, used / found.requests * 1e6, found.p99_micros / 1000)


def _median(found: list[Quick]) -> Quick:
    return Quick(
        statistics.median(one.rate for one in found),
        statistics.median(one.cost for one in found),
        statistics.median(one.p99 for one in found),
    )


def main() -> None:
    """Measure, print the tables, and write them where that was asked for."""
    parser = argparse.ArgumentParser(description="pelton's gevent beside gunicorn's.")
    parser.add_argument("--peers-python", type=Path, default=PELTON_PYTHON)
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    measure.raise_file_limit()
    pythons = {peer.name: options.pelton_python for peer in SERVERS}
    pythons["gunicorn"] = options.peers_python
    lines = ["# pelton's gevent beside gunicorn's", ""]
    lines += [", ".join(f"{name}: {value}" for name, value in measure.describe_machine().items()), ""]
    for row in LONG:
        lines += [
            f"## {row.title}",
            "",
            "| server | all answered | of them 200 | memory before | with them |",
        ]
        lines.append("| --- | ---: | ---: | ---: | ---: |")
        for peer in SERVERS:
            print(f"{row.name} {peer.name}", file=sys.stderr, flush=True)
            with slow_server() as other:
                ready = Row(row.name, row.title, row.app)
                with running(peer, ready, pythons[peer.name], environment={"BENCH_OTHER": other}) as server:
                    got = together(server.port, server.process.pid, row.path)
            lines.append(
                f"| {peer.name} | {got.seconds:.2f} s | {got.answered} of {TOGETHER} "
                f"| {got.memory_idle / 2**20:.0f} MiB | {got.memory_full / 2**20:.0f} MiB |"
            )
        if row.name == "nested":
            alone = without_server(options.pelton_python)
            lines.append(f"| no server: the same calls of {TOGETHER} greenlets | {alone:.2f} s | | | |")
        lines.append("")
    for row in QUICK:
        found: dict[str, list[Quick]] = {peer.name: [] for peer in SERVERS}
        for _ in range(options.rounds):
            for peer in SERVERS:
                print(f"{row.name} {peer.name}", file=sys.stderr, flush=True)
                with running(peer, row, pythons[peer.name]) as server:
                    found[peer.name].append(quick(row, server.port, server.process.pid, options.seconds))
        lines += [
            f"## {row.title}",
            "",
            "| server | req/s | CPU µs/request | p99 |",
            "| --- | ---: | ---: | ---: |",
        ]
        for name, values in found.items():
            one = _median(values)
            lines.append(f"| {name} | {one.rate:,.0f} | {one.cost:.1f} | {one.p99:.2f} ms |")
        lines.append("")
    text = "\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
