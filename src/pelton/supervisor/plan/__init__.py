"""What the supervisor decides: ``(state, event, now) -> actions``, without I/O, clock or randomness.

`events` says what can happen, `actions` what can be done about it, `state` what is remembered. `decide` is
the only way to change the state. Everything in here runs on the supervisor's only thread, and could run
anywhere.
"""

from pelton.supervisor.plan.decide import decide, next_deadline
from pelton.supervisor.plan.state import Rules, State

__all__ = ["Rules", "State", "decide", "next_deadline"]
