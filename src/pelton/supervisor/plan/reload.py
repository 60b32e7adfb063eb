"""Reload by canary: one worker proves the new code before any worker with the old code has to go.

With preloading a new template comes first, and the canary is its first worker.
"""

from __future__ import annotations

import signal

from pelton.supervisor.plan.actions import Tell
from pelton.supervisor.plan.state import Phase, Reason, Reload, Stage, Worker
from pelton.supervisor.plan.turn import Turn


def begin(turn: Turn) -> None:
    """Start one, or remember that another one is wanted."""
    state = turn.state
    if state.stage is not Stage.SERVING:
        turn.log("warning", f"reload: not now, {state.stage.why_not}")
    elif state.reload is not None:
        state.reload.again = True
        turn.log("info", "reload: another one follows the present one")
    else:
        _start(turn)


def proved(turn: Turn, canary: Worker) -> None:
    """The new code works: from now on it is the code."""
    state = turn.state
    assert state.reload is not None
    again, state.generation, state.template = (
        state.reload.again,
        state.reload.generation,
        state.reload.template,
    )
    state.reload = None
    state.is_withdrawn = False
    state.is_reloading = True
    if state.wanted_next is not None:
        state.wanted, state.wanted_next = state.wanted_next, None
    turn.log("info", f"reload: {canary.name} works with the new code; the others are replaced")
    for worker in state.workers.values():
        if worker.generation == state.generation:
            continue
        if worker.phase is Phase.STARTING:
            turn.doom(worker, signal.SIGTERM)
        else:
            turn.mark(worker, Reason.RELOAD)
    for template in state.templates.values():
        if template.number != state.template:
            turn.stop_template(template)
    if again:
        _start(turn)


def failed(turn: Turn, why: str) -> None:
    """Everything stays as it was."""
    state = turn.state
    if state.reload is None:
        return
    again, was_withdrawn = state.reload.again, state.is_withdrawn
    _clear(turn)
    state.is_withdrawn = False
    stays = "the old code comes back" if was_withdrawn else "the old workers stay"
    turn.log("error", f"reload: failed, {stays}: {why}")
    if again:
        _start(turn)
    elif not state.is_reloading:
        turn.do(Tell("ready"))


def abandon(turn: Turn) -> None:
    """It does not matter any more."""
    if turn.state.reload is not None:
        _clear(turn)
    turn.state.is_reloading = False


def check(turn: Turn) -> None:
    """Whether the last worker with the old code has stopped serving."""
    state = turn.state
    if not state.is_reloading or state.reload is not None:
        return
    if any(one.phase is Phase.READY and one.generation != state.generation for one in state.workers.values()):
        return
    state.is_reloading = False
    turn.log("info", "reload: done")
    turn.do(Tell("ready"))


def _start(turn: Turn) -> None:
    state = turn.state
    state.last_generation += 1
    state.reload = Reload(state.last_generation)
    # Whoever asks for it may have repaired what failed.
    state.failures.wait_until = None
    turn.do(Tell("reloading"))
    if state.rules.preload:
        turn.log("info", "reload: the new code is loaded")
        state.reload.template = turn.start_template(state.reload.generation).number
    else:
        turn.log("info", "reload: one worker is started with the new code")


def _clear(turn: Turn) -> None:
    state = turn.state
    assert state.reload is not None
    canary = state.workers.get(state.reload.canary or 0)
    template = state.templates.get(state.reload.template or 0)
    state.reload = None
    if canary is not None and canary.has_failed:
        # It ends by itself, with the deadline that it was given when it said so.
        canary.phase = Phase.STOPPING
    elif canary is not None and canary.phase is Phase.STARTING:
        turn.doom(canary, signal.SIGTERM)
    if template is not None and template.has_failed:
        template.phase = Phase.STOPPING
    elif template is not None:
        turn.stop_template(template)
