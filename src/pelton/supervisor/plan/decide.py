"""The one function that changes the state: which event goes where, and then whatever is due."""

from __future__ import annotations

from pelton.supervisor.plan import balance, ending, front, pulse, reload, sizing, templates, workers
from pelton.supervisor.plan import events as ev
from pelton.supervisor.plan.actions import Action, ReopenFiles
from pelton.supervisor.plan.state import Reason, Stage, State
from pelton.supervisor.plan.turn import Turn


def decide(state: State, event: ev.Event, now: float) -> list[Action]:
    """What to do about ``event`` at ``now`` (seconds of any clock that never goes back), in this order."""
    turn = Turn(state, now)
    if state.stage is Stage.ENDED:
        return turn.actions
    match event:
        case ev.Begin():
            front.start(turn)
        case ev.Elapsed():
            pass
        case (
            ev.WorkerForked()
            | ev.WorkerReady()
            | ev.WorkerAttached()
            | ev.WorkerFailed()
            | ev.WorkerLeaving()
            | ev.WorkerLost()
            | ev.WorkerExited()
            | ev.WorkerAdded()
            | ev.WorkerQuiet()
            | ev.WorkerSpent()
            | ev.WorkerStuck()
            | ev.WorkerFrozen()
            | ev.WorkerRefused()
            | ev.MemoryMeasured()
        ):
            _about_worker(turn, event)
        case (
            ev.TemplateForked()
            | ev.TemplateReady()
            | ev.TemplateFailed()
            | ev.TemplateLost()
            | ev.TemplateExited()
        ):
            _about_template(turn, event)
        case ev.FrontForked() | ev.FrontFailed() | ev.FrontAnswered() | ev.FrontLost() | ev.FrontExited():
            _about_front(turn, event)
        case _:
            _about_all(turn, event)
    front.check(turn)
    balance.check(turn)
    ending.check(turn)
    return turn.actions


def next_deadline(state: State) -> float | None:
    """When `decide` should be called even if nothing happens."""
    if state.stage is Stage.ENDED:
        # What was due later, such as the next start, never comes.
        return None
    front = state.front
    times = [state.deadline, front.deadline, front.pulse_at, front.restart_at]
    times += [state.failures.wait_until, state.early_deaths.wait_until]
    times += [
        one for worker in state.workers.values() for one in (worker.deadline, worker.expires, worker.ready_by)
    ]
    times += [one for template in state.templates.values() for one in (template.deadline, template.ready_by)]
    return min((one for one in times if one is not None), default=None)


def _about_worker(
    turn: Turn,
    event: ev.WorkerForked
    | ev.WorkerReady
    | ev.WorkerAttached
    | ev.WorkerFailed
    | ev.WorkerLeaving
    | ev.WorkerLost
    | ev.WorkerExited
    | ev.WorkerAdded
    | ev.WorkerQuiet
    | ev.WorkerSpent
    | ev.WorkerStuck
    | ev.WorkerFrozen
    | ev.WorkerRefused
    | ev.MemoryMeasured,
) -> None:
    worker = turn.state.workers.get(event.worker)
    if worker is None:
        # What the front says may have crossed the worker's end.
        return
    match event:
        case ev.WorkerForked(_, pid, jitter_share):
            workers.forked(turn, worker, pid, jitter_share)
        case ev.WorkerReady():
            workers.ready(turn, worker)
        case ev.WorkerAttached():
            workers.attached(turn, worker)
        case ev.WorkerFailed(_, what, traceback):
            workers.failed(turn, worker, what, traceback)
        case ev.WorkerLeaving():
            turn.mark(worker, Reason.LEAVING)
        case ev.WorkerLost():
            workers.lost(turn, worker)
        case ev.WorkerExited(_, how):
            workers.exited(turn, worker, how)
        case ev.WorkerAdded():
            workers.added(turn, worker)
        case ev.WorkerQuiet():
            workers.quiet(turn, worker)
        case ev.WorkerSpent():
            turn.mark(worker, Reason.REQUESTS)
        case ev.WorkerStuck():
            turn.mark(worker, Reason.STUCK)
        case ev.WorkerFrozen():
            workers.frozen(turn, worker)
        case ev.WorkerRefused():
            workers.refused(turn, worker)
        case ev.MemoryMeasured(_, size):
            workers.measured(turn, worker, size)


def _about_template(
    turn: Turn,
    event: ev.TemplateForked | ev.TemplateReady | ev.TemplateFailed | ev.TemplateLost | ev.TemplateExited,
) -> None:
    template = turn.state.templates.get(event.template)
    if template is None:
        return
    match event:
        case ev.TemplateForked(_, pid):
            template.pid = pid
        case ev.TemplateReady():
            templates.ready(turn, template)
        case ev.TemplateFailed(_, what, traceback):
            templates.failed(turn, template, what, traceback)
        case ev.TemplateLost():
            templates.lost(turn, template)
        case ev.TemplateExited(_, how):
            templates.exited(turn, template, how)


def _about_front(
    turn: Turn,
    event: ev.FrontForked | ev.FrontFailed | ev.FrontAnswered | ev.FrontLost | ev.FrontExited,
) -> None:
    match event:
        case ev.FrontAnswered():
            pulse.answered(turn)
        case ev.FrontForked(pid):
            turn.state.front.pid = pid
        case ev.FrontFailed(what):
            front.failed(turn, what)
        case ev.FrontLost():
            front.lost(turn)
        case ev.FrontExited(how):
            front.exited(turn, how)


def _about_all(turn: Turn, event: ev.Event) -> None:
    state = turn.state
    match event:
        case ev.SuccessorReady(pid):
            ending.successor_ready(turn, pid)
        case ev.SuccessorFailed(how):
            ending.successor_failed(turn, how)
        case ev.Reload(rules):
            if rules is not None:
                state.obey(rules)
            reload.begin(turn)
        case ev.MoreWorkers():
            _change_wanted(turn, +1)
        case ev.FewerWorkers():
            _change_wanted(turn, -1)
        case ev.LoadMeasured():
            sizing.measured(turn, event)
        case ev.Withdraw():
            if state.stage is Stage.SERVING and not state.is_withdrawn:
                turn.log("info", "SIGWINCH: no workers until the next reload (SIGHUP)")
                if state.reload is not None:
                    state.reload.again = False
                    reload.failed(turn, "no workers are wanted")
                state.is_withdrawn = True
        case ev.Upgrade():
            ending.upgrade(turn)
        case ev.ReopenLogs():
            turn.do(ReopenFiles())
        case ev.Drain(why):
            ending.drain(turn, why)
        case ev.StopNow(why):
            ending.stop_now(turn, why)
        case _:
            raise AssertionError(f"nobody decides about {event}")


def _change_wanted(turn: Turn, by: int) -> None:
    state = turn.state
    if state.stage > Stage.SERVING:
        return
    name = "SIGTTIN" if by > 0 else "SIGTTOU"
    if state.wanted + by < 1:
        turn.log("info", f"{name}: there is only one worker, which stays")
        return
    state.wanted += by
    turn.log("info", f"{name}: {state.wanted} worker{'' if state.wanted == 1 else 's'} wanted")
