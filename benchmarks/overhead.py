"""What it costs to see what a server does: pelton's metrics, sampler and traces beside the peers' own ways.

    python -m benchmarks.overhead [--rounds 5] [--seconds 2] [--only TEXT] [--peers-python PATH]

Each server stands there with everything off, and once more with one thing on; all at once, for who is not
asked costs nearly nothing. In each round they take turns under the same load, and what is compared is the
processor time of all their processes for one request, beside that of the same server with everything off in
the same round. The table has the medians. Needed: wrk, and `python -m benchmarks.run --setup` for the peers.
"""

import argparse
import contextlib
import socket
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import load, measure, peers
from benchmarks.peers import HOST, Peer, Running, Start, running
from benchmarks.rows import BARE, FLASK, Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON

ROWS = (Row("hello", "", BARE, threads=4, connections=8), Row("flask", "", FLASK, threads=4, connections=8))
OFF = "all off"
_COUNTED = {BARE: "benchmarks.apps.counted:hello", FLASK: "benchmarks.apps.counted:flask"}
_WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A server with one thing on. In its options and variables {statsd}, {traces} and {folder} stand for a
    port that takes datagrams, one that takes spans, and a folder of its own."""

    server: str
    what: str
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    # With prometheus_client around the application.
    is_counted: bool = False


_QUIET = ("--workers", "1", "--no-sampling")
_TRACES = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{traces}"}
SUBJECTS = (
    Subject("pelton", OFF, (*_QUIET, "--no-admin-socket")),
    Subject("pelton", "metrics", _QUIET),
    Subject("pelton", "metrics and sampler (the default)", ("--workers", "1")),
    Subject("pelton", "statsd", (*_QUIET, "--no-admin-socket", "--statsd", "127.0.0.1:{statsd}")),
    Subject(
        "pelton",
        "traces, nothing sampled",
        (*_QUIET, "--no-admin-socket", "--traces"),
        {**_TRACES, "OTEL_TRACES_SAMPLER": "always_off"},
    ),
    Subject(
        "pelton",
        "traces, all sampled and sent",
        (*_QUIET, "--no-admin-socket", "--traces"),
        {**_TRACES, "OTEL_TRACES_SAMPLER": "always_on"},
    ),
    Subject("gunicorn-gthread", OFF),
    Subject("gunicorn-gthread", "statsd", ("--statsd-host", "127.0.0.1:{statsd}")),
    Subject(
        "gunicorn-gthread",
        "prometheus_client, multiprocess mode",
        (),
        {"PROMETHEUS_MULTIPROC_DIR": "{folder}"},
        is_counted=True,
    ),
    Subject("granian", OFF),
    Subject("granian", "metrics", ("--metrics", "--metrics-port", "0")),
)


class _Spans(BaseHTTPRequestHandler):
    """Takes what exporters send, and keeps nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def _receivers() -> Iterator[dict[str, str]]:
    """Ports that take datagrams and spans. Nobody reads the datagrams: the kernel drops what has no room."""
    spans = ThreadingHTTPServer((HOST, 0), _Spans)
    thread = threading.Thread(target=spans.serve_forever)
    thread.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
            statsd.bind((HOST, 0))
            yield {"statsd": str(statsd.getsockname()[1]), "traces": str(spans.server_address[1])}
    finally:
        spans.shutdown()
        thread.join()
        spans.server_close()


@contextlib.contextmanager
def _started(
    subject: Subject, row: Row, pythons: dict[str, Path], ports: dict[str, str]
) -> Iterator[Running]:
    (peer,) = peers.select([subject.server])
    python = pythons.get(subject.server, pythons["peers"])
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:

        def filled(text: str) -> str:
            return text.format(**ports, folder=folder)

        def command(start: Start) -> list[str]:
            app = _COUNTED[start.app] if subject.is_counted else start.app
            given = peer.command(Start(start.python, app, start.port, start.threads))
            return [*given, *map(filled, subject.options)]

        variables = {name: filled(value) for name, value in subject.variables.items()}
        # Its socket for commands would be one that all of them have.
        variables |= {"XDG_RUNTIME_DIR": folder}
        with running(Peer(subject.what, "", command), row, python, environment=variables) as server:
            yield server


def _cost(server: Running, row: Row, seconds: int) -> float:
    """Microseconds of processor time for a request."""
    before = measure.cpu_seconds(server.pid)
    done = load.run(row, server.port, seconds)
    if done.errors or not done.requests:
        raise load.LoadFailedError(f"{done.requests} requests, {done.errors}\n{server.log_tail()}")
    return (measure.cpu_seconds(server.pid) - before) * 1e6 / done.requests


def compare(
    subjects: list[Subject], row: Row, pythons: dict[str, Path], rounds: int, seconds: int
) -> dict[Subject, tuple[float, float]]:
    """Of each subject what a request costs, and how often that is what the same server takes with all off."""
    costs: dict[Subject, list[float]] = {one: [] for one in subjects}
    with _receivers() as ports, contextlib.ExitStack() as stack:
        servers = {one: stack.enter_context(_started(one, row, pythons, ports)) for one in subjects}
        for server in servers.values():
            load.warm_up(row, server.port, _WARM_UP_SECONDS)
        for number in range(rounds):
            # From the other end each second time, so that nobody always comes after the same neighbour.
            for one in subjects[:: -1 if number % 2 else 1]:
                costs[one].append(_cost(servers[one], row, seconds))
                print(f"  {row.name}: {one.server}, {one.what}: {costs[one][-1]:.1f} µs", file=sys.stderr)
    base = {one.server: costs[one] for one in subjects if one.what == OFF}
    return {
        one: (
            statistics.median(own),
            statistics.median(a / b for a, b in zip(own, base[one.server], strict=True)),
        )
        for one, own in costs.items()
    }


def table(found: dict[str, dict[Subject, tuple[float, float]]]) -> str:
    """A row for each subject, two columns for each application."""
    names = list(found)
    lines = [
        "| | " + " | ".join(f"{name}, µs | beside off" for name in names) + " |",
        "| --- |" + " --- | --- |" * len(names),
    ]
    for one in found[names[0]]:
        cells = [f"{found[name][one][0]:.1f} | {found[name][one][1]:.2f}" for name in names]
        lines.append(f"| {one.server}, {one.what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs both applications and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description="What seeing costs.")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=int, default=2, help="length of one window (default 2)")
    parser.add_argument("--only", default="", help="servers whose name has this in it")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter of the peers")
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON, help="interpreter of pelton")
    given = parser.parse_args()
    subjects = [one for one in SUBJECTS if given.only in one.server]
    pythons = {"pelton": given.pelton_python, "peers": given.peers_python}
    try:
        found = {row.name: compare(subjects, row, pythons, given.rounds, given.seconds) for row in ROWS}
    except (peers.ServerFailedError, load.LoadFailedError, FileNotFoundError) as error:
        sys.exit(f"no table: {error}")
    print(table(found))


if __name__ == "__main__":
    main()
