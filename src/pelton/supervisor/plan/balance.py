"""How many workers there are, and which.

Runs after every event. Four questions, in this order:

1. Are more serving than wanted? The most replaceable one is retired. A worker is never retired for another
   reason, so there are always as many as wanted, if they can be had at all: a replacement that fails changes
   nothing.
2. Is capacity missing, because one died? Others are started at once.
3. Does a reload wait for its canary? It is started.
4. Should some be replaced? Their successors are started, a few at a time.

The number of processes stays within twice the number of workers: while so many still finish their requests,
nobody is replaced.
"""

from __future__ import annotations

import signal

from pelton.supervisor.plan import reload, templates, workers
from pelton.supervisor.plan.state import Phase, Reason, Stage, State, Worker
from pelton.supervisor.plan.turn import Turn

# A quarter of the workers may load the application at the same time in order to replace others: loading takes
# the processors from those that serve.
REPLACED_AT_ONCE = 4


def balance(turn: Turn) -> None:
    """Retire and start what is due."""
    state = turn.state
    pauses = (state.failures, state.early_deaths)
    for pause in pauses:
        if pause.wait_until is not None and pause.wait_until <= turn.now:
            pause.wait_until = None
    # DRAINING: what is in the queue still needs workers, but nobody has to be replaced.
    if state.front.phase is None or state.stage >= Stage.STOPPING:
        return
    if state.stage <= Stage.DELAYING:
        _retire(turn)
    if any(pause.wait_until is not None for pause in pauses):
        return
    if state.stage <= Stage.DELAYING:
        _start_template(turn)
    if state.rules.preload and not _can_fork(state, state.template):
        _start_canary(turn)
        return
    _fill(turn)
    if state.stage <= Stage.DELAYING:
        _start_canary(turn)
        _replace(turn)


def _retire(turn: Turn) -> None:
    state = turn.state
    surplus = sum(one.is_serving for one in state.workers.values()) - state.target
    by_need = sorted(
        (one for one in state.workers.values() if one.is_serving), key=lambda one: (_urgency(one), one.born)
    )
    for worker in by_need[: max(0, surplus)]:
        turn.retire(worker)
    # After one worker less was asked for, those that only start are the first to go.
    starting = [one for one in _fresh(state) if one.phase is Phase.STARTING]
    for worker in starting[: max(0, len(_fresh(state)) - state.target)]:
        turn.doom(worker, signal.SIGTERM)


def _start_template(turn: Turn) -> None:
    state = turn.state
    if not state.rules.preload or state.template is not None:
        return
    waited_for = state.reload.template if state.reload is not None else None
    if any(one.phase is Phase.STARTING and one.number != waited_for for one in state.templates.values()):
        return
    turn.start_template(state.generation)


def _fill(turn: Turn) -> None:
    state = turn.state
    fresh = _fresh(state)
    to_be_replaced = [one for one in state.workers.values() if one.phase is Phase.READY and one.reason]
    missing = state.target - len(fresh) - len(to_be_replaced)
    if state.failures.count:
        # The last start failed: one finds out whether the next does not.
        missing = min(missing, 1 - sum(one.phase is Phase.STARTING for one in fresh))
    for _ in range(missing):
        # Without room there is somebody else who serves, unless many were to become few a moment ago.
        if _has_room(state) or not (_fresh(state) or to_be_replaced):
            workers.start(turn, state.generation, state.template)


def _start_canary(turn: Turn) -> None:
    state = turn.state
    if state.reload is None or state.reload.canary is not None or state.stage > Stage.SERVING:
        return
    if state.rules.preload and not _can_fork(state, state.reload.template):
        return
    if _has_room(state):
        worker = workers.start(turn, state.reload.generation, state.reload.template)
        state.reload.canary = worker.number


def _replace(turn: Turn) -> None:
    state = turn.state
    marked = [one for one in state.workers.values() if one.phase is Phase.READY and one.reason]
    if state.reload is not None:
        # A successor would have the old code; only what cannot wait does not wait for the new one.
        marked = [one for one in marked if one.reason is Reason.STUCK]
    starting = sum(one.phase is Phase.STARTING for one in _fresh(state))
    at_once = 1 if state.failures.count else max(1, state.target // REPLACED_AT_ONCE)
    missing = min(state.target - len(_fresh(state)), len(marked), at_once - starting)
    for _ in range(missing):
        if _has_room(state):
            workers.start(turn, state.generation, state.template)


def _fresh(state: State) -> list[Worker]:
    """Those that stay: ready or starting, and not to be replaced; a canary only once it is proved."""
    return [
        one
        for one in state.workers.values()
        if one.phase in (Phase.STARTING, Phase.READY) and one.reason is None and one.number != state.canary
    ]


def _has_room(state: State) -> bool:
    # Processes that were killed do not count: they are only not waited for yet.
    return sum(one.phase is not Phase.DOOMED for one in state.workers.values()) < 2 * state.wanted


def _can_fork(state: State, template: int | None) -> bool:
    found = state.templates.get(template or 0)
    return found is not None and found.phase is Phase.READY


def _urgency(worker: Worker) -> int:
    return len(Reason) if worker.reason is None else worker.reason.urgency


def check(turn: Turn) -> None:
    """Everything that is due, and then the balance."""
    workers.check(turn)
    templates.check(turn)
    balance(turn)
    reload.check(turn)
