"""All that is known of a running server at one moment, as one value.

Owns the joining of what the front tells with what the system tells of its processes. What it makes has the
documented shape of ``/state`` (docs/seeing.md). Pure but for what it asks the system; any thread.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pelton.system import Figures, figures_of
from pelton.version import VERSION


def state_of(known: str) -> dict[str, Any]:
    """From what the front tells, with its processes."""
    state: dict[str, Any] = {"version": VERSION, "time": round(time.time(), 3), **json.loads(known)}
    front = os.getpid()
    state["front"] = {"pid": front, **_shown(figures_of(front))}
    for worker in state["workers"]:
        worker["process"] = _shown(figures_of(worker["pid"]))
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


def _shown(process: Figures) -> dict[str, Any]:
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
