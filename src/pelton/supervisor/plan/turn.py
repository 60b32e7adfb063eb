"""One call of `decide`, and the steps that several of its parts take."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from pelton.supervisor.plan.actions import (
    Action,
    CloseListeners,
    KillTemplate,
    Log,
    RetireWorker,
    SignalWorker,
    StartTemplate,
    StopTemplate,
    StopWorker,
)
from pelton.supervisor.plan.state import Phase, Reason, Stage, State, Template, Worker

# For a process that nobody waits for any more and that was asked to end: time to report threads that stay
# in the application's code, and for what the application does at exit.
STOP_TIME = 10.0
# The same when everything ends at once.
LAST_MOMENT = 3.0
# For what ends by a signal that it may handle (faulthandler writes down every stack on SIGABRT).
DUMP_TIME = 3.0
# Between the end of a control socket and that of its process.
LOST_TIME = 2.0


@dataclass
class Turn:
    """The state, the time, and the actions so far."""

    state: State
    now: float
    actions: list[Action] = field(default_factory=list)

    def do(self, action: Action) -> None:
        """Add an action."""
        self.actions.append(action)

    def log(self, level: str, message: str) -> None:
        """Add a line for the log."""
        self.actions.append(Log(level, message))

    def mark(self, worker: Worker, reason: Reason) -> None:
        """Let a worker be replaced as soon as that is possible."""
        if worker.phase is not Phase.READY or self.state.stage > Stage.SERVING:
            return
        if worker.reason is None or reason.urgency < worker.reason.urgency:
            worker.reason = reason
            if reason is not Reason.RELOAD:
                self.log("info", f"{worker.name} will be replaced: {reason.value}")

    def retire(self, worker: Worker) -> None:
        """No more requests for it; there are others."""
        if not worker.is_added:
            self.stop(worker)
            return
        worker.phase = Phase.RETIRING
        worker.deadline = self.now + self.state.rules.graceful_timeout
        self.do(RetireWorker(worker.number))

    def stop(self, worker: Worker, patience: float = STOP_TIME) -> None:
        """Ask it to end; nothing of it is waited for."""
        if worker.phase is Phase.STARTING:
            # It is in the application's code and would not hear anything but a signal.
            self.doom(worker, signal.SIGTERM)
            return
        worker.phase = Phase.STOPPING
        worker.deadline = self.now + patience
        self.do(StopWorker(worker.number))

    def doom(self, worker: Worker, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal; by SIGKILL a little later, if it was another."""
        worker.phase = Phase.DOOMED
        worker.deadline = None if number == signal.SIGKILL else self.now + DUMP_TIME
        self.do(SignalWorker(worker.number, number))

    def start_template(self, generation: int) -> Template:
        """Start one, which loads the code of this generation."""
        self.state.last_template += 1
        template = Template(self.state.last_template, generation, self.now, ready_by=self.ready_by)
        self.state.templates[template.number] = template
        self.do(StartTemplate(template.number, generation))
        return template

    def stop_template(self, template: Template) -> None:
        """Let it end; its workers live on."""
        if template.phase is Phase.STARTING:
            self.doom_template(template)
        elif template.phase is Phase.READY:
            template.phase = Phase.STOPPING
            template.deadline = self.now + LAST_MOMENT
            self.do(StopTemplate(template.number))

    def doom_template(self, template: Template, number: signal.Signals = signal.SIGKILL) -> None:
        """As `doom`."""
        template.phase = Phase.DOOMED
        template.deadline = None if number == signal.SIGKILL else self.now + DUMP_TIME
        self.do(KillTemplate(template.number, number))

    @property
    def ready_by(self) -> float | None:
        """When a process that is started now must have loaded the application."""
        limit = self.state.rules.start_timeout
        return self.now + limit if limit else None

    def close_listeners(self) -> None:
        """Once."""
        if self.state.listens:
            self.state.listens = False
            self.do(CloseListeners())
