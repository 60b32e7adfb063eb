"""What ``pelton top`` and the page show: rates and quantiles between two states.

Owns the arithmetic and the documented shape of ``pelton top --json``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pelton.observe.dump_text import plain


def quantile(bounds_us: Sequence[int], counts: Sequence[int], part: float) -> float | None:
    """Seconds below which that part of the times was; within a bucket, as if they were evenly spread."""
    total = sum(counts)
    if total <= 0:
        return None
    wanted = part * total
    below = 0.0
    for at, count in enumerate(counts):
        if count and below + count >= wanted:
            low = bounds_us[at - 1] if at > 0 else 0
            # What is longer than the last bound counts as that.
            high = bounds_us[at] if at < len(bounds_us) else low
            return (low + (high - low) * (wanted - below) / count) / 1e6
        below += count
    return bounds_us[-1] / 1e6


def _difference(after: Mapping[str, Any], before: Mapping[str, Any] | None) -> tuple[list[int], float]:
    if before is None:
        return list(after["counts"]), after["sum_us"] / 1e6
    counts = [a - b for a, b in zip(after["counts"], before["counts"], strict=True)]
    return counts, (after["sum_us"] - before["sum_us"]) / 1e6


def summary(state: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """From two states of the same server, or of one since its start."""
    if before is not None and before["uptime_seconds"] > state["uptime_seconds"]:
        # Another front has come.
        before = None
    seconds = state["uptime_seconds"] - (0.0 if before is None else before["uptime_seconds"])
    seconds = max(seconds, 1e-3)
    bounds = state["bounds_us"]
    counts, _ = _difference(state["duration"], before and before["duration"])
    waits, _ = _difference(state["queue_time"], before and before["queue_time"])
    classes: dict[str, int] = {}
    for sign, one in ((1, state), (-1, before)):
        for _, class_, count in one["requests"] if one is not None else ():
            name = f"{class_}xx" if class_ else "none"
            classes[name] = classes.get(name, 0) + sign * count
    old_routes = {one["route"]: one for one in before["routes"]} if before is not None else {}
    routes = []
    for one in state["routes"]:
        old = old_routes.get(one["route"])
        of_route, spent = _difference(one["duration"], old and old["duration"])
        if sum(of_route) > 0:
            routes.append(
                {
                    "route": one["route"],
                    "per_second": round(sum(of_route) / seconds, 2),
                    "busy": round(spent / seconds, 3),
                    "p50_seconds": quantile(bounds, of_route, 0.5),
                    "p99_seconds": quantile(bounds, of_route, 0.99),
                    "errors": one["errors"] - (old["errors"] if old else 0),
                }
            )
    routes.sort(key=lambda one: -one["busy"])
    running = [
        {**request, "worker": worker["number"]}
        for worker in state["workers"]
        for request in worker["requests"]
        if request["running"]
    ]
    running.sort(key=lambda one: -one["age_seconds"])
    return {
        "version": state["version"],
        "time": state["time"],
        "seconds": round(seconds, 3),
        "requests_per_second": round(sum(counts) / seconds, 2),
        "statuses": {name: count for name, count in sorted(classes.items()) if count},
        "p50_seconds": quantile(bounds, counts, 0.5),
        "p99_seconds": quantile(bounds, counts, 0.99),
        "queue_p99_seconds": quantile(bounds, waits, 0.99),
        "queue": state["queue"],
        "connections": state["counters"]["connections_open"],
        "permits": state["permits"],
        "workers": [
            {name: value for name, value in worker.items() if name != "requests"}
            for worker in state["workers"]
        ],
        "routes": routes,
        "running": running,
    }


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def head_text(found: Mapping[str, Any]) -> str:
    """The figures of the whole server, in two lines."""
    statuses = "  ".join(f"{name} {count}" for name, count in found["statuses"].items()) or "no responses"
    queue = found["queue"]
    return (
        f"pelton {found['version']}  {found['requests_per_second']:.1f} requests/s"
        f"  p50 {_ms(found['p50_seconds'])}  p99 {_ms(found['p99_seconds'])}  {statuses}\n"
        f"queue {queue['length']} (oldest {queue['oldest_seconds']:.1f} s, "
        f"p99 {_ms(found['queue_p99_seconds'])})"
        f"  connections {found['connections']}  permits {found['permits']}"
    )


WORKER_COLUMNS = ("worker", "pid", "running", "waiting", "threads", "computing", "memory", "age", "")
ROUTE_COLUMNS = ("route", "per second", "busy", "p50", "p99", "errors")
RUNNING_COLUMNS = ("age", "request", "client", "worker", "thread", "where", "waits for")


def worker_row(worker: Mapping[str, Any]) -> tuple[str, ...]:
    """As `WORKER_COLUMNS` name them."""
    process = worker["process"]
    return (
        str(worker["number"]),
        str(worker["pid"]),
        str(worker["running"]),
        str(worker["waiting"]),
        f"{worker.get('threads', '-')} of {worker['most_threads']}",
        f"{worker['computing']:.0%}" if "computing" in worker else "-",
        f"{process['memory_bytes'] / 2**20:.0f} MiB",
        f"{process['age_seconds']:.0f} s",
        "retiring" if worker["retiring"] else "",
    )


def route_row(route: Mapping[str, Any]) -> tuple[str, ...]:
    """As `ROUTE_COLUMNS` name them."""
    return (
        plain(route["route"]),
        f"{route['per_second']:.1f}",
        f"{route['busy']:.2f}",
        _ms(route["p50_seconds"]),
        _ms(route["p99_seconds"]),
        str(route["errors"]),
    )


def running_row(request: Mapping[str, Any]) -> tuple[str, ...]:
    """As `RUNNING_COLUMNS` name them."""
    wait = request.get("waits")
    waits = ""
    if wait is not None:
        held = ", ".join(
            f"{one['name']} at {one['file']}:{one['line']}" for one in wait["held_by"] if one["how"]
        )
        waits = f"{wait['for']}{f', held by {held}' if held else ''}"
    return (
        f"{request['age_seconds']:.1f} s",
        plain(f"{request['method']} {request['path']}"),
        plain(request["client"] or "unix"),
        str(request["worker"]),
        plain(str(request.get("thread", ""))),
        plain(request.get("at", "")),
        plain(waits),
    )


def summary_text(found: Mapping[str, Any]) -> str:
    """All of it as text."""
    tables = (
        (WORKER_COLUMNS, [worker_row(one) for one in found["workers"]]),
        (ROUTE_COLUMNS, [route_row(one) for one in found["routes"][:20]]),
        (RUNNING_COLUMNS, [running_row(one) for one in found["running"][:20]]),
    )
    return "\n\n".join([head_text(found), *(_table(columns, rows) for columns, rows in tables if rows)])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (columns, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)
