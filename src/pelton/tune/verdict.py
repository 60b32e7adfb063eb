"""What follows from the figures: bounds to set, what other machines would do, and what is strange. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pelton.tune.alone import Route, threads_for
from pelton.tune.model import (
    INTERPRETER,
    Demands,
    Law,
    Point,
    Shape,
    demands_of,
    fit,
    held_out,
    left_out,
    mean_error,
    predict,
)
from pelton.tune.rising import Step, knee
from pelton.tune.server import Setting

# As much below the best is as good.
_AS_GOOD: Final = 0.95
_MOST_THREADS: Final = 512
# What is served in so many seconds may wait; later ones learn at once that it is too much.
_QUEUE_SECONDS: Final = 2.0
_TRUSTED_ERROR: Final = 0.25
_BUSY_GENERATOR: Final = 0.7
_CONTENTION: Final = 0.75
_SLOWER: Final = 0.9
# Less than this per request is noise of caches and of tracing itself.
_KEPT_BYTES: Final = 1024
_LARGE_BYTES: Final = 32 * 2**20


@dataclass(frozen=True)
class Series:
    """One setting, its steps, and what the models say of them. ``points``: those the network never saw."""

    setting: Setting
    steps: tuple[Step, ...]
    points: tuple[Point, ...]
    law: Law | None
    law_points: tuple[Point, ...]

    @property
    def best(self) -> float:
        """Requests per second."""
        return max(one.per_second for one in self.steps)

    @property
    def error(self) -> float | None:
        """Of the network."""
        return mean_error(self.points)


@dataclass(frozen=True)
class Finding:
    """Something to know. ``where`` is file:line, or empty."""

    kind: str
    name: str
    reason: str
    where: str = ""
    request: str = ""

    def as_json(self) -> dict[str, str]:
        """As JSON."""
        return dict(vars(self))


def waiting_of(routes: Sequence[Route]) -> float:
    """Seconds that a request of the load waits, alone."""
    return sum(one.share * one.waiting for one in routes)


def analysed(
    measured: Sequence[tuple[Setting, tuple[Step, ...]]], waiting: float, processors: float
) -> tuple[Demands, list[Series]]:
    """The demands are those of every second step of the first setting; all other steps are held out."""
    demands = demands_of(measured[0][1][::2], waiting)
    found = []
    for at, (setting, steps) in enumerate(measured):
        shape = Shape(processors, setting.workers, setting.permits)
        unseen = steps[1::2] if at == 0 else steps
        pairs = [(one.concurrency, one.per_second) for one in steps]
        points = tuple(held_out(unseen, demands, shape))
        found.append(Series(setting, steps, points, fit(pairs), tuple(left_out(pairs))))
    return demands, found


def best_of(series: Sequence[Series]) -> Series:
    """The smallest setting that is nearly as good as the best one."""
    most = max(one.best for one in series)
    good = [one for one in series if one.best >= _AS_GOOD * most]
    return min(good, key=lambda one: (one.setting.workers * one.setting.permits, one.setting.workers))


def projections(demands: Demands, best: Series, processors: Sequence[float]) -> list[dict[str, Any]]:
    """The most that machines with so many processors would serve, the generator being elsewhere."""
    own = Demands(demands.interpreter, demands.front, 0.0, demands.waiting)
    found = []
    for count in processors:
        workers = max(1, math.floor(count))
        threads = max(best.setting.permits, _threads(own, count, workers))
        shape = Shape(count, workers, threads)
        at_most = predict(own, shape, min(4096, 2 * workers * threads))
        found.append(
            {
                "processors": count,
                "workers": workers,
                "threads": threads,
                "per_second": round(at_most.per_second, 1),
                "limit": at_most.limit,
            }
        )
    return found


def _threads(demands: Demands, processors: float, workers: int) -> int:
    """Twice what keeps the interpreter of each worker busy, as far as there are processors for that."""
    busy = threads_for(demands.interpreter * max(1.0, workers / processors), demands.waiting)
    return max(2, min(_MOST_THREADS, 2 * busy))


def bounds(demands: Demands, best: Series, processors: float) -> list[dict[str, str]]:
    """Settings with values and reasons."""
    own = Demands(demands.interpreter, demands.front, 0.0, demands.waiting)
    at = knee(best.steps)
    threads = max(best.setting.permits, _threads(own, processors, best.setting.workers))
    slowest = max(one.p99 for one in best.steps if one.concurrency <= at.concurrency)
    found = [
        ("workers", str(best.setting.workers), "The fewest with which nearly the best rate was seen."),
        ("worker_kind", best.setting.kind, "The kind with which it was seen."),
    ]
    if best.setting.kind == "threads":
        reason = (
            f"A request computes {_ms(own.interpreter)} and waits {_ms(own.waiting)}; twice what keeps "
            "the interpreter busy, and not less than what was measured as good."
        )
        found.append(("threads", f"2:{threads}", reason))
    queue = max(16, math.ceil(best.best * _QUEUE_SECONDS))
    found.append(
        (
            "queue_length",
            str(min(queue, 100_000)),
            f"What is served in {_QUEUE_SECONDS:.0f} s at {best.best:.0f}/s; more gets 503 at once.",
        )
    )
    timeout = max(1, math.ceil(10 * slowest))
    found.append(
        (
            "request_timeout",
            f"{timeout}s",
            f"Ten times the 99th percentile ({_ms(slowest)}) where it saturates, at least a second.",
        )
    )
    return [{"setting": name, "value": value, "reason": reason} for name, value, reason in found]


def findings(
    routes: Sequence[Route], demands: Demands, series: Sequence[Series], best: Series
) -> Iterator[Finding]:
    """In the order in which they matter."""
    for route in routes:
        yield from _of_route(route)
    yield from _of_saturation(demands, best)
    for one in series:
        if failed := sum(step.failed for step in one.steps):
            reason = f"{failed} requests had no response with {one.setting}."
            yield Finding("no-response", str(one.setting), reason)
        law = one.law
        is_slower = one.steps[-1].per_second < _SLOWER * one.best
        if is_slower and law is not None and law.peak is not None:
            reason = f"More than {law.peak:.0f} requests at once make it slower (kappa {law.kappa:.2g})."
            yield Finding("retrograde", str(one.setting), reason)
    busiest = max(step.generator_share for one in series for step in one.steps)
    if busiest > _BUSY_GENERATOR:
        reason = f"The load generator computed for {busiest:.0%} of a processor: the rates may be its own."
        yield Finding("generator", "load generator", reason)
    error = mean_error([point for one in series for point in one.points])
    if error is not None and error > _TRUSTED_ERROR:
        reason = f"The model is wrong by {error:.0%} on steps it has not seen: do not rely on other machines."
        yield Finding("model", "projection", reason)


def _of_route(route: Route) -> Iterator[Finding]:
    bad = {status: count for status, count in route.statuses.items() if not status.startswith(("2", "3"))}
    if bad:
        said = ", ".join(f"{count} x {status}" for status, count in bad.items())
        reason = f"Responses were {said}: what was measured may not be what users get."
        yield Finding("status", route.name, reason, route.where, route.name)
    if route.kept_bytes > _KEPT_BYTES:
        reason = f"Each request leaves {route.kept_bytes / 1024:.1f} KiB behind."
        yield Finding("memory-kept", route.name, reason, route.where, route.name)
    if route.most_bytes > _LARGE_BYTES:
        reason = f"A request takes {route.most_bytes / 2**20:.0f} MiB: so many times as there are threads."
        yield Finding("memory-large", route.name, reason, route.where, route.name)


def _of_saturation(demands: Demands, best: Series) -> Iterator[Finding]:
    at = knee(best.steps)
    last = best.steps[-1]
    if at.concurrency == last.concurrency:
        reason = f"It was not reached: {last.concurrency} requests at once still brought more."
        yield Finding("saturation", str(best.setting), reason)
        return
    yield Finding(
        "saturation",
        str(best.setting),
        f"{at.concurrency} requests at once bring {at.per_second:.0f}/s; more brings only waiting.",
    )
    measured = max(best.steps, key=lambda one: one.per_second)
    expected = [point for point in best.points if point.concurrency == measured.concurrency]
    if expected and measured.per_second < _CONTENTION * expected[0].predicted:
        yield Finding(
            "contention",
            str(best.setting),
            f"{expected[0].predicted:.0f}/s were to be expected of what requests compute and wait alone; "
            f"{measured.per_second:.0f}/s were seen. They wait for each other: a lock, a pool, a database. "
            "pelton top shows for what.",
        )
    elif demands.interpreter > demands.front and best.setting.workers == 1 and demands.waiting == 0:
        yield Finding("limit", INTERPRETER, "Only more workers bring more.")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
