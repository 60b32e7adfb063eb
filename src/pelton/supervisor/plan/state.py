"""What the plan remembers. Only `decide` changes it.

A worker's life::

    STARTING --ready--> READY --a successor is ready--> RETIRING --quiet--> STOPPING --> (gone)
        |                 |                                |                    |
        +-----------------+------- DOOMED: a signal ends it +--------------------+

A worker that is to be replaced stays READY, with a `Reason`, and serves on until there are enough others. So
"what should be replaced" and "what may be retired" are two questions, and only the second needs a successor.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings that the plan needs; names and units as in the table of settings."""

    workers: int
    # Not None: as many as are needed, between ``workers`` and this.
    most_workers: int | None = None
    preload: bool = False
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_rss_bytes: int = 0
    worker_lifetime: float = 0.0
    graceful_timeout: float = 30.0
    drain_delay: float = 0.0
    start_timeout: float = 0.0
    # No setting: no front that works needs a second to answer, and nobody should have to think about it. 0:
    # it is not asked.
    front_timeout: float = 30.0
    # As PID 1 of a container: when it ends, the container does.
    is_init: bool = False


class Stage(enum.IntEnum):
    """How far the supervisor itself is; it only ever goes down this list."""

    STARTING = 0  # no worker has been ready yet
    SERVING = 1
    DELAYING = 2  # asked to end: still accepts, so that load balancers can look elsewhere
    DRAINING = 3  # the front finishes what it has
    STOPPING = 4  # every process has been asked to end
    ENDED = 5

    @property
    def why_not(self) -> str:
        """For the log: why something that takes a server that serves has to be refused."""
        return "the start is not over yet" if self is Stage.STARTING else "the server is ending"


class Phase(enum.Enum):
    """How far a process is."""

    STARTING = enum.auto()
    READY = enum.auto()
    RETIRING = enum.auto()
    STOPPING = enum.auto()
    DOOMED = enum.auto()


class Reason(enum.Enum):
    """Why a worker is to be replaced; the most urgent first."""

    STUCK = "a thread does not let go of a request that timed out"
    LEAVING = "somebody sent SIGTERM to it"
    MEMORY = "it uses more memory than --max-rss"
    REQUESTS = "it has had its --max-requests"
    LIFETIME = "its --worker-lifetime is over"
    RELOAD = "it runs the old code"

    @property
    def urgency(self) -> int:
        """0 is the most urgent."""
        return list(Reason).index(self)


@dataclass
class Worker:
    """One worker process, from the decision to start it until it has been waited for."""

    number: int
    generation: int
    born: float
    phase: Phase = Phase.STARTING
    pid: int | None = None
    jitter_share: float = 0.0
    # Links it was sent after its first and has not confirmed. Until it has, no front may use it.
    attaches: int = 0
    # The present front knows it.
    is_added: bool = False
    reason: Reason | None = None
    # When it must have become ready.
    ready_by: float | None = None
    # When its lifetime is over.
    expires: float | None = None
    ready_at: float | None = None
    # When the next harder step is due, whatever that is in its phase.
    deadline: float | None = None
    has_failed: bool = False
    was_ready: bool = False
    # The log says that it is.
    has_been_asked_to_end: bool = False

    @property
    def name(self) -> str:
        """As in the log."""
        return f"worker {self.number}" if self.pid is None else f"worker {self.number} (pid {self.pid})"

    @property
    def is_serving(self) -> bool:
        """Whether the present front sends requests to it."""
        return self.phase is Phase.READY and self.is_added


@dataclass
class Template:
    """A process that has loaded the application and forks workers (``--preload``)."""

    number: int
    generation: int
    born: float
    phase: Phase = Phase.STARTING
    pid: int | None = None
    ready_by: float | None = None
    deadline: float | None = None
    has_failed: bool = False

    @property
    def name(self) -> str:
        """As in the log."""
        return "the preloading process" if self.pid is None else f"the preloading process (pid {self.pid})"


@dataclass
class Front:
    """The present front, or the place of one."""

    incarnation: int = 0
    # READY: it exists (it needs no time to become ready). STOPPING: it may end. None: there is no process.
    phase: Phase | None = None
    pid: int | None = None
    born: float = 0.0
    is_accepting: bool = False
    deadline: float | None = None
    # When it is asked for a sign of life, or, once it has been, how long that may take; see `plan.pulse`.
    pulse_at: float | None = None
    is_asked: bool = False
    missed: int = 0
    # When another may be started, after several that died at once.
    restart_at: float | None = None
    quick_deaths: int = 0

    @property
    def name(self) -> str:
        """As in the log."""
        return "front" if self.pid is None else f"front (pid {self.pid})"


@dataclass
class Reload:
    """A reload whose new code has not been proved yet: a template if preloading, then one worker."""

    generation: int
    template: int | None = None
    canary: int | None = None
    # Asked for again meanwhile: the code may have changed after this one has read it.
    again: bool = False


@dataclass
class Failures:
    """Starts in a row that did not become ready. Those that began at the same time count once."""

    count: int = 0
    counted_at: float = 0.0
    # No start before this time.
    wait_until: float | None = None
    last_code: int = 1
    last_how: str = ""


@dataclass
class EarlyDeaths:
    """Workers in a row that died by themselves just after they had become ready."""

    count: int = 0
    counted_at: float = 0.0
    # No start before this time.
    wait_until: float | None = None


@dataclass
class Sizing:
    """Since when the workers have been busy, or calm; see `plan.sizing`."""

    busy_since: float | None = None
    calm_since: float | None = None
    # The log says that more are not possible.
    is_held: bool = False

    def forget(self) -> None:
        """The number of workers has changed, or is about to."""
        self.busy_since = self.calm_since = None
        self.is_held = False


@dataclass
class State:
    """Everything; made once from the rules."""

    rules: Rules
    wanted: int = field(init=False)
    # From the next code on that is proved.
    wanted_next: int | None = None
    stage: Stage = Stage.STARTING
    # When the drain delay or the graceful timeout of the whole is over.
    deadline: float | None = None
    # No workers wanted until the next reload.
    is_withdrawn: bool = False
    generation: int = 1
    last_generation: int = 1
    last_worker: int = 0
    last_template: int = 0
    front: Front = field(default_factory=Front)
    workers: dict[int, Worker] = field(default_factory=dict)
    templates: dict[int, Template] = field(default_factory=dict)
    # What new workers of the present generation are forked from.
    template: int | None = None
    reload: Reload | None = None
    # A proved reload is being carried out.
    is_reloading: bool = False
    failures: Failures = field(default_factory=Failures)
    early_deaths: EarlyDeaths = field(default_factory=EarlyDeaths)
    sizing: Sizing = field(default_factory=Sizing)
    is_announced: bool = False
    is_upgrading: bool = False
    has_successor: bool = False
    listens: bool = True
    end: tuple[int, str, str] = (0, "", "")

    def __post_init__(self) -> None:
        self.wanted = self.rules.workers

    def obey(self, rules: Rules) -> None:
        """Other settings hold from now on; another number of workers when the new code has been proved.

        A number that signals have changed stays, unless there is a new one.
        """
        if rules.workers != self.rules.workers:
            self.wanted_next = rules.workers
        # How the present code was loaded, and what process this is, does not change.
        self.rules = replace(rules, preload=self.rules.preload, is_init=self.rules.is_init)

    @property
    def target(self) -> int:
        """How many workers there should be."""
        return 0 if self.is_withdrawn else self.wanted

    @property
    def canary(self) -> int | None:
        """The worker on which the present reload depends."""
        return self.reload.canary if self.reload is not None else None
