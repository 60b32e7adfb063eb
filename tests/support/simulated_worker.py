"""A worker that exists only in numbers: threads, an interpreter's lock, requests of phases, a clock.

Plays the part of the native scheduler and of `pelton.sizing.keeper` for the policy, one millisecond at a
time. What it leaves out (processors, the front, the cost of a switch) does not change which way a decision
goes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pelton.sizing import policy
from pelton.sizing.policy import Decision, Need, Observation

MS = 0.001
LOOK = 2.0
AGAIN = 0.05
# The start of a thread takes the interpreter for so long.
START = 0.1 * MS
QUANTUM = 5


@dataclass
class Pool:
    """Something of which there is only so much: a lock, a connection pool, a service that stalls."""

    size: int
    used: int = 0
    queue: deque[Request] = field(default_factory=deque)


@dataclass(frozen=True)
class Phase:
    """Computes, or waits, for so long; with ``pool``, while it has one of these."""

    seconds: float
    computes: bool = False
    pool: Pool | None = None


def compute(seconds: float) -> Phase:
    """It holds the interpreter."""
    return Phase(seconds, computes=True)


def wait(seconds: float, pool: Pool | None = None) -> Phase:
    """It does not."""
    return Phase(seconds, pool=pool)


@dataclass(eq=False)
class Request:
    """Phases one after the other."""

    phases: Sequence[Phase]
    came: float
    label: str = ""
    at: int = 0
    left: float = 0.0
    ended: float | None = None

    @property
    def latency(self) -> float:
        """From its arrival to its end."""
        assert self.ended is not None
        return self.ended - self.came


@dataclass
class Worker:
    """The simulation; `run` goes on from where it is."""

    least: int = 2
    most: int = 512
    memory: int | None = None
    now: float = 0.0
    threads: int = 0
    ready: deque[Request] = field(default_factory=deque)
    computing: deque[Request] = field(default_factory=deque)
    waiting: list[tuple[float, int, Request]] = field(default_factory=list)
    done: list[Request] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0
    history: list[tuple[float, Decision]] = field(default_factory=list)
    busy_history: list[tuple[float, int]] = field(default_factory=list)
    need: Need = field(default_factory=Need)
    pools: list[Pool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.threads = self.least
        self._serial = 0
        self._quantum = 0
        self._look_at = self._held_until = 0.0
        self._computed = 0.0
        self._window = (0.0, 0.0)
        self._share = 0.0
        self._being_made = 0.0
        self._full_since: float | None = None

    def run(self, seconds: float, arrivals: Callable[[float], Iterable[Request]]) -> None:
        """``arrivals`` gives what comes within the millisecond that begins at the given time."""
        end = self.now + seconds
        while self.now < end - MS / 2:
            self.ready.extend(arrivals(self.now))
            self._step()
            self.now = round(self.now + MS, 6)
            self._look()

    def latencies(self, label: str = "", since: float = 0.0) -> list[float]:
        """Of what has ended, sorted."""
        return sorted(one.latency for one in self.done if one.label == label and one.came >= since)

    def _step(self) -> None:
        interpreter = MS
        while self._being_made >= 1 and interpreter > START:
            self._being_made -= 1
            interpreter -= START
        while self.waiting and self.waiting[0][0] <= self.now:
            _, _, request = heapq.heappop(self.waiting)
            self._next_phase(request)
        self._take()
        if self.computing:
            request = self.computing[0]
            self._computed += interpreter
            request.left -= interpreter
            self._quantum += 1
            if request.left <= 1e-9:
                self.computing.popleft()
                self._quantum = 0
                self._next_phase(request)
                self._take()
            elif self._quantum >= QUANTUM:
                self.computing.rotate(-1)
                self._quantum = 0
        self.most_busy = max(self.most_busy, self.busy)

    def _take(self) -> None:
        free = self.threads - int(self._being_made) - self.busy
        while self.ready and free > 0:
            free -= 1
            self.busy += 1
            request = self.ready.popleft()
            request.at = -1
            self._next_phase(request)

    def _next_phase(self, request: Request) -> None:
        if request.at >= 0:
            self._let_go(request.phases[request.at].pool)
        request.at += 1
        if request.at == len(request.phases):
            request.ended = self.now
            self.done.append(request)
            self.busy -= 1
            return
        phase = request.phases[request.at]
        if phase.computes:
            request.left = phase.seconds
            self.computing.append(request)
        elif phase.pool is not None and phase.pool.used >= phase.pool.size:
            if phase.pool not in self.pools:
                self.pools.append(phase.pool)
            phase.pool.queue.append(request)
        else:
            self._wait(request, phase)

    def _wait(self, request: Request, phase: Phase) -> None:
        if phase.pool is not None:
            phase.pool.used += 1
        self._serial += 1
        heapq.heappush(self.waiting, (self.now + phase.seconds, self._serial, request))

    def _let_go(self, pool: Pool | None) -> None:
        if pool is None:
            return
        pool.used -= 1
        if pool.queue:
            request = pool.queue.popleft()
            self._wait(request, request.phases[request.at])

    def _look(self) -> None:
        is_full = self.busy >= self.threads and self._being_made < 1
        head_age = self.now - self.ready[0].came if is_full and self.ready else 0.0
        if not is_full or self._full_since is None:
            self._full_since = self.now if is_full else None
        full_for = 0.0 if self._full_since is None else self.now - self._full_since
        is_due = head_age >= policy.PATIENCE if self.ready else full_for >= policy.FORESIGHT
        is_urgent = is_due and self.now >= self._held_until
        if self.now < self._look_at and not is_urgent:
            return
        seen = Observation(
            threads=self.threads,
            most_busy=self.most_busy,
            waiting=len(self.ready),
            head_age=head_age,
            lock_wait=QUANTUM * MS if self.computing else 0.0,
            computing=self._share_of_window(),
            is_full=is_full,
            same=max((len(pool.queue) for pool in self.pools), default=0),
            memory_left=None if self.memory is None else self.memory - self.threads * (512 << 10),
        )
        self.busy_history.append((self.now, self.most_busy))
        self.most_busy = self.busy
        decision, self.need = policy.decide(seen, self.need, self.least, self.most, self.now)
        self.history.append((self.now, decision))
        if decision.permits > self.threads:
            self._being_made += decision.permits - self.threads
            self.threads = decision.permits
        else:
            # Only idle ones go.
            self.threads = max(decision.permits, self.busy)
        self._look_at = self.now + LOOK
        is_held = decision.permits <= seen.threads and (seen.is_full or decision.holds)
        self._held_until = self.now + (AGAIN if is_held else 0.0)
        self._full_since = None

    def _share_of_window(self) -> float:
        since, computed = self._window
        if self.now - since >= 0.02:
            self._share = (self._computed - computed) / (self.now - since)
            self._window = (self.now, self._computed)
        return self._share
