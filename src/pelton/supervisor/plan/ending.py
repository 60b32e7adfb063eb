"""The end: orderly, at once, by a successor, or because nothing can be started."""

from __future__ import annotations

from pelton.config.units import format_seconds
from pelton.supervisor.plan import reload
from pelton.supervisor.plan.actions import (
    DrainFront,
    End,
    HandOver,
    KillFront,
    StartSuccessor,
    StopFront,
    StopSuccessor,
    Tell,
    Unready,
)
from pelton.supervisor.plan.state import Phase, Stage
from pelton.supervisor.plan.turn import LAST_MOMENT, Turn


def drain(turn: Turn, why: str) -> None:
    """End in order, after the drain delay."""
    state = turn.state
    if state.stage >= Stage.DELAYING:
        turn.log("info", f"{why}: is ending already")
        return
    if state.stage is Stage.STARTING:
        turn.log("info", f"{why}: nobody has been served yet; stops")
        stop_all(turn)
        return
    turn.do(Unready())
    _leave_service(turn)
    delay = state.rules.drain_delay
    if delay > 0:
        state.stage = Stage.DELAYING
        state.deadline = turn.now + delay
        turn.log(
            "info", f"{why}: not ready any more; accepts connections for another {format_seconds(delay)}"
        )
    else:
        _drain_front(turn, why)


def stop_now(turn: Turn, why: str) -> None:
    """End at once; asked again, by force."""
    state = turn.state
    if state.stage < Stage.STOPPING:
        turn.log("info", f"{why}: stops at once; running requests are cut off")
        stop_all(turn)
        return
    turn.log("warning", f"{why}: kills every process")
    if state.front.phase is not None:
        turn.do(KillFront())
    for worker in state.workers.values():
        turn.doom(worker)
    for template in state.templates.values():
        turn.doom_template(template)


def give_up(turn: Turn, code: int, what: str = "", traceback: str = "") -> None:
    """Nothing can be served: stop everything and end with ``code``.

    ``what`` is for the person who started it; a line of the log if it begins with "gives up".
    """
    if turn.state.stage >= Stage.STOPPING:
        return
    if what.startswith("gives up"):
        turn.log("error", what)
        what = ""
    turn.state.end = (code, what, traceback)
    stop_all(turn)


def stop_all(turn: Turn, patience: float = LAST_MOMENT) -> None:
    """Tell every process to end now. ``patience``: seconds for the workers."""
    state = turn.state
    _leave_service(turn)
    state.stage = Stage.STOPPING
    state.deadline = None
    turn.close_listeners()
    front = state.front
    front.restart_at = None
    if front.phase is not None:
        front.phase = Phase.STOPPING
        front.deadline = turn.now + LAST_MOMENT
        turn.do(StopFront())
    for worker in state.workers.values():
        if worker.phase in (Phase.STARTING, Phase.READY, Phase.RETIRING):
            turn.stop(worker, patience)
        elif worker.deadline is not None:
            worker.deadline = min(worker.deadline, turn.now + patience)
    for template in state.templates.values():
        turn.stop_template(template)


def upgrade(turn: Turn) -> None:
    """Start a successor on the same sockets."""
    state = turn.state
    if state.rules.is_init:
        turn.log("error", "upgrade: refused, since the container would end with this process (it is PID 1)")
    elif state.is_upgrading:
        turn.log(
            "warning", "upgrade: not now, one is under way; send USR2 again if the log says that it failed"
        )
    elif state.stage is not Stage.SERVING:
        turn.log("warning", f"upgrade: not now, {state.stage.why_not}")
    else:
        state.is_upgrading = True
        turn.log("info", "upgrade: this command is started again on the same listening sockets")
        turn.do(StartSuccessor())


def successor_ready(turn: Turn, pid: int) -> None:
    """Leave the field to it."""
    state = turn.state
    if not state.is_upgrading:
        return
    state.is_upgrading, state.has_successor = False, True
    turn.log("info", f"upgrade: the successor (pid {pid}) serves; this one finishes its requests and ends")
    turn.do(HandOver(pid))
    if state.stage < Stage.DRAINING:
        _leave_service(turn)
        _drain_front(turn, "upgrade")


def successor_failed(turn: Turn, how: str) -> None:
    """Stay."""
    if turn.state.is_upgrading:
        turn.state.is_upgrading = False
        turn.log("error", f"upgrade: failed, this one stays: the successor {how}")


def check(turn: Turn) -> None:
    """What is due by now, and whether all is over."""
    state = turn.state
    if state.deadline is not None and state.deadline <= turn.now:
        state.deadline = None
        if state.stage is Stage.DELAYING:
            _drain_front(turn, "the drain delay is over")
        elif state.stage is Stage.DRAINING:
            limit = format_seconds(state.rules.graceful_timeout)
            turn.log("warning", f"the {limit} are over; the requests that still run are cut off")
            stop_all(turn)
    if (
        state.stage is Stage.STOPPING
        and state.front.phase is None
        and not state.workers
        and not state.templates
    ):
        state.stage = Stage.ENDED
        turn.do(End(*state.end))


def _leave_service(turn: Turn) -> None:
    """What both kinds of end begin with."""
    state = turn.state
    if state.stage >= Stage.DELAYING:
        return
    reload.abandon(turn)
    if state.is_upgrading:
        state.is_upgrading = False
        turn.do(StopSuccessor())
    # After a hand-over the service is the successor's, and it does not stop.
    if not state.has_successor:
        turn.do(Tell("stopping"))


def _drain_front(turn: Turn, why: str) -> None:
    state = turn.state
    limit = state.rules.graceful_timeout
    turn.log("info", f"{why}: no new connections; running requests may finish within {format_seconds(limit)}")
    turn.close_listeners()
    if state.front.phase is not Phase.READY:
        # It has just died, and everything that could be finished with it.
        stop_all(turn)
        return
    state.stage = Stage.DRAINING
    state.deadline = turn.now + limit
    state.front.phase = Phase.STOPPING
    turn.do(DrainFront())
