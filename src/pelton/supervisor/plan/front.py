"""The front's life, and what its death means for the workers."""

from __future__ import annotations

from pelton.supervisor.plan import ending, pulse
from pelton.supervisor.plan.actions import (
    Accept,
    AddWorker,
    Announce,
    AttachWorker,
    KillFront,
    StartFront,
    Unready,
)
from pelton.supervisor.plan.events import Exit
from pelton.supervisor.plan.state import Phase, Stage, Worker
from pelton.supervisor.plan.turn import LAST_MOMENT, LOST_TIME, Turn

# A front that dies sooner than this has not served anybody; another one is started with more and more delay.
QUICK = 1.0
MOST_QUICK_DEATHS = 5
FIRST_DELAY = 0.5
# A worker answers an attach between two messages. Only one whose interpreter is stuck does not.
ATTACH_TIME = 10.0


def start(turn: Turn) -> None:
    """Start a front and move every living worker to it."""
    front = turn.state.front
    front.incarnation += 1
    front.phase = Phase.READY
    front.pid = None
    front.born = turn.now
    front.is_accepting = False
    front.deadline = front.restart_at = None
    pulse.begin(turn)
    turn.do(StartFront(front.incarnation))
    for worker in turn.state.workers.values():
        if worker.phase in (Phase.STARTING, Phase.READY):
            worker.attaches += 1
            if worker.phase is Phase.READY:
                worker.deadline = turn.now + ATTACH_TIME
            turn.do(AttachWorker(worker.number))
    if turn.state.stage is Stage.DELAYING:
        turn.do(Unready())


def add_worker(turn: Turn, worker: Worker) -> None:
    """Let the front use a worker that is ready; with the first one it accepts connections."""
    state, rules = turn.state, turn.state.rules
    # Spread, or workers that started together would all be replaced together.
    jitter = int(worker.jitter_share * (rules.max_requests_jitter + 1))
    turn.do(AddWorker(worker.number, rules.max_requests + jitter if rules.max_requests else 0))
    worker.is_added = True
    if not state.front.is_accepting:
        state.front.is_accepting = True
        turn.do(Accept())
        if state.is_announced:
            turn.log("info", f"{state.front.name} accepts connections")
    if not state.is_announced:
        state.is_announced = True
        turn.do(Announce())


def failed(turn: Turn, what: str) -> None:
    """The settings are at fault: another front would not do better."""
    ending.give_up(turn, 2, what)


def lost(turn: Turn) -> None:
    """Its control socket is closed, which its end does too."""
    if turn.state.front.phase is Phase.READY:
        turn.state.front.deadline = turn.now + LOST_TIME


def exited(turn: Turn, how: Exit) -> None:
    """Start another one, unless it was time."""
    state, front = turn.state, turn.state.front
    was_asked = front.phase is Phase.STOPPING
    name, front.phase, front.pid, front.deadline, front.pulse_at = front.name, None, None, None, None
    front.is_accepting = False
    for worker in state.workers.values():
        worker.is_added = False
    if was_asked and how.is_orderly:
        turn.log("debug", f"{name} ended")
    elif was_asked:
        turn.log("error", f"{name} {how.how}")
    if state.stage is Stage.DRAINING:
        if not was_asked or not how.is_orderly:
            turn.log("error", "the front did not finish its requests")
        ending.stop_all(turn, patience=max(state.deadline or 0.0, turn.now + LAST_MOMENT) - turn.now)
        return
    if state.stage >= Stage.STOPPING:
        return
    turn.log("error", f"{name} {how.how}; another one takes over its listening sockets")
    for worker in state.workers.values():
        if worker.phase is Phase.RETIRING:
            # Whoever waited for its responses was connected to the old front.
            turn.stop(worker)
    front.quick_deaths = front.quick_deaths + 1 if turn.now - front.born < QUICK else 0
    if front.quick_deaths >= MOST_QUICK_DEATHS:
        ending.give_up(turn, 1, f"gives up: {MOST_QUICK_DEATHS} fronts in a row died at once")
        return
    # The first is replaced at once: what kills it may be over, and clients wait.
    delay = FIRST_DELAY * 2 ** (front.quick_deaths - 2) if front.quick_deaths > 1 else 0.0
    front.restart_at = turn.now + delay


def check(turn: Turn) -> None:
    """What is due by now."""
    front = turn.state.front
    pulse.check(turn)
    if front.deadline is not None and front.deadline <= turn.now:
        front.deadline = None
        turn.log("error", f"{front.name} does not end and is killed")
        turn.do(KillFront())
    if front.restart_at is not None and front.restart_at <= turn.now:
        start(turn)
