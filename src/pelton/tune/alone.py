"""Each request by itself: what it computes, what it waits for, what memory it takes. Pure but for `look`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pelton.tune.counts import Row
from pelton.tune.load import Load
from pelton.tune.server import Server

_ROUNDS_FOR_MEMORY: Final = 6


@dataclass(frozen=True)
class Route:
    """Requests of one route; of a request whose route nobody says, the path. Seconds are per request."""

    name: str
    where: str
    share: float
    requests: int
    computing: float
    waiting: float
    most_bytes: int
    kept_bytes: float
    statuses: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "route": self.name,
            "where": self.where,
            "share": round(self.share, 4),
            "requests": self.requests,
            "computing_seconds": self.computing,
            "waiting_seconds": self.waiting,
            "memory_bytes": self.most_bytes,
            "kept_bytes_per_request": round(self.kept_bytes, 1),
            "statuses": self.statuses,
            # Alone on one interpreter: no setting can serve more of it with one worker.
            "most_per_second_and_worker": round(1 / self.computing, 1) if self.computing > 0 else None,
            "threads_for_one_interpreter": threads_for(self.computing, self.waiting),
        }


def threads_for(computing: float, waiting: float) -> int:
    """So many requests at once keep one interpreter busy."""
    return max(1, round((computing + waiting) / computing)) if computing > 0 else 1


def look(server: Server, load: Load, seconds: float) -> list[Route]:
    """One request after the other, for ``seconds`` and a little longer."""
    number = len(load.requests)
    each = list(range(number))
    # The first of each imports, compiles and fills caches.
    server.run(connections=1, seconds=30.0, order=each, most_requests=number, warm_seconds=0.0)
    before = server.counted()
    measured = server.run(connections=1, seconds=max(0.1, 0.8 * seconds), order=each, warm_seconds=0.0)
    rows = server.counted().since(before).rows
    # Twice without a look: tracing itself fills caches.
    most = _ROUNDS_FOR_MEMORY * number
    server.run(connections=1, seconds=10.0, order=each, most_requests=2 * number, memory=True)
    before = server.counted()
    server.run(connections=1, seconds=10.0, order=each, most_requests=most, memory=True)
    traced = server.counted().since(before).rows
    statuses = [one["statuses"] for one in measured["requests"]]
    return routes_of(load, server.routes(), rows, traced, statuses)


def routes_of(
    load: Load,
    places: dict[int, dict[str, str]],
    rows: tuple[Row, ...],
    traced: tuple[Row, ...],
    statuses: list[dict[str, int]],
) -> list[Route]:
    """Requests of the same route together, weighted as they are in the load; the costliest first."""
    groups: dict[str, list[int]] = {}
    for at, request in enumerate(load.requests):
        path = request.path.partition("?")[0]
        pattern = places.get(at, {}).get("route") or path
        groups.setdefault(f"{request.method} {pattern}", []).append(at)
    found = [_route(name, members, load, places, rows, traced, statuses) for name, members in groups.items()]
    return sorted(found, key=lambda one: -one.share * (one.computing + one.waiting))


def _route(
    name: str,
    members: list[int],
    load: Load,
    places: dict[int, dict[str, str]],
    rows: tuple[Row, ...],
    traced: tuple[Row, ...],
    statuses: list[dict[str, int]],
) -> Route:
    # What was too slow to be seen in the time says nothing.
    seen = [at for at in members if rows[at].count]
    weight = sum(load.weights[at] for at in seen) or 1.0
    computing = sum(load.weights[at] * rows[at].computing_ns / rows[at].count for at in seen) / weight / 1e9
    duration = sum(load.weights[at] * rows[at].duration_ns / rows[at].count for at in seen) / weight / 1e9
    tracings = sum(traced[at].traced for at in members)
    sums: dict[str, int] = {}
    for at in members:
        for status, count in statuses[at].items():
            sums[status] = sums.get(status, 0) + count
    return Route(
        name=name,
        where=next((places[at]["where"] for at in members if at in places), ""),
        share=sum(load.weights[at] for at in members),
        requests=sum(rows[at].count for at in members),
        computing=computing,
        waiting=max(0.0, duration - computing),
        most_bytes=max(traced[at].most_bytes for at in members),
        kept_bytes=sum(traced[at].kept_bytes for at in members) / tracings if tracings else 0.0,
        statuses=sums,
    )
