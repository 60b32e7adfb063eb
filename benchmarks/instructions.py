"""Instructions per request, counted by callgrind: a regression check that does not depend on the machine's
mood.

    python -m benchmarks.instructions [--server pelton] [--update] [--with PELTON_ADMIN_SOCKET=false]

The server runs under valgrind, answers N1 requests of one keep-alive connection, ends, and once more with N2
requests. Start, first request and shutdown are the same in both, so (I(N2) - I(N1)) / (N2 - N1) is what one
request costs in user space, summed over all processes. It says nothing about the kernel's part, caches or
waiting.

What is left of noise comes from time: valgrind is some fifty times slower than the machine, so whatever a
server does by the clock (ticks, heartbeats) happens more often per request. So pelton's sampler, which
looks fifty times a second, is off. What a server does once, now in the run with fewer requests and now in the
other, moves the difference both ways: hence the repeats, of which the middle one counts.

A count holds for the Python build, libraries and compiler flags it was made with. The baseline names the
versions; when they differ the comparison is printed but does not fail.
"""

import argparse
import json
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import PELTON, Peer, running
from benchmarks.rows import ROWS, Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON, names

BASELINE = Path(__file__).with_name("instructions.json")
COUNTED = ("hello", "flask")
# valgrind's own start and the imports of Flask under it; then the end, where callgrind writes its file.
READY_SECONDS = 180.0
STOP_SECONDS = 60.0
RESPONSE_SECONDS = 60.0


class CountFailedError(Exception):
    """No count came out; the message says which step failed."""


@dataclass(frozen=True)
class Counter:
    peer: Peer
    python: Path
    few: int
    many: int
    repeats: int
    environment: dict[str, str]

    def per_request(self, row: Row) -> float:
        """The middle one of the repeats."""
        # Once without valgrind: the first start of all would compile the modules, and be the only one that
        # does.
        with running(self.peer, row, self.python, environment={"PYTHONHASHSEED": "0"}):
            pass
        counts = []
        for _repeat in range(self.repeats):
            difference = self._total(row, self.many) - self._total(row, self.few)
            counts.append(difference / (self.many - self.few))
            print(f"  {self.peer.name} {row.name}: {counts[-1]:,.0f}", file=sys.stderr, flush=True)
        return statistics.median(counts)

    def _total(self, row: Row, requests: int) -> int:
        """All instructions of the server's life, with that many requests on one connection."""
        with tempfile.TemporaryDirectory(prefix="callgrind-") as folder:
            valgrind = (
                "valgrind",
                "--tool=callgrind",
                "--trace-children=yes",
                f"--callgrind-out-file={folder}/out.%p",
                f"--log-file={folder}/log.%p",
            )
            with running(
                self.peer,
                row,
                self.python,
                prefix=valgrind,
                # Hash seeds decide the order of sets and the collisions in dicts; both would move the count.
                environment={"PYTHONHASHSEED": "0", "PELTON_SAMPLING": "false", **self.environment},
                ready_seconds=READY_SECONDS,
                stop_seconds=STOP_SECONDS,
            ) as server:
                _send(server.port, row.path, requests)
            files = sorted(Path(folder).glob("out.*"))
            # A process that had to be killed leaves no file or an empty one: then the sum would be a lie.
            if not files or any(not file.stat().st_size for file in files) or not server.graceful:
                raise CountFailedError(f"{self.peer.name} did not end by itself within {STOP_SECONDS:.0f} s")
            return sum(_collected(file) for file in files)


def _send(port: int, path: str, requests: int) -> None:
    """The fixed sequence: one connection, one request at a time, the same bytes each time."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: count\r\nAccept: */*\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_SECONDS) as connection:
        for number in range(requests):
            connection.sendall(request)
            response = b""
            while not _complete(response):
                piece = connection.recv(65536)
                if not piece:
                    raise CountFailedError(f"the connection ended at request {number + 1} of {requests}")
                response += piece
            if not response.startswith(b"HTTP/1.1 200"):
                raise CountFailedError(f"answer {number + 1} was {response[:60]!r}")


def _complete(response: bytes) -> bool:
    head, end, body = response.partition(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return bool(end) and len(body) >= int(length or 0)


def _collected(file: Path) -> int:
    """The file's own sum. "totals" stands at its end, "summary" before each part: the first is of the
    whole."""
    for line in reversed(file.read_text().splitlines()):
        if line.startswith(("totals:", "summary:")):
            return int(line.split()[1])
    raise CountFailedError(f"{file.name} has no total")


def versions(python: Path, peer: Peer) -> dict[str, str]:
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout
    libc = " ".join(part for part in platform.libc_ver() if part)
    found = peers.versions(python, ["Flask", "Werkzeug"])
    # pelton's own version is no condition: between versions is what the check is for.
    if peer.name != PELTON:
        found |= peers.versions(python, [peer.distribution])
    return found | {"valgrind": valgrind.strip(), "libc": libc, "architecture": platform.machine()}


def compare(counts: dict[str, float], known: dict[str, float], tolerance: float) -> list[str]:
    """The rows that cost more than the baseline allows, as sentences."""
    problems = []
    for row, value in counts.items():
        base = known.get(row)
        change = f"{value / base - 1:+.1%} against {base:,.0f}" if base else "no baseline"
        print(f"{row}: {value:,.0f} instructions per request, {change}")
        if base and value > base * (1 + tolerance):
            problems.append(f"{row} is more than {tolerance:.0%} above its baseline")
    return problems


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description="Count instructions per request with callgrind."
    )
    parser.add_argument("--server", default=PELTON, help="one of the servers of run.py (default pelton)")
    parser.add_argument(
        "--rows", type=names, default=list(COUNTED), metavar="X,Y", help="default hello,flask"
    )
    parser.add_argument(
        "--requests", type=names, default=["200", "1200"], metavar="N1,N2", help="default 200,1200"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of which the middle one counts (default 3)")
    parser.add_argument(
        "--tolerance", type=float, default=0.03, help="growth that is let pass (default 0.03)"
    )
    parser.add_argument(
        "--with",
        dest="variables",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the server, for example PELTON_ADMIN_SOCKET=false: no metrics",
    )
    parser.add_argument("--update", action="store_true", help="store the counts as the new baseline")
    parser.add_argument("--python", type=Path, help="interpreter whose environment has the server")
    chosen = parser.parse_args()
    if len(chosen.requests) != 2:
        parser.error("--requests takes two numbers, for example 200,1200")
    if unknown := sorted(set(chosen.rows) - set(COUNTED)):
        parser.error(f"only {', '.join(COUNTED)} are counted, not {', '.join(unknown)}")
    return chosen


def main() -> None:
    chosen = arguments()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing; on Debian: apt install valgrind")
    try:
        (peer,) = peers.select([chosen.server])
    except ValueError as error:
        sys.exit(str(error))
    python = chosen.python or (PELTON_PYTHON if peer.name == PELTON else PEERS_PYTHON)
    few, many = (int(number) for number in chosen.requests)
    variables = dict(one.split("=", 1) for one in chosen.variables)
    counter = Counter(peer, python, few, many, chosen.repeats, variables)
    try:
        counts = {row.name: counter.per_request(row) for row in ROWS if row.name in chosen.rows}
    except (CountFailedError, peers.ServerFailedError, FileNotFoundError) as error:
        sys.exit(f"no count: {error}")

    stored = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    known = stored.get(peer.name, {"versions": {}, "counts": {}})
    made_with = versions(python, peer)
    problems = compare(counts, known["counts"], chosen.tolerance)
    if chosen.update:
        merged = {**known["counts"], **{row: round(value) for row, value in counts.items()}}
        stored[peer.name] = {"versions": made_with, "counts": merged}
        BASELINE.write_text(json.dumps(dict(sorted(stored.items())), indent=2) + "\n")
        print(f"{BASELINE.name} updated")
    elif known["counts"] and known["versions"] != made_with:
        print(
            f"the baseline is of other versions, so this is no verdict: {known['versions']}, now {made_with}"
        )
    elif problems:
        sys.exit("; ".join(problems))


if __name__ == "__main__":
    main()
