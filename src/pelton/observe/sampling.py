"""The sampler of a worker: looks now and then at what its requests do, all the time.

Owns the rate and the bounds of what is kept of the last half to whole hour: where the time of each kind of
request goes, its stacks, and the samples of the slowest requests. While nothing runs it only looks whether
something does. Its thread is "pelton-sampler", a real one also where the application's are greenlets.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pelton.observe.green import HasGreenlets
from pelton.observe.looking import CLASSES, Looker, Seen
from pelton.observe.profiling import Profile, frame_text
from pelton.process.left_behind import leave_behind
from pelton.process.native_threads import NativeEvent, NativeThread

if TYPE_CHECKING:
    from pelton.observe.inspector import RunningRequest

# Seconds between two looks while requests run. A look costs some 20 µs and as much for each request, and it
# has to get the interpreter, for which a request that computes is stopped once.
_INTERVAL: Final = 0.1
# A look that has taken long is followed by a pause of so many times that: at most 1 % of the time.
_SHARE: Final = 100
# Looks for whether anything runs.
_IDLE: Final = 0.5
# Kinds of requests (method and route, or path) that are kept apart, and their stacks; of each period.
_MOST_KINDS: Final = 500
_MOST_STACKS: Final = 2_000
# What was seen is kept for this period and the next one: what is shown is of now, and not of the whole life.
_PERIOD: Final = 1800.0
# What is kept of the slowest requests of the last hour.
_SLOWEST: Final = 30
_SLOW_SECONDS: Final = 0.3
_SLOW_FOR: Final = 3600.0
_MOST_SAMPLES: Final = 100
_REST: Final = "other"


@dataclass
class Slow:
    """A request that is or was slow. ``stacks``: the stacks that were seen, and how often."""

    request: RunningRequest
    began: float
    seconds: float
    looks: int = 0
    stacks: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        _, _, _, method, path, client, _ = self.request
        return {
            "method": method,
            "path": path,
            "client": client,
            "began": round(self.began, 3),
            "seconds": round(self.seconds, 3),
            "looks": self.looks,
            "stacks": [
                {"class": kind, "count": count, "frames": list(frames)}
                for (kind, frames), count in self.stacks.most_common(5)
            ],
        }


@dataclass
class _Period:
    """What was seen in half an hour."""

    began: float = 0.0
    times: dict[str, Counter[str]] = field(default_factory=dict)
    profile: Profile = field(default_factory=lambda: Profile(most_stacks=_MOST_STACKS))

    def add(self, seen: list[Seen]) -> None:
        """One look."""
        self.profile.add(seen)
        for one in seen:
            kind = one.kind
            if kind not in self.times and len(self.times) >= _MOST_KINDS:
                kind = _REST
            classes = self.times.setdefault(kind, Counter())
            for name, part in one.parts.items():
                classes[name] += one.seconds * part  # type: ignore[assignment]


class Sampler:
    """See the module. ``requests`` gives those that run now."""

    def __init__(self, requests: Callable[[], list[RunningRequest]]) -> None:
        self._requests = requests
        self._greenlets: HasGreenlets | None = None
        self._looker = Looker()
        self._periods = [_Period()]
        self._running: dict[tuple[int, int, str], Slow] = {}
        self._slowest: list[Slow] = []
        self._looks = 0
        self._cost = 0.0
        self._ended = NativeEvent()
        self._thread: NativeThread | None = None

    def look_at_greenlets(self, greenlets: HasGreenlets | None) -> None:
        """From now on requests are greenlets of this runner; None: threads."""
        self._greenlets = greenlets
        self._looker = Looker(greenlets)

    def start(self) -> None:
        """Start the thread, unless there is one."""
        if self._thread is None:
            self._thread = NativeThread(self._run, name="pelton-sampler")
            self._thread.start()

    def stop(self) -> None:
        """Let it end."""
        if self._thread is not None and not self._ended.is_set():
            self._ended.set()
            leave_behind(self._thread)

    def as_json(self) -> dict[str, Any]:
        """What has been seen, as JSON."""
        # Another thread goes on meanwhile: copies are made of what it changes.
        times: dict[str, Counter[str]] = {}
        stacks: Counter[tuple[str, ...]] = Counter()
        for period in list(self._periods):
            for kind, classes in list(period.times.items()):
                times.setdefault(kind, Counter()).update(dict(classes))
            stacks.update(dict(period.profile.stacks))
        longest = sorted(times.items(), key=lambda one: -sum(one[1].values()))[:_MOST_KINDS]
        slow = sorted([*self._slowest], key=lambda one: -one.seconds)
        return {
            "looks": self._looks,
            "cost_seconds": round(self._cost, 4),
            "routes": [
                {"route": kind, **{name: round(classes.get(name, 0.0), 3) for name in CLASSES}}
                for kind, classes in longest
            ],
            "slowest": [one.as_json() for one in slow],
            "stacks": [[round(seconds, 4), list(path)] for path, seconds in stacks.most_common(500)],
        }

    def _run(self) -> None:
        pause = _IDLE
        while not self._ended.wait(pause):
            before = time.thread_time()
            requests = self._requests()
            if not requests:
                self._forget_all()
                pause = _IDLE
                continue
            self.look(requests, time.time())
            cost = time.thread_time() - before
            self._cost += cost
            pause = max(_INTERVAL, cost * _SHARE)

    def look(self, requests: list[RunningRequest], now: float) -> None:
        """One look."""
        self._looks += 1
        seen = self._looker.look(requests)
        if now - self._periods[-1].began > _PERIOD:
            self._periods = [*self._periods[-1:], _Period(now)]
        self._periods[-1].add(seen)
        running: dict[tuple[int, int, str], Slow] = {}
        for one in seen:
            thread, _, slot, _, path, _, age = one.request
            key = (thread, slot, path)
            slow = self._running.pop(key, None)
            # The same slot and path again, but younger: another request.
            if slow is None or slow.seconds > age:
                if slow is not None:
                    self._keep(slow, now)
                slow = Slow(one.request, now - age, age)
            slow.seconds = age
            slow.looks += 1
            if len(slow.stacks) < _MOST_SAMPLES:
                slow.stacks[one.mostly, tuple(frame_text(*frame) for frame in one.stack)] += 1
            running[key] = slow
        for ended in self._running.values():
            self._keep(ended, now)
        self._running = running

    def _keep(self, slow: Slow, now: float) -> None:
        if slow.seconds < _SLOW_SECONDS:
            return
        kept = [one for one in self._slowest if one.began > now - _SLOW_FOR]
        kept.append(slow)
        kept.sort(key=lambda one: -one.seconds)
        self._slowest = kept[:_SLOWEST]

    def _forget_all(self) -> None:
        if self._running:
            now = time.time()
            for ended in self._running.values():
                self._keep(ended, now)
            self._running = {}
        self._looker = Looker(self._greenlets)
