"""What a server would do elsewhere: a closed network with one queue, and the universal scalability law.

The network: a request computes in Python (G), in the front (F) and, on this machine, in the generator (L),
and waits (Z). What is scarcest is a queue: the interpreters (G / workers), the front (F), or the processors
((G + F + L) / processors). All else is a delay. Its mean value analysis gives throughput for each concurrency
from measured seconds alone, nothing is fitted; so what was measured at a load says how wrong it is.

The scalability law is fitted to the points of one setting, and says how much of it is contention (sigma) and
coherence (kappa). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from pelton.tune.rising import Step

INTERPRETER, FRONT, PROCESSORS, PERMITS = "interpreter", "front", "processors", "threads"
# Points that a fit of three needs, one of them left out.
_LEAST_POINTS: Final = 4


@dataclass(frozen=True)
class Demands:
    """Seconds per request."""

    interpreter: float
    front: float
    generator: float
    waiting: float

    @property
    def computing(self) -> float:
        """Of any processor."""
        return self.interpreter + self.front + self.generator


@dataclass(frozen=True)
class Shape:
    """What there is of everything. ``permits``: requests that run at once in each worker."""

    processors: float
    workers: int
    permits: int


@dataclass(frozen=True)
class Predicted:
    """For one concurrency. ``limit``: what is scarcest there."""

    per_second: float
    seconds: float
    limit: str


def demands_of(steps: Sequence[Step], waiting: float) -> Demands:
    """Means over some steps, each request as one."""
    weights = [one.per_second for one in steps]
    total = sum(weights) or 1.0

    def mean(name: str) -> float:
        weighted = zip(steps, weights, strict=True)
        return sum(float(getattr(one, name)) * weight for one, weight in weighted) / total

    return Demands(mean("interpreter"), mean("front"), mean("generator"), waiting)


def predict(demands: Demands, shape: Shape, concurrency: int) -> Predicted:
    """Mean value analysis, one client after the other."""
    queues = {
        INTERPRETER: demands.interpreter / shape.workers,
        FRONT: demands.front,
        PROCESSORS: demands.computing / shape.processors,
    }
    limit = max(queues, key=lambda one: queues[one])
    scarce = queues[limit]
    delay = demands.computing + demands.waiting - scarce
    inside = min(concurrency, shape.workers * shape.permits)
    waiting_there, per_second = 0.0, 0.0
    for clients in range(1, inside + 1):
        there = scarce * (1 + waiting_there)
        per_second = clients / max(delay + there, 1e-9)
        waiting_there = per_second * there
    if concurrency > inside and per_second * scarce < 0.9:
        limit = PERMITS
    return Predicted(per_second, concurrency / per_second, limit)


@dataclass(frozen=True)
class Point:
    """A measured throughput beside the predicted one."""

    concurrency: int
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """As a part of what was measured."""
        return abs(self.predicted - self.measured) / self.measured if self.measured > 0 else 0.0


def held_out(steps: Sequence[Step], demands: Demands, shape: Shape) -> list[Point]:
    """For steps whose costs are not in ``demands``."""
    return [
        Point(one.concurrency, one.per_second, predict(demands, shape, one.concurrency).per_second)
        for one in steps
        if one.per_second > 0
    ]


def mean_error(points: Sequence[Point]) -> float | None:
    """None without points."""
    return sum(one.error for one in points) / len(points) if points else None


@dataclass(frozen=True)
class Law:
    """X(N) = rate N / (1 + sigma (N - 1) + kappa N (N - 1))."""

    rate: float
    sigma: float
    kappa: float

    def at(self, concurrency: float) -> float:
        """Requests per second."""
        beside = concurrency - 1
        return self.rate * concurrency / (1 + self.sigma * beside + self.kappa * concurrency * beside)

    @property
    def peak(self) -> float | None:
        """The concurrency of the best throughput; None where more never hurts."""
        return max(1.0, ((1 - self.sigma) / self.kappa) ** 0.5) if self.kappa > 0 and self.sigma < 1 else None


def fit(points: Sequence[tuple[int, float]]) -> Law | None:
    """Least squares of the relative error; parts that would be negative are left out. None with too few."""
    points = [(n, x) for n, x in points if x > 0]
    if len(points) < _LEAST_POINTS - 1:
        return None
    # N / X is linear in 1 / rate, sigma / rate and kappa / rate; each row is divided by what it is to give.
    rows = [[x / n, x / n * (n - 1), x / n * n * (n - 1)] for n, x in points]
    best: tuple[float, Law] | None = None
    for size in (3, 2, 1):
        for chosen in combinations(range(3), size):
            found = _least_squares([[row[at] for at in chosen] for row in rows]) if 0 in chosen else None
            if found is None or found[0] <= 0 or min(found) < 0:
                continue
            parts = [0.0, 0.0, 0.0]
            for at, value in zip(chosen, found, strict=True):
                parts[at] = value
            law = Law(1 / parts[0], parts[1] / parts[0], parts[2] / parts[0])
            error = sum((law.at(n) / x - 1) ** 2 for n, x in points)
            if best is None or error < best[0]:
                best = (error, law)
    return best[1] if best else None


def left_out(points: Sequence[tuple[int, float]]) -> list[Point]:
    """Each point, predicted by a law that was fitted to the others."""
    found = []
    for at, (n, x) in enumerate(points):
        law = fit([*points[:at], *points[at + 1 :]]) if len(points) >= _LEAST_POINTS else None
        if law is not None:
            found.append(Point(n, x, law.at(n)))
    return found


def _least_squares(rows: list[list[float]]) -> list[float] | None:
    """The solution of rows · v = 1 by the normal equations; None where there is none."""
    size = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)] + [sum(row[i] for row in rows)]
        for i in range(size)
    ]
    for column in range(size):
        pivot = max(range(column, size), key=lambda at: abs(matrix[at][column]))
        if abs(matrix[pivot][column]) < 1e-12:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for at in range(size):
            if at != column:
                factor = matrix[at][column] / matrix[column][column]
                matrix[at] = [a - factor * b for a, b in zip(matrix[at], matrix[column], strict=True)]
    return [matrix[at][size] / matrix[at][at] for at in range(size)]
