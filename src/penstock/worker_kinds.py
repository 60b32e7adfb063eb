"""The worker kinds by name: how many requests each runs at a time, and where its runner is.

Owns the table and the search in it. Must not import a runner before it is needed: some change the whole
interpreter. The supervisor uses the table, too, but only for numbers.
"""

from __future__ import annotations

import difflib
import enum
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from penstock.config.errors import ConfigError
from penstock.config.settings import Settings

if TYPE_CHECKING:
    from penstock import _engine
    from penstock.worker.runners.base import Runner

# Where other packages announce theirs: name = "module:KIND", an object of the class below.
ENTRY_POINTS: Final = "penstock.worker_kinds"


class Concurrency(enum.Enum):
    """Which number says how many requests run at the same time in one worker."""

    ONE = "one"
    THREADS = "threads"
    CONNECTIONS = "worker_connections"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A worker kind.

    ``name`` is what the log calls it. ``runner`` names a function, as ``module:function``, that makes the
    runner over a native worker: ``(worker, settings) -> Runner``, not started. ``preparation`` names another,
    ``(settings) -> None``: the first act of the process that will load the application, before anything of
    that is imported; it raises ConfigError where something is missing, with what to install.
    """

    name: str
    concurrency: Concurrency
    runner: str
    preparation: str | None = None

    def permits(self, settings: Settings) -> int:
        """How many requests run at the same time in one worker."""
        match self.concurrency:
            case Concurrency.ONE:
                return 1
            case Concurrency.THREADS:
                return settings.threads
            case Concurrency.CONNECTIONS:
                return settings.worker_connections

    def description(self, settings: Settings) -> str:
        """Name and concurrency, for the line that says what was started."""
        number = self.permits(settings)
        what = "connection" if self.concurrency is Concurrency.CONNECTIONS else "thread"
        return f"{self.name}, {number} {what}{'' if number == 1 else 's'}"

    def prepare(self, settings: Settings) -> None:
        """Do what comes first in the process that will load the application. Raises ConfigError."""
        if self.preparation is not None:
            _function(self.preparation)(settings)

    def build(self, worker: _engine.Worker, settings: Settings) -> Runner:
        """The runner, not started."""
        runner: Runner = _function(self.runner)(worker, settings)
        return runner


_THREADS = "penstock.worker.runners.threads"
KINDS: Final = {
    "threads": Kind(name="threads", concurrency=Concurrency.THREADS, runner=f"{_THREADS}:threads"),
    "gevent": Kind(
        name="gevent",
        concurrency=Concurrency.CONNECTIONS,
        runner="penstock.worker.runners.gevent:gevent",
        preparation="penstock.worker.runners.gevent:prepare",
    ),
    "eventlet": Kind(
        name="eventlet",
        concurrency=Concurrency.CONNECTIONS,
        runner="penstock.worker.runners.eventlet:eventlet",
        preparation="penstock.worker.runners.eventlet:prepare",
    ),
    "sync": Kind(name="sync", concurrency=Concurrency.ONE, runner=f"{_THREADS}:one_thread"),
}
# Other names for the same, as gunicorn's users know them.
ALIASES: Final = {"gthread": "threads"}


def kind_of(settings: Settings) -> Kind:
    """The kind that ``settings.worker_kind`` names. Raises ConfigError when there is none of that name."""
    name = ALIASES.get(settings.worker_kind, settings.worker_kind)
    if name in KINDS:
        return KINDS[name]
    others = {one.name: one for one in entry_points(group=ENTRY_POINTS)}
    if name in others:
        found = others[name].load()
        if not isinstance(found, Kind):
            raise ConfigError(f'worker_kind: "{name}" is {others[name].value}, which is no worker kind.')
        return found
    names = [*KINDS, *ALIASES, *others]
    close = difflib.get_close_matches(name, names, n=1)
    raise ConfigError(
        f'worker_kind: there is no worker kind "{name}".',
        f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}.",
    )


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
