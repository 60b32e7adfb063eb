"""Templates: processes that have loaded the application once, for all workers (``--preload``)."""

from __future__ import annotations

import signal

from pelton.supervisor.plan import reload, workers
from pelton.supervisor.plan.events import Exit
from pelton.supervisor.plan.state import Phase, Template
from pelton.supervisor.plan.turn import LOST_TIME, Turn


def ready(turn: Turn, template: Template) -> None:
    """Workers can be forked from it."""
    state = turn.state
    if template.phase is not Phase.STARTING:
        return
    template.phase = Phase.READY
    template.ready_by = None
    turn.log("info", f"{template.name} has loaded the application")
    if state.reload is None or state.reload.template != template.number:
        state.template = template.number


def failed(turn: Turn, template: Template, what: str, traceback: str) -> None:
    """It cannot load the application."""
    template.has_failed = True
    template.deadline = turn.now + LOST_TIME
    workers.report_failure(turn, template.name, template.generation, what, traceback)


def lost(turn: Turn, template: Template) -> None:
    """Its control socket is closed, which its end does too."""
    if template.phase in (Phase.STARTING, Phase.READY):
        template.deadline = turn.now + LOST_TIME


def exited(turn: Turn, template: Template, how: Exit) -> None:
    """Its workers live on; another one is started for the next ones."""
    state = turn.state
    del state.templates[template.number]
    if state.template == template.number:
        state.template = None
    if template.phase in (Phase.STOPPING, Phase.DOOMED):
        turn.log("debug", f"{template.name} ended")
        return
    turn.log("error", f"{template.name} {how.how}")
    _miss(turn, template, how, was_starting=template.phase is Phase.STARTING)


def _miss(turn: Turn, template: Template, how: Exit, *, was_starting: bool) -> None:
    """Who waited for it has to do without."""
    if turn.state.reload is not None and turn.state.reload.template == template.number:
        reload.failed(turn, f"{template.name} {how.how}")
    elif was_starting:
        code = workers.NO_APPLICATION if template.has_failed else 1
        workers.count_failure(turn, template.born, code, how)


def check(turn: Turn) -> None:
    """What is due by now."""
    for template in list(turn.state.templates.values()):
        if template.ready_by is not None and template.ready_by <= turn.now:
            template.ready_by = None
            if template.phase is Phase.STARTING and not template.has_failed:
                _give_up_on(turn, template)
                continue
        if template.deadline is not None and template.deadline <= turn.now:
            turn.log("error", f"{template.name} does not end and is killed")
            turn.doom_template(template)


def _give_up_on(turn: Turn, template: Template) -> None:
    how = workers.too_late(turn, template.name)
    turn.doom_template(template, signal.SIGABRT)
    _miss(turn, template, how, was_starting=True)
