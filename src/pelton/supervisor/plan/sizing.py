"""How many workers there should be, where that is no exact number (``--workers auto``, ``--workers 1:4``).

Owns the decision; that workers are started and retired for it is `balance`'s, as after TTIN and TTOU. What is
measured comes in as an event, about once a second.

# The rule
*One more* when the workers' interpreters have been busy for `BUSY_FOR`, while the machine has a processor to
spare and memory for one of the size that the largest has. One at a time: the next measurements show what it
has brought. *One fewer* when for `CALM_FOR` all of their work would have left the others half idle. The two
shares are far apart, so that a load between them changes nothing.

Threads are not made a matter of workers: requests that wait need threads, requests that compute need
processors.
"""

from __future__ import annotations

from typing import Final

from pelton.supervisor.plan import events as ev
from pelton.supervisor.plan.state import Phase, Stage, State
from pelton.supervisor.plan.turn import Turn

# Of a processor, on the average of the workers: their interpreters are the bottleneck.
BUSY: Final = 0.75
BUSY_FOR: Final = 3.0
# Processors that do nothing, so that one more worker gets anything done.
IDLE: Final = 0.4
# What the others would have to do at most, each.
CALM: Final = 0.4
CALM_FOR: Final = 180.0
# Of the largest worker's memory; requests that it runs may still make it grow.
MEMORY: Final = 1.25


def measured(turn: Turn, load: ev.LoadMeasured) -> None:
    """Whether that asks for another number."""
    state = turn.state
    least, most = state.rules.workers, state.rules.most_workers
    if most is None or state.stage is not Stage.SERVING or state.reload is not None or state.is_withdrawn:
        state.sizing.forget()
        return
    shares = [
        share
        for number, share in load.shares
        if (worker := state.workers.get(number)) is not None and worker.is_serving
    ]
    if len(shares) < state.wanted or _is_changing(state):
        # What was asked for last is not there yet.
        state.sizing.forget()
        return
    busy = sum(shares)
    sizing = state.sizing
    sizing.busy_since = _since(sizing.busy_since, turn.now, holds=busy >= BUSY * len(shares))
    sizing.calm_since = _since(sizing.calm_since, turn.now, holds=busy <= CALM * (state.wanted - 1))
    if _has_lasted(sizing.busy_since, BUSY_FOR, turn.now) and state.wanted < most:
        _one_more(turn, load, busy / len(shares))
    elif _has_lasted(sizing.calm_since, CALM_FOR, turn.now) and state.wanted > least:
        state.wanted -= 1
        sizing.forget()
        turn.log(
            "info",
            f"{state.wanted} worker{'' if state.wanted == 1 else 's'} wanted, one fewer: for "
            f"{CALM_FOR:.0f} s all of them together have used {busy:.0%} of a processor",
        )


def _one_more(turn: Turn, load: ev.LoadMeasured, share: float) -> None:
    state, sizing = turn.state, turn.state.sizing
    why_not = None
    if load.idle < IDLE:
        why_not = f"no processor is idle ({load.idle:.1f})"
    elif load.memory_left is not None and load.memory_left < MEMORY * load.largest:
        why_not = (
            f"there is no memory for another one of {load.largest / 2**20:.0f} MiB "
            f"({load.memory_left / 2**20:.0f} MiB are left)"
        )
    if why_not is None:
        state.wanted += 1
        sizing.forget()
        turn.log(
            "info",
            f"{state.wanted} workers wanted, one more: each has used {share:.0%} of a processor for "
            f"{BUSY_FOR:.0f} s, and {load.idle:.1f} processors are idle",
        )
    elif not sizing.is_held:
        sizing.is_held = True
        turn.log("info", f"{state.wanted} workers are busy, and stay as many: {why_not}")


def _is_changing(state: State) -> bool:
    return any(one.phase in (Phase.STARTING, Phase.RETIRING) for one in state.workers.values())


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if before is None else before


def _has_lasted(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since >= seconds
