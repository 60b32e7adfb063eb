"""What can happen to the supervisor. Values only.

Processes are named by the numbers that the plan gave them, never by pids, which the system uses again.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from pelton.supervisor.plan.state import Rules


@dataclass(frozen=True)
class Exit:
    """How a process ended: with a code, by a signal, or not even started (``note`` says why)."""

    code: int | None = None
    signal: int | None = None
    note: str | None = None

    @property
    def how(self) -> str:
        """For the log: "was killed by SIGSEGV"."""
        if self.note is not None:
            return self.note
        if self.signal is None:
            return f"exited with code {self.code}"
        try:
            return f"was killed by {signal.Signals(self.signal).name}"
        except ValueError:
            # Most real-time signals have no name in Python.
            return f"was killed by signal {self.signal}"

    @property
    def is_orderly(self) -> bool:
        """Whether it ended as a process does that was asked to."""
        return self.code == 0


@dataclass(frozen=True)
class Begin:
    """The supervisor starts to work; always the first event, and once."""


@dataclass(frozen=True)
class Elapsed:
    """Time has passed; whatever is due is done with every other event, too."""


@dataclass(frozen=True)
class FrontForked:
    """The process of a front incarnation exists."""

    pid: int


@dataclass(frozen=True)
class FrontFailed:
    """The front cannot work with these settings, and will end."""

    what: str


@dataclass(frozen=True)
class FrontExited:
    """The front's process is gone."""

    exit: Exit


@dataclass(frozen=True)
class FrontAnswered:
    """The front has given the sign of life that it was asked for."""


@dataclass(frozen=True)
class FrontLost:
    """The front's control socket is closed; its end should follow."""


@dataclass(frozen=True)
class WorkerForked:
    """The process of a worker exists. ``jitter_share``: by chance from 0 up to 1; its part of each jitter."""

    worker: int
    pid: int
    jitter_share: float


@dataclass(frozen=True)
class WorkerReady:
    """It has loaded the application and takes requests."""

    worker: int


@dataclass(frozen=True)
class WorkerAttached:
    """It has moved to the newest link that it was sent."""

    worker: int


@dataclass(frozen=True)
class WorkerFailed:
    """It cannot load the application, and will end. ``what`` is for people, ``traceback`` may be empty."""

    worker: int
    what: str
    traceback: str


@dataclass(frozen=True)
class WorkerLeaving:
    """Somebody asked this very worker to end, and it wants to be replaced."""

    worker: int


@dataclass(frozen=True)
class WorkerLost:
    """Its control socket is closed; its end should follow."""

    worker: int


@dataclass(frozen=True)
class WorkerExited:
    """Its process is gone."""

    worker: int
    exit: Exit


@dataclass(frozen=True)
class WorkerAdded:
    """The front says: requests are handed to it from now on."""

    worker: int


@dataclass(frozen=True)
class WorkerQuiet:
    """The front says: it was retired, and nothing of it runs any more."""

    worker: int


@dataclass(frozen=True)
class WorkerSpent:
    """The front says: it has had as many requests as it should."""

    worker: int


@dataclass(frozen=True)
class WorkerStuck:
    """The front says: a thread of it does not let go of a request that timed out."""

    worker: int


@dataclass(frozen=True)
class WorkerFrozen:
    """The front says: its interpreter gives no sign of life."""

    worker: int


@dataclass(frozen=True)
class WorkerRefused:
    """The front cannot use it."""

    worker: int


@dataclass(frozen=True)
class MemoryMeasured:
    """How much memory it has resident."""

    worker: int
    size: int


@dataclass(frozen=True)
class LoadMeasured:
    """What the workers do with the processors.

    ``shares``: each worker's number, and how much of a processor it has used. ``idle``: processors that do
    nothing. ``memory_left``: bytes, None without a limit. ``largest``: memory of the largest worker.
    """

    shares: tuple[tuple[int, float], ...]
    idle: float
    memory_left: int | None
    largest: int


@dataclass(frozen=True)
class TemplateForked:
    """The process exists that loads the application for workers to be forked from."""

    template: int
    pid: int


@dataclass(frozen=True)
class TemplateReady:
    """It has loaded the application."""

    template: int


@dataclass(frozen=True)
class TemplateFailed:
    """It cannot load the application, and will end."""

    template: int
    what: str
    traceback: str


@dataclass(frozen=True)
class TemplateLost:
    """Its control socket is closed; its end should follow."""

    template: int


@dataclass(frozen=True)
class TemplateExited:
    """Its process is gone."""

    template: int
    exit: Exit


@dataclass(frozen=True)
class SuccessorReady:
    """A new supervisor serves on the same listening sockets."""

    pid: int


@dataclass(frozen=True)
class SuccessorFailed:
    """It ended, or could not be started, before it served."""

    how: str


@dataclass(frozen=True)
class Reload:
    """Load the application's code again (SIGHUP). ``rules``: what the settings say now, if they were read."""

    rules: Rules | None = None


@dataclass(frozen=True)
class MoreWorkers:
    """One worker more (SIGTTIN)."""


@dataclass(frozen=True)
class FewerWorkers:
    """One worker less (SIGTTOU)."""


@dataclass(frozen=True)
class Withdraw:
    """No workers until the next reload (SIGWINCH)."""


@dataclass(frozen=True)
class Upgrade:
    """Start this command again on the same sockets, and end when that serves (SIGUSR2)."""


@dataclass(frozen=True)
class ReopenLogs:
    """The log files have been moved away (SIGUSR1)."""


@dataclass(frozen=True)
class Drain:
    """End when the running requests have finished. ``why`` is the signal's name."""

    why: str


@dataclass(frozen=True)
class StopNow:
    """End now; said twice, with force. ``why`` is the signal's name."""

    why: str


Event = (
    Begin
    | Elapsed
    | FrontForked
    | FrontFailed
    | FrontAnswered
    | FrontExited
    | FrontLost
    | WorkerForked
    | WorkerReady
    | WorkerAttached
    | WorkerFailed
    | WorkerLeaving
    | WorkerLost
    | WorkerExited
    | WorkerAdded
    | WorkerQuiet
    | WorkerSpent
    | WorkerStuck
    | WorkerFrozen
    | WorkerRefused
    | MemoryMeasured
    | LoadMeasured
    | TemplateForked
    | TemplateReady
    | TemplateFailed
    | TemplateLost
    | TemplateExited
    | SuccessorReady
    | SuccessorFailed
    | Reload
    | MoreWorkers
    | FewerWorkers
    | Withdraw
    | Upgrade
    | ReopenLogs
    | Drain
    | StopNow
)
