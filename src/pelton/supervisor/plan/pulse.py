"""Whether the front's event loop still runs: nobody else would notice if it did not.

It is asked for a sign of life every now and then, with the next question when the last one is answered. A
front that owes an answer is not replaced when one deadline has passed, but after several in a row, each of
which the supervisor saw pass in time. Who comes late itself, because the machine stood still or everything
was stopped and continued, knows nothing about how long the front has been able to answer.
"""

from __future__ import annotations

from pelton.config.units import format_seconds
from pelton.supervisor.plan.actions import AskFront, DescribeFront, KillFront
from pelton.supervisor.plan.state import Phase
from pelton.supervisor.plan.turn import Turn

# Into so many parts the limit is divided.
PARTS = 3


def begin(turn: Turn) -> None:
    """A front is started."""
    _wait(turn)


def answered(turn: Turn) -> None:
    """It runs."""
    if turn.state.front.is_asked:
        _wait(turn)


def check(turn: Turn) -> None:
    """Ask, or count what was not answered."""
    front = turn.state.front
    if front.pulse_at is None or front.pulse_at > turn.now:
        return
    if front.phase is not Phase.READY:
        # Once it has to end, it has a deadline for that.
        front.pulse_at = None
        return
    part = _part(turn)
    if not front.is_asked:
        front.is_asked = True
        turn.do(AskFront())
    elif turn.now - front.pulse_at > part:
        front.missed = 0
    else:
        front.missed += 1
    if front.missed < PARTS:
        front.pulse_at = turn.now + part
        return
    front.pulse_at = None
    limit = format_seconds(turn.state.rules.front_timeout)
    turn.log(
        "error",
        f"{front.name} has given no sign of life for {limit} and is killed",
    )
    turn.do(DescribeFront())
    turn.do(KillFront())


def _wait(turn: Turn) -> None:
    front = turn.state.front
    front.is_asked, front.missed = False, 0
    front.pulse_at = turn.now + _part(turn) if turn.state.rules.front_timeout else None


def _part(turn: Turn) -> float:
    return turn.state.rules.front_timeout / PARTS
