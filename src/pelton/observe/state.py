"""All that is known of a running server at one moment, as one value.

Owns the joining of what the front tells with what the system tells of its processes. What it makes has the
documented shape of ``/state`` (docs/seeing.md). Pure but for /proc; any thread.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton.process.resources import memory_of
from pelton.version import VERSION

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """What the system says of a process; zeros where it says nothing."""

    memory_bytes: int = 0
    threads: int = 0
    cpu_seconds: float = 0.0
    age_seconds: float = 0.0


def process_of(pid: int) -> Process:
    """Look at it now."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        # Counted from the third field of proc(5), the state.
        user, system, threads, start = (int(fields[at]) for at in (11, 12, 17, 19))
    except (OSError, ValueError, IndexError):
        return Process()
    return Process(
        memory_bytes=memory_of(pid) or 0,
        threads=threads,
        cpu_seconds=(user + system) / _TICKS,
        age_seconds=max(0.0, uptime - start / _TICKS),
    )


def state_of(known: str) -> dict[str, Any]:
    """From what the front tells, with its processes."""
    state: dict[str, Any] = {"version": VERSION, "time": round(time.time(), 3), **json.loads(known)}
    front = os.getpid()
    state["front"] = {"pid": front, **_shown(process_of(front))}
    for worker in state["workers"]:
        worker["process"] = _shown(process_of(worker["pid"]))
    return state


def history_of(state: dict[str, Any]) -> dict[str, Any]:
    """The last hour in the documented shape of ``/history``, of a state that has it. Oldest point first."""
    kept = state["history"]
    since = state["uptime_seconds"] - kept["until_uptime_seconds"]
    points = []
    for requests, errors, p50, p99, *levels in kept["points"]:
        point = {"requests": requests, "errors": errors}
        for name, us in (("p50_seconds", p50), ("p99_seconds", p99)):
            point[name] = us / 1e6 if requests else None
        points.append(
            {**point, **dict(zip(("queue", "running", "connections", "workers"), levels, strict=True))}
        )
    return {"step_seconds": kept["step_seconds"], "until": round(state["time"] - since, 3), "points": points}


def _shown(process: Process) -> dict[str, Any]:
    return {
        "memory_bytes": process.memory_bytes,
        "threads": process.threads,
        "cpu_seconds": round(process.cpu_seconds, 2),
        "age_seconds": round(process.age_seconds, 1),
    }


def place_requests(requests: list[dict[str, Any]], places: Iterable[dict[str, Any]]) -> None:
    """Add to the front's view of running requests what the worker says of the same slots."""
    by_slot = {one["slot"]: one for one in places}
    for request in requests:
        place = by_slot.get(request["slot"])
        # The slot may have another request by now.
        if place is not None and place["path"] == request["path"]:
            request.update(
                {name: place[name] for name in ("thread", "at", "function", "waits") if name in place}
            )


def merged_samples(samples: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the samplers of all workers have seen, as one."""
    routes: dict[str, dict[str, Any]] = {}
    slowest: list[dict[str, Any]] = []
    stacks: Counter[tuple[str, ...]] = Counter()
    looks, cost = 0, 0.0
    for one in samples:
        looks += one.get("looks", 0)
        cost += one.get("cost_seconds", 0.0)
        slowest += one.get("slowest", ())
        for seconds, path in one.get("stacks", ()):
            stacks[tuple(path)] += seconds
        for route in one.get("routes", ()):
            sums = routes.setdefault(route["route"], {"route": route["route"]})
            for name, value in route.items():
                if name != "route":
                    sums[name] = round(sums.get(name, 0.0) + value, 3)
    slowest.sort(key=lambda one: -one["seconds"])
    return {
        "looks": looks,
        "cost_seconds": round(cost, 4),
        "routes": sorted(routes.values(), key=lambda one: -sum(v for v in one.values() if type(v) is float)),
        "slowest": slowest[:50],
        "stacks": [[round(seconds, 4), list(path)] for path, seconds in stacks.most_common(1000)],
    }
