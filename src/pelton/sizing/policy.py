"""How many threads a worker should have: the decision, as a pure function.

Owns `decide`: what was observed, what was needed before, bounds and the time in; permits and the reason out.
Must not know threads, locks or clocks; `keeper` observes and does what this says. The simulations in
tests/unit/test_sizing_policy.py show how it behaves under loads of every kind.

# The rule
*More* when a request has waited for `PATIENCE` although every thread is at a request: as many as wait, but
`PASSING` first, and then at most `STEP` times as many as there are, since many of those that wait may be
quick. Not when it would not help:

- the interpreter is the bottleneck: the threads compute most of the time, or it could not be had within what
  a thread may keep it (then somebody computed all that time). Up to `PASSING` threads are made all the same,
  so that short requests get past long ones that compute;
- most threads wait for one and the same thing, of which there is no more;
- memory or the bounds do not allow it.

*A few more* when all threads have been at requests for `FORESIGHT` and nobody waits yet: whoever comes next
finds a thread, and while a load grows, the next few do. The same gates hold.

*Fewer* when nobody needed them for `CALM`: down to what was needed at most in that time and a few more, one
of which watches (see crates/link/src/scheduler.rs).

# Why not otherwise
The age of the queue's head is a fact: somebody waits, and nobody serves him. Throughput as the signal (hill
climbing) needs a change to see its effect, which drowns in noise where requests differ; so does a gradient of
the latency, which one quick sample sends down. Both were tried by others and given up. The gates are facts,
too: the threads' processor clocks, and whether the interpreter's lock could be had.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

# How long a request waits before threads are made for it. Long beside what a scheduler needs to find a
# blocked thread (0.2 ms) and as long as a thread may keep the interpreter; short beside what people notice.
PATIENCE: Final = 0.005
# How long all threads have to be at requests, while nobody waits, before a few more are made. Shorter, since
# whoever comes in that time waits for `PATIENCE`, and threads that are not needed end after a minute.
FORESIGHT: Final = 0.002
# At most so many times as many threads as there are, from `PASSING` on: one hiccup of a server with two
# threads makes six more, and not hundreds; a burst of 500 takes three steps. Each step waits until its
# threads have come, which takes some milliseconds, or a tenth of a second where others have the processors.
STEP: Final = 8
# So many threads may be made for requests that compute. More would only take turns, so that all are late.
PASSING: Final = 8
# A share of the time in which the threads computed, above which the interpreter is the bottleneck. A little
# below 1, because the front and the observer take something, too.
BUSY: Final = 0.85
# The interpreter could not be had for so long: whoever waits for something lets go of it at once, and only
# who computes keeps it for CPython's switch interval (5 ms). A little less, as clocks differ.
GRIP: Final = 0.004
# Where the threads compute less than this, it was not one of them that kept the interpreter: the machine has
# no processor for us, and threads that wait need none.
SOME: Final = 0.2
# So long after requests began to wait the share of computing is one of that time.
SETTLED: Final = 0.04
# From so many threads on it is looked what they wait for.
LOOK_FROM: Final = 8
# So many of them have to wait for the same thing, for more threads to be of no use.
SAME: Final = 0.5
# What was needed within this time is kept: loads that come in waves find their threads there.
CALM: Final = 60.0
# Beside those that are needed: a part of these, at least one. A request that finds no thread waits for
# `PATIENCE` and until a new thread has come; how often that happens follows from how much the number of
# requests that run goes up and down, which is less than in proportion to it.
SPARE: Final = 4
MOST_SPARE: Final = 8
# Where threads were made less than this ago, or never, the load grows: `MOST_SPARE` are made ahead at once.
# With one or two at a time each step leaves some requests waiting for `PATIENCE`: with 150 requests a second,
# every tenth of which waits for a second, these were more than 1 %, so that the 99th percentile was theirs.
GROWING: Final = 1.0
# How the minute is divided.
_STRETCH: Final = 5.0
# Left free below the memory limit, after the new threads.
SPARE_MEMORY: Final = 32 * 1024 * 1024
# What a thread takes; see docs/sizing.md.
MEMORY_OF_A_THREAD: Final = 512 * 1024


class Why(enum.Enum):
    """The reason of a decision. The values are what people read."""

    STEADY = "there are as many threads as are needed"
    NEEDED = "requests waited although every thread was at one, and the threads mostly wait"
    PASSING = "requests waited although every thread was at one"
    COMPUTING = "requests wait, but the threads compute: more would only take turns"
    SAME = "requests wait, but most threads wait for one and the same thing: more would join them"
    MEMORY = "requests wait, but there is no memory for more threads"
    BOUND = "requests wait, but there are as many threads as there may be"
    CALM = "for a minute nobody needed so many threads"
    AHEAD = "all threads were at requests: the next one finds another"


@dataclass(frozen=True, slots=True)
class Observation:
    """What is seen of a worker."""

    threads: int
    most_busy: int
    """Threads that were at requests at the same time, at most since the last observation."""
    waiting: int
    """Requests that no thread has taken."""
    head_age: float
    """How long the first of these has waited at least, in seconds; 0 where a thread is idle."""
    lock_wait: float
    """How long the interpreter let this observation wait, in seconds."""
    computing: float
    """The threads' processor time, as a share of what the interpreter can use in that time: of one processor
    under its lock, of all processors without."""
    is_full: bool = False
    """Whether all threads are at requests."""
    same: int = 0
    """Threads that wait for one and the same thing."""
    memory_left: int | None = None
    """Bytes; None where there is no limit."""


@dataclass(frozen=True, slots=True)
class Need:
    """Most threads that were at requests, for each stretch of the last minute: (when it began, how many)."""

    stretches: tuple[tuple[float, int], ...] = ()
    short_since: float | None = None
    """Since when requests wait although the threads are taken; None: they do not."""
    grew_at: float | None = None
    """When threads were made for the last time."""

    def with_busy(self, busy: int, now: float) -> Need:
        """The same, with what is seen now and without what is too old."""
        kept = [one for one in self.stretches if one[0] + _STRETCH > now - CALM]
        if kept and now < kept[-1][0] + _STRETCH:
            began, most = kept[-1]
            kept[-1] = (began, max(most, busy))
        else:
            kept.append((now, busy))
        return replace(self, stretches=tuple(kept))

    def is_growing(self, now: float) -> bool:
        """Whether the load is one that has just begun, or grows."""
        return self.grew_at is None or now - self.grew_at < GROWING

    def is_calm(self, now: float) -> bool:
        """Whether the last threads were made so long ago that some of them may go."""
        return self.grew_at is None or now - self.grew_at >= CALM

    @property
    def most(self) -> int:
        """In all of it."""
        return max((busy for _, busy in self.stretches), default=0)


@dataclass(frozen=True, slots=True)
class Decision:
    """So many threads there should be, and why."""

    permits: int
    why: Why

    @property
    def holds(self) -> bool:
        """Whether requests wait that more threads would not help."""
        return self.why in (Why.COMPUTING, Why.SAME, Why.MEMORY, Why.BOUND)


def spare(busy: int) -> int:
    """How many threads more than are at requests there should be."""
    return min(MOST_SPARE, max(1, busy // SPARE))


def decide(seen: Observation, need: Need, least: int, most: int, now: float) -> tuple[Decision, Need]:
    """How many threads there should be between ``least`` and ``most``; and what to remember."""
    decision, need = _decide(seen, need.with_busy(seen.most_busy, now), least, most, now)
    return decision, replace(need, grew_at=now) if decision.permits > seen.threads else need


def _decide(seen: Observation, need: Need, least: int, most: int, now: float) -> tuple[Decision, Need]:
    if seen.head_age >= PATIENCE:
        since = now if need.short_since is None else need.short_since
        step = PASSING if seen.threads < PASSING else seen.threads * STEP
        decision = _more(seen, min(seen.threads + seen.waiting, step), most, since, now)
        # Only what is held back is looked at again soon; new threads change everything.
        return decision, replace(need, short_since=since if decision.holds else None)
    need = replace(need, short_since=None)
    if seen.is_full and seen.threads >= least:
        few = MOST_SPARE if need.is_growing(now) else spare(seen.threads)
        more = _more(seen, seen.threads + few, most, now, now)
        return Decision(more.permits, Why.AHEAD if more.permits > seen.threads else Why.STEADY), need
    if seen.threads < least:
        return Decision(least, Why.STEADY), need
    wanted = min(most, max(least, need.most + spare(need.most)))
    if wanted < seen.threads and need.is_calm(now):
        return Decision(wanted, Why.CALM), need
    return Decision(seen.threads, Why.STEADY), need


def _more(seen: Observation, wanted: int, most: int, since: float, now: float) -> Decision:
    wanted = min(wanted, most)
    if seen.threads >= most:
        return Decision(seen.threads, Why.BOUND)
    is_computing = seen.computing >= BUSY or (
        seen.lock_wait >= GRIP and (seen.computing >= SOME or now - since < SETTLED)
    )
    if is_computing:
        if seen.threads >= PASSING:
            return Decision(seen.threads, Why.COMPUTING)
        return Decision(min(wanted, PASSING), Why.PASSING)
    if seen.threads >= LOOK_FROM and seen.same > SAME * seen.threads:
        return Decision(seen.threads, Why.SAME)
    if seen.memory_left is not None:
        room = (seen.memory_left - SPARE_MEMORY) // MEMORY_OF_A_THREAD
        if room < 1 and seen.threads >= PASSING:
            return Decision(seen.threads, Why.MEMORY)
        wanted = min(wanted, seen.threads + max(1, room))
    return Decision(wanted, Why.NEEDED)
