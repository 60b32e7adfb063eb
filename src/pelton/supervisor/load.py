"""What the workers do with the processors, measured about once a second.

Owns the last measurement, with which the next is compared. Must not know what follows from it: that is
`plan.sizing`. On the supervisor's only thread; it reads small files of the kernel and never blocks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pelton.supervisor.plan.events import LoadMeasured
from pelton.system import idle_time, memory_left, memory_of, processor_time_of, processors

_EVERY: Final = 1.0
# A share of less time than this says little: the kernel counts in ticks of 10 ms.
_SHORTEST: Final = 0.5


class Load:
    """``root``: where the system's own files are looked for."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.due = time.monotonic() + _EVERY
        self._root = root
        self._at: float | None = None
        self._times: dict[int, float] = {}
        self._idle: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next measurement."""
        return now >= self.due

    def measure(self, pids: Mapping[int, int], now: float) -> LoadMeasured | None:
        """What has happened since the last call; None where there is nothing to compare with.

        ``pids``: of the workers, by their numbers.
        """
        self.due = now + _EVERY
        before, times_before, idle_before = self._at, self._times, self._idle
        times = {pid: processor_time_of(pid, self._root) for pid in pids.values()}
        self._times = {pid: spent for pid, spent in times.items() if spent is not None}
        self._at, self._idle = now, idle_time(self._root)
        if before is None or idle_before is None or self._idle is None or now - before < _SHORTEST:
            return None
        passed = now - before
        shares = {
            number: (self._times[pid] - times_before[pid]) / passed
            for number, pid in pids.items()
            if pid in self._times and pid in times_before
        }
        allowed = processors(self._root) - sum(shares.values())
        return LoadMeasured(
            shares=tuple(shares.items()),
            # Of what is idle others may take a part; more than the quota is not ours.
            idle=max(0.0, min((self._idle - idle_before) / passed, allowed)),
            memory_left=memory_left(self._root),
            largest=max((memory_of(pid, self._root) or 0 for pid in pids.values()), default=0),
        )
