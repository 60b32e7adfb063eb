"""What is found. Pure data."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Kind(enum.Enum):
    """What sort of finding, as docs/thread-safety.md lists them; the value is its name in JSON."""

    SHARED_STATE = "shared-state"
    STATE_PER_WORKER = "state-per-worker"
    LAZY_STATE = "lazy-state"
    MUTABLE_DEFAULT = "mutable-default"
    GLOBAL_STATEMENT = "global-statement"
    OWN_CACHE = "own-cache"
    INTERLEAVING = "interleaving"
    THREAD_BEFORE_FORK = "thread-before-fork"
    CONNECTION_BEFORE_FORK = "connection-before-fork"
    LOCK_BEFORE_FORK = "lock-before-fork"
    FILE_WRITTEN = "file-written"
    FAILS_ALONE = "fails-alone"


# It works with threads and processes, but perhaps not as somebody thinks.
_NOTES = frozenset({Kind.LAZY_STATE, Kind.OWN_CACHE, Kind.FAILS_ALONE})
_INSTEAD = {
    Kind.SHARED_STATE: "Keep it in a database, the session or flask.g; or change it under a lock, and know "
    "that each worker process has its own.",
    Kind.STATE_PER_WORKER: "Keep it in a database or cache that all worker processes share, or serve with "
    "threads in one process.",
    Kind.LAZY_STATE: "Make it at import, or under a lock: two first requests at once make it twice.",
    Kind.MUTABLE_DEFAULT: "Write None as the default, and make the value in the function.",
    Kind.GLOBAL_STATEMENT: "Keep it in a database, the session or flask.g.",
    Kind.OWN_CACHE: "Fine where old or different values do no harm; else use a cache that all workers share.",
    Kind.INTERLEAVING: "Something that these requests share is changed by them: look at the findings about "
    "state, and at libraries that are not safe with threads.",
    Kind.THREAD_BEFORE_FORK: "Start it in each worker: with --preload a forked worker does not have it; "
    "without, each worker has one of its own.",
    Kind.CONNECTION_BEFORE_FORK: "Connect when the first request needs it, or in gunicorn's post_fork hook: "
    "two processes that share a connection read each other's replies.",
    Kind.LOCK_BEFORE_FORK: "Release it before the import ends: in a forked worker nobody will.",
    Kind.FILE_WRITTEN: "Give each worker a file of its own, lock it (fcntl.flock), or write a temporary file "
    "and rename it.",
    Kind.FAILS_ALONE: "Name requests that work, with --request or --requests, or what follows says little.",
}


@dataclass(frozen=True)
class Finding:
    """One thing: ``name`` says what, ``where`` is file:line or empty, ``request`` which one showed it."""

    kind: Kind
    name: str
    where: str
    request: str
    reason: str

    @property
    def is_unsafe(self) -> bool:
        """Whether it makes the audit fail."""
        return self.kind not in _NOTES

    @property
    def instead(self) -> str:
        """What to do about it."""
        return _INSTEAD[self.kind]

    def as_json(self) -> dict[str, Any]:
        """The documented shape."""
        return {**asdict(self), "kind": self.kind.value, "unsafe": self.is_unsafe, "instead": self.instead}
