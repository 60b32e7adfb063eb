"""What the worker kinds are for: async views on one loop, and idle connections that cost nothing.

    python -m benchmarks.kinds [--seconds N] [--rounds N] [--idle N] [--peers-python PATH] [--out FILE]

The first table is an ``async def`` view that sleeps for 10 ms, under 64 connections and with 64 threads: the
kind asyncio beside Flask's own way, which is an event loop for each call (asgiref), under the servers that
people use. All in one run, round by round. `flask[async]`, gunicorn and granian have to be in the environment
of ``--peers-python``.

The second is each kind with N idle keep-alive connections: threads of all its processes, as the kernel counts
them, and greenlets in its worker, before and with them.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import idle, measure, peers
from benchmarks.peers import Peer, Running, Start, running
from benchmarks.rows import Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON
from benchmarks.sample import Sample, take

APP = "benchmarks.apps.async_app:app"
ASYNC = Row("async", "", APP, path="/wait", threads=64)
BESIDE = Row("idle", "", APP, path="/count", threads=8)
PEERS = ("gunicorn-gthread", "granian")
KINDS = ("threads", "sync", "asyncio", "tornado", "gevent", "eventlet")


def _pelton(kind: str) -> Peer:
    def command(start: Start) -> list[str]:
        given = [] if kind == "sync" else ["--threads", str(start.threads)]
        # As the peers: one worker process, and not everything in one.
        return [
            *(start.script("pelton"), start.app, "--bind", start.address),
            *("--workers", "1", "-k", kind, *given),
        ]

    return Peer(f"pelton -k {kind}", "pelton", command)


def _measured(rounds: int, seconds: int, peers_python: Path) -> dict[str, list[Sample]]:
    servers = [(_pelton("asyncio"), PELTON_PYTHON)]
    servers += [(one, peers_python) for one in peers.select(list(PEERS))]
    found: dict[str, list[Sample]] = {}
    for _ in range(rounds):
        for peer, python in servers:
            print(f"async view: {peer.name}", file=sys.stderr, flush=True)
            found.setdefault(peer.name, []).append(take(peer, ASYNC, python, seconds))
    return found


def _beside(kind: str, count: int) -> dict[str, Any]:
    print(f"{count} idle connections: {kind}", file=sys.stderr, flush=True)
    try:
        with running(_pelton(kind), BESIDE, PELTON_PYTHON) as server:
            before = _made_of(server)
            with idle.crowd(server.port, count) as crowd:
                crowd.wait_opened()
                held = crowd.look().held
                return {"held": held, "before": before, "with": _made_of(server)}
    except peers.ServerFailedError as error:
        return {"failed": str(error).strip().splitlines()[-1]}


def _made_of(server: Running) -> dict[str, int]:
    found: dict[str, int] = json.loads(server.get(BESIDE.path, 0, timeout=10))
    tasks = [measure.PROC / str(pid) / "task" for pid in measure.processes_of(server.pid)]
    return {
        "threads": sum(len(list(one.iterdir())) for one in tasks),
        "greenlets": found["greenlets"],
        "memory": measure.pss_bytes(server.pid),
    }


def _report(
    found: dict[str, list[Sample]], crowds: dict[str, dict[str, Any]], write: Callable[[str], object]
) -> None:
    write("# Worker kinds\n\n## An async view that sleeps for 10 ms\n\n")
    write(f"{ASYNC.connections} connections, {ASYNC.threads} threads.\n\n")
    write(
        "| server | req/s | CPU µs/req | p50 | p99 | errors |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    )
    for name, samples in found.items():
        good = [one for one in samples if one.state == "ok"]
        if not good:
            write(f"| {name} | {samples[0].state} {samples[0].detail} | | | | |\n")
            continue
        write(
            f"| {name} | {statistics.median(one.rate for one in good):.0f} "
            f"| {statistics.median(one.cpu_micros for one in good):.0f} "
            f"| {statistics.median(one.p50_micros for one in good) / 1000:.1f} ms "
            f"| {statistics.median(one.p99_micros for one in good) / 1000:.1f} ms "
            f"| {sum(sum(one.errors.values()) for one in samples)} |\n"
        )
    write("\n## Idle keep-alive connections\n\n")
    write("| kind | held | threads before → with | greenlets before → with | KiB each |\n")
    write("| --- | ---: | ---: | ---: | ---: |\n")
    for kind, one in crowds.items():
        if "failed" in one:
            write(f"| {kind} | {one['failed']} | | | |\n")
            continue
        before, beside = one["before"], one["with"]
        each = (beside["memory"] - before["memory"]) / 1024 / max(1, one["held"])
        write(
            f"| {kind} | {one['held']} | {before['threads']} → {beside['threads']} "
            f"| {before['greenlets']} → {beside['greenlets']} | {each:.1f} |\n"
        )


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="What the worker kinds are for.")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--out", type=Path, help="write the tables there, too")
    options = parser.parse_args()
    measure.raise_file_limit()
    found = _measured(options.rounds, options.seconds, options.peers_python)
    crowds = {kind: _beside(kind, options.idle) for kind in KINDS} if options.idle else {}
    _report(found, crowds, sys.stdout.write)
    if options.out:
        with options.out.open("w") as file:
            _report(found, crowds, file.write)


if __name__ == "__main__":
    main()
