"""Exemplars: for a few durations the trace that one of them belongs to, so that a dashboard leads to it.

Owns which are kept in a worker, the last of each power of two, and to which bucket of a histogram each
belongs. Must not know where traces come from. Any thread: a reader gets a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# Of the specification of OpenMetrics: names and values of an exemplar's labels together.
MOST_LETTERS: Final = 128
# Seconds from a microsecond on; longer ones than 2 ** 31 are none.
_MOST: Final = 52

# Seconds, trace id, time.
Exemplar = tuple[float, str, float]


class Exemplars:
    """Of one process."""

    def __init__(self) -> None:
        self._last: dict[int, Exemplar] = {}

    def add(self, seconds: float, trace_id: str, now: float) -> None:
        """One more request that is sampled."""
        self._last[min(int(seconds * 1e6).bit_length(), _MOST)] = (seconds, trace_id, now)

    def as_json(self) -> list[list[Any]]:
        """As JSON."""
        return [list(one) for one in list(self._last.values())]


ALL: Final = Exemplars()
"""Those of this process."""


def by_bucket(workers: Iterable[Mapping[str, Any]], bounds: Sequence[float]) -> dict[int, Exemplar]:
    """The latest for each bucket, of what workers tell; ``bounds`` in seconds, the last bucket has none."""
    found: dict[int, Exemplar] = {}
    for worker in workers:
        for seconds, trace_id, now in worker.get("exemplars", ()):
            at = next((at for at, bound in enumerate(bounds) if seconds <= bound), len(bounds))
            if at not in found or found[at][2] < now:
                found[at] = (float(seconds), str(trace_id)[: MOST_LETTERS // 2], float(now))
    return found
