"""What an access log costs: python -m benchmarks.access_log (from the repository's top).

Each server runs twice at the same time, with its access log and without; windows of load alternate between
the two, so that whatever else the machine does hits both alike. The cost is the median of the pairs. Logs go
to files in a directory of their own, on a disk as in production unless --logs says otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import load, measure, peers
from benchmarks.peers import Peer, Running, Start
from benchmarks.rows import ROWS, Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON, names


@dataclass(frozen=True)
class Subject:
    """A server and a form of its log. ``options``: {log} is the file."""

    name: str
    peer: str
    options: tuple[str, ...]


SUBJECTS = (
    Subject("pelton combined", "pelton", ("--access-log", "{log}")),
    Subject("pelton json", "pelton", ("--access-log", "{log}", "--access-log-format", "json")),
    Subject("gunicorn-gthread", "gunicorn-gthread", ("--access-logfile", "{log}")),
    # It has no file for it: the log is on the standard output, which is one here.
    Subject("granian", "granian", ("--access-log",)),
)


@dataclass(frozen=True)
class Window:
    """What one window showed."""

    rate: float
    cpu_micros: float


def with_log(subject: Subject, log: Path) -> Peer:
    """The server with its access log on."""
    (peer,) = peers.select([subject.peer])
    options = [one.format(log=log) for one in subject.options]

    def command(start: Start) -> list[str]:
        *fixed, app = peer.command(replace(start, app="(app)"))
        if app != "(app)":
            # pelton's application stands before its options.
            return [start.app if one == "(app)" else one for one in (*fixed, app)] + options
        return [*fixed, *options, start.app]

    return replace(peer, name=subject.name, command=command)


def window(server: Running, row: Row, seconds: int) -> Window:
    """One window of load."""
    before = measure.cpu_seconds(server.pid)
    taken = load.run(row, server.port, seconds)
    if taken.errors or not taken.requests:
        raise load.LoadFailedError(f"errors {taken.errors} in {taken.requests} requests")
    used = measure.cpu_seconds(server.pid) - before
    return Window(taken.requests / taken.seconds, used / taken.requests * 1e6)


def pairs(
    subject: Subject, row: Row, python: Path, chosen: argparse.Namespace, logs: Path
) -> list[tuple[Window, Window]]:
    """Windows without and with the log, in turn; which of both comes first changes each time."""
    log = logs / f"{subject.peer}.log"
    log.unlink(missing_ok=True)
    (plain,) = peers.select([subject.peer])
    found = []
    with ExitStack() as stack:
        servers = [
            stack.enter_context(peers.running(one, row, python)) for one in (plain, with_log(subject, log))
        ]
        for server in servers:
            load.warm_up(row, server.port, 1.0)
        for number in range(chosen.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            windows = {at: window(servers[at], row, chosen.seconds) for at in order}
            found.append((windows[0], windows[1]))
            if log.exists():
                # A disk is not to fill up; what the server still appends goes to the beginning.
                with log.open("r+b") as file:
                    file.truncate()
    return found


def show(subject: Subject, found: list[tuple[Window, Window]]) -> str:
    """A row of the table: medians, and how far the middle half of the pairs lies apart."""
    rates = [with_it.rate / without.rate - 1 for without, with_it in found]
    cpus = [with_it.cpu_micros / without.cpu_micros - 1 for without, with_it in found]
    base = statistics.median(without.rate for without, _ in found)
    spread = statistics.quantiles(rates, n=4) if len(rates) > 1 else [0.0, 0.0, 0.0]
    return (
        f"| {subject.name} | {base:,.0f} | {statistics.median(rates):+.1%} | "
        f"{spread[0]:+.1%} … {spread[2]:+.1%} | {statistics.median(cpus):+.1%} |"
    )


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.access_log", description="What an access log costs."
    )
    parser.add_argument("--rounds", type=int, default=15, help="pairs of windows (default 15)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one window (default 2)")
    parser.add_argument("--row", default="hello", choices=["hello", "flask"], help="default hello")
    parser.add_argument("--subjects", type=names, metavar="A,B", help="only these")
    parser.add_argument("--logs", type=Path, help="directory for the logs (default: a new one)")
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    chosen = parser.parse_args()
    known = [one.name for one in SUBJECTS]
    if unknown := sorted(set(chosen.subjects or ()) - set(known)):
        parser.error(f"there are {', '.join(known)}, and not {', '.join(unknown)}")
    return chosen


def main() -> None:
    """Measure and print."""
    chosen = arguments()
    (row,) = [one for one in ROWS if one.name == chosen.row]
    print("| server | req/s without | req/s with the log | middle half | CPU per request |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="access-log-") as folder:
        for subject in SUBJECTS:
            if chosen.subjects and subject.name not in chosen.subjects:
                continue
            python = chosen.pelton_python if subject.peer == peers.PELTON else chosen.peers_python
            if not python.exists():
                print(f"{subject.name}: there is no {python}", file=sys.stderr)
                continue
            try:
                found = pairs(subject, row, python, chosen, chosen.logs or Path(folder))
            except (load.LoadFailedError, peers.ServerFailedError) as error:
                print(f"{subject.name} failed: {error}", file=sys.stderr)
                continue
            print(show(subject, found), flush=True)


if __name__ == "__main__":
    main()
