"""What the supervisor can be asked to do. Values only.

Each is tried once and at once. An event says what comes of it; an action for a process that has ended
meanwhile does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StartFront:
    """Fork a front on the listening sockets, with memory for bodies and a doorbell of its own."""

    incarnation: int


@dataclass(frozen=True)
class StartWorker:
    """Make a link to the present front and fork a worker for it; from ``template``, if there is one."""

    worker: int
    template: int | None
    # By which the performer finds the settings that it is to have.
    generation: int = field(default=1, compare=False)


@dataclass(frozen=True)
class StartTemplate:
    """Fork a process that loads the application and forks workers."""

    template: int
    generation: int = field(default=1, compare=False)


@dataclass(frozen=True)
class AttachWorker:
    """Make a link to the present front and give it to a living worker."""

    worker: int


@dataclass(frozen=True)
class AddWorker:
    """Let the front send requests to it. ``request_limit``: after how many it is spent; 0 = never."""

    worker: int
    request_limit: int


@dataclass(frozen=True)
class RetireWorker:
    """Let the front send no more requests to it."""

    worker: int


@dataclass(frozen=True)
class BuryWorker:
    """Tell the front that its process is gone, and how it ended."""

    worker: int
    how: str


@dataclass(frozen=True)
class StopWorker:
    """Ask it to end; no client waits for anything of it."""

    worker: int


@dataclass(frozen=True)
class SignalWorker:
    """Send a signal to its process."""

    worker: int
    number: int


@dataclass(frozen=True)
class StopTemplate:
    """Ask it to end."""

    template: int


@dataclass(frozen=True)
class KillTemplate:
    """End its process by a signal."""

    template: int
    number: int


@dataclass(frozen=True)
class Accept:
    """Let the front accept connections."""


@dataclass(frozen=True)
class Unready:
    """Let readiness checks fail from now on."""


@dataclass(frozen=True)
class CloseListeners:
    """Close the supervisor's own listening sockets and remove socket files."""


@dataclass(frozen=True)
class DrainFront:
    """Let it finish what has been received, and end."""


@dataclass(frozen=True)
class StopFront:
    """Let it end now."""


@dataclass(frozen=True)
class AskFront:
    """Let its event loop give a sign of life."""


@dataclass(frozen=True)
class DescribeFront:
    """Write down what the kernel says of its threads."""


@dataclass(frozen=True)
class KillFront:
    """End its process by force."""


@dataclass(frozen=True)
class ReopenFiles:
    """Open the log files again by their names."""


@dataclass(frozen=True)
class StartSuccessor:
    """Start this command again with the listening sockets."""


@dataclass(frozen=True)
class StopSuccessor:
    """Ask it to end: it is not ready yet, and must not outlive this one."""


@dataclass(frozen=True)
class HandOver:
    """The successor owns socket files and is the main process now."""

    pid: int


@dataclass(frozen=True)
class Announce:
    """Say that connections are accepted, to people and to the service manager."""


@dataclass(frozen=True)
class Tell:
    """Tell the service manager what is going on: "reloading", "ready" or "stopping"."""

    what: str


@dataclass(frozen=True)
class Log:
    """Write a line to the log; ``level`` as in the settings."""

    level: str
    message: str


@dataclass(frozen=True)
class End:
    """All processes are gone: end with this exit code.

    ``what`` and ``traceback`` are what the person at the terminal should read last, if there is anything.
    """

    code: int
    what: str = ""
    traceback: str = ""


Action = (
    StartFront
    | StartWorker
    | StartTemplate
    | AttachWorker
    | AddWorker
    | RetireWorker
    | BuryWorker
    | StopWorker
    | SignalWorker
    | StopTemplate
    | KillTemplate
    | Accept
    | Unready
    | CloseListeners
    | DrainFront
    | StopFront
    | AskFront
    | DescribeFront
    | KillFront
    | ReopenFiles
    | StartSuccessor
    | StopSuccessor
    | HandOver
    | Announce
    | Tell
    | Log
    | End
)
