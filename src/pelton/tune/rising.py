"""One setting under a load that grows: throughput, times and costs. Pure but for `look`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pelton.tune.server import Cost, Server

# Two steps in a row that bring less than this much more are its end; but a model wants some points.
_GAIN: Final = 1.03
_LEAST_STEPS: Final = 4
# Before the first step: what is imported and compiled by them is not the load's.
_FIRST: Final = 20


@dataclass(frozen=True)
class Step:
    """What was seen at one concurrency. Costs are seconds of a processor per request."""

    concurrency: int
    per_second: float
    p50: float
    p99: float
    interpreter: float
    front: float
    generator: float
    generator_share: float
    failed: int
    statuses: dict[str, int]
    memory_bytes: int

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "concurrency": self.concurrency,
            "per_second": round(self.per_second, 2),
            "p50_seconds": self.p50,
            "p99_seconds": self.p99,
            "worker_cpu_seconds": self.interpreter,
            "front_cpu_seconds": self.front,
            "generator_cpu_seconds": self.generator,
            "generator_processor_share": round(self.generator_share, 3),
            "failed": self.failed,
            "statuses": self.statuses,
            "memory_bytes": self.memory_bytes,
        }


def look(
    server: Server, levels: Sequence[int], seconds: float, tell: Callable[[Step], None]
) -> tuple[Step, ...]:
    """Until the levels are through, or more concurrency brings nothing."""
    steps: list[Step] = []
    server.run(connections=1, seconds=10.0, most_requests=_FIRST, warm_seconds=0.0)
    before = server.cost()
    for level in levels:
        measured = server.run(connections=level, seconds=seconds)
        after = server.cost()
        steps.append(step_of(level, measured, before, after))
        tell(steps[-1])
        before = after
        if is_saturated(steps):
            break
    return tuple(steps)


def step_of(level: int, measured: dict[str, Any], before: Cost, after: Cost) -> Step:
    """From the generator's report, and the costs before and after."""
    counted = after.counted.since(before.counted)
    requests = max(1, counted.requests)
    return Step(
        concurrency=level,
        per_second=measured["per_second"],
        p50=measured["p50_seconds"],
        p99=measured["p99_seconds"],
        interpreter=counted.cpu_ns / 1e9 / requests,
        front=max(0.0, after.front_seconds - before.front_seconds) / requests,
        generator=measured["cpu_seconds"] / max(1, measured["total"]),
        generator_share=measured["cpu_seconds"] / measured["wall_seconds"],
        failed=measured["failed"],
        statuses=measured["statuses"],
        memory_bytes=after.memory_bytes,
    )


def is_saturated(steps: Sequence[Step]) -> bool:
    """Whether the last two steps have brought next to nothing."""
    if len(steps) < _LEAST_STEPS:
        return False
    best = max(one.per_second for one in steps[:-2])
    return all(one.per_second < best * _GAIN for one in steps[-2:])


def knee(steps: Sequence[Step]) -> Step:
    """Where it saturates: the lowest concurrency with nearly the best throughput."""
    best = max(one.per_second for one in steps)
    return next(one for one in steps if one.per_second >= 0.95 * best)
